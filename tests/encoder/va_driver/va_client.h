// A plain client of libva for tests of the software VA driver: what it sends is in the open, so
// that a test can spoil one thing of it. Bound to one thread.
#pragma once

#include <va/va.h>
#include <va/va_drmcommon.h>
#include <va/va_enc_h264.h>
#include <va/va_vpp.h>

#include <cstdint>
#include <string>
#include <vector>

namespace planecast::testing {

/// An open display that plays a persona. Whatever a test leaves alive goes with it.
class VaClient {
 public:
  explicit VaClient(const std::string& persona = "ihd", const std::string& faults = {});
  ~VaClient();
  VaClient(const VaClient&) = delete;
  VaClient& operator=(const VaClient&) = delete;

  VADisplay display() const { return display_; }

  // Each fails the test if the driver refuses.
  VAConfigID Config(VAProfile profile, VAEntrypoint entrypoint,
                    std::vector<VAConfigAttrib> attributes = {});
  VAContextID Context(VAConfigID config, int width_px, int height_px);
  VASurfaceID Surface(uint32_t va_fourcc, uint32_t width_px, uint32_t height_px);
  VABufferID Buffer(VAContextID context, VABufferType type, uint32_t size_bytes,
                    const void* data = nullptr);

 private:
  int node_ = -1;
  VADisplay display_ = nullptr;
};

/// A memfd that stands for a dma-buf. Owns its fd and mapping.
class SharedBytes {
 public:
  explicit SharedBytes(size_t size_bytes);
  ~SharedBytes();
  SharedBytes(const SharedBytes&) = delete;
  SharedBytes& operator=(const SharedBytes&) = delete;
  /// Borrowed.
  int fd() const { return fd_; }
  uint8_t* data() const { return data_; }
  size_t size_bytes() const { return size_bytes_; }

 private:
  int fd_;
  size_t size_bytes_;
  uint8_t* data_;
};

/// An import of one plane, to be spoiled before it is asked for.
struct Import {
  Import(const SharedBytes& bytes, uint32_t va_fourcc, uint32_t drm_fourcc, uint32_t width_px,
         uint32_t height_px, uint32_t pitch_bytes, uint64_t modifier);
  VAStatus Create(VADisplay display, VASurfaceID* surface);

  VADRMPRIMESurfaceDescriptor descriptor{};
  uint32_t width_px;
  uint32_t height_px;
  uint32_t memory_type = VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME_2;
  bool memory_type_first = true;
  bool with_descriptor = true;
};

/// Bits from the high one down, as H.264 writes them.
class HeaderBits {
 public:
  HeaderBits& U(uint32_t value, int count);
  HeaderBits& Ue(uint32_t value);
  HeaderBits& Se(int32_t value);
  /// A NAL unit with start code, without emulation prevention; `bits` is its exact length.
  std::vector<uint8_t> Nal(uint8_t header, uint32_t* bits) const;

 private:
  std::vector<bool> bits_;
};

struct PackedHeader {
  uint32_t type = VAEncPackedHeaderSequence;
  uint32_t bit_length = 0;
  std::vector<uint8_t> bytes;
  bool with_parameters = true;
  bool with_data = true;
};

/// All that one picture is made of.
struct EncodeInput {
  VASurfaceID target = VA_INVALID_SURFACE;
  bool with_sequence = true;
  bool with_picture = true;
  VAEncSequenceParameterBufferH264 sequence{};
  VAEncPictureParameterBufferH264 picture{};
  std::vector<VAEncSliceParameterBufferH264> slices;
  /// Misc buffers: header and content.
  std::vector<std::vector<uint8_t>> misc;
  std::vector<PackedHeader> packed;
};

/// A misc buffer of a type with its content.
template <typename T>
std::vector<uint8_t> Misc(VAEncMiscParameterType type, const T& content) {
  VAEncMiscParameterBuffer header{};
  header.type = type;
  const auto* head = reinterpret_cast<const uint8_t*>(&header);
  const auto* body = reinterpret_cast<const uint8_t*>(&content);
  std::vector<uint8_t> bytes(head, head + sizeof(header));
  bytes.insert(bytes.end(), body, body + sizeof(content));
  return bytes;
}

/// Encodes 64x48 pictures.
class EncodeClient : public VaClient {
 public:
  struct Options {
    std::string persona = "ihd";
    std::string faults = {};
    VAProfile profile = VAProfileH264Main;
    VAEntrypoint entrypoint = VAEntrypointEncSlice;
    uint32_t rate_control = VA_RC_CQP;
    /// VA_ENC_PACKED_HEADER_*; 0: the driver writes its own.
    uint32_t packed_headers = 0;
    uint32_t coded_size_bytes = 65536;
  };
  explicit EncodeClient(const Options& options);

  static constexpr uint32_t kWidthPx = 64;
  static constexpr uint32_t kHeightPx = 48;

  /// Parameters of an IDR into surface 0, and of a picture in surface 1 that refers to it.
  EncodeInput Idr() const;
  EncodeInput Inter() const;
  /// Packed SPS, PPS and slice headers of what the input says now.
  void Pack(EncodeInput& input) const;
  /// Begin, Render, End; the first status that is no success.
  VAStatus Encode(const EncodeInput& input);
  /// Waits for the coded buffer and takes its bytes; `status` is that of its segments.
  VAStatus Take(std::vector<uint8_t>* bytes, uint32_t* status);

  VAConfigID config() const { return config_; }
  VAContextID context() const { return context_; }
  VASurfaceID input() const { return input_; }
  VASurfaceID reconstruction(size_t index) const { return reconstructions_[index]; }
  VABufferID coded() const { return coded_; }

 private:
  Options options_;
  VAConfigID config_;
  VAContextID context_;
  VASurfaceID input_;
  VASurfaceID reconstructions_[2];
  VABufferID coded_;
};

/// Converts and blends.
class ProcessClient : public VaClient {
 public:
  explicit ProcessClient(const std::string& persona = "ihd", const std::string& faults = {});

  /// A pipeline with explicit BT.709, limited range.
  static VAProcPipelineParameterBuffer Pipeline(VASurfaceID source);
  VAStatus Process(VASurfaceID target, const std::vector<VAProcPipelineParameterBuffer>& pipelines);
  VAContextID context() const { return context_; }

 private:
  VAContextID context_;
};

}  // namespace planecast::testing
