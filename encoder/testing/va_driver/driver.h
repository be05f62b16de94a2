// The software VA driver's objects. Everything here serves one VADisplay.
#pragma once

#include <va/va.h>
#include <va/va_enc_h264.h>
#include <va/va_vpp.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "encoder/testing/va_driver/headers.h"
#include "encoder/testing/va_driver/persona.h"
#include "encoder/testing/va_driver/pixels.h"

namespace planecast::sw_va {

/// What stands for the GPU's command queue: one thread that does jobs in order. Thread-safe.
class Worker {
 public:
  Worker();
  /// Ends at once: jobs that wait are dropped, those that hang are let go.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Returns the job's number, from 1. The job takes so much longer than its work.
  uint64_t Submit(std::function<void()> job, int delay_ms = 0);
  /// From here on no job is ever done. Who waits without a limit is told so after some seconds, as
  /// by a kernel that resets its GPU.
  uint64_t SubmitHang();
  bool Done(uint64_t job) const;
  /// False if the time was not enough, or if the driver ends.
  bool Wait(uint64_t job, std::optional<uint64_t> timeout_ns);

 private:
  void Run();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  struct Job {
    std::function<void()> run;
    int delay_ms = 0;
  };
  std::deque<Job> jobs_;
  uint64_t submitted_ = 0;
  uint64_t done_ = 0;
  bool hangs_ = false;
  std::chrono::steady_clock::time_point reset_;
  bool ends_ = false;
  std::thread thread_;
};

struct Config {
  VAProfile profile = VAProfileNone;
  VAEntrypoint entrypoint = VAEntrypointVideoProc;
  uint32_t rate_control = VA_RC_CQP;
  uint32_t packed_headers = 0;
  bool encodes() const { return entrypoint != VAEntrypointVideoProc; }
};

struct Surface {
  uint32_t fourcc = VA_FOURCC_NV12;
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  Tiling tiling = Tiling::kLinear;
  bool imported = false;
  std::shared_ptr<Memory> memory;
  std::array<size_t, 2> offset{};
  std::array<size_t, 2> pitch{};
  /// Null for NV12.
  const PackedLayout* packed = nullptr;
  /// The last job that reads or writes it.
  uint64_t job = 0;
  /// The encode context that reconstructed into it; VA_INVALID_ID if none did.
  VAContextID reconstructed_by = VA_INVALID_ID;

  Nv12Image nv12() const {
    return {memory->data() + offset[0],
            memory->data() + offset[1],
            pitch[0],
            pitch[1],
            width_px,
            height_px};
  }
  PackedImage image() const {
    return {packed, memory->data() + offset[0], pitch[0], width_px, height_px, tiling};
  }
};

/// What a coded picture left in its buffer; written by the worker, read after its job is done.
struct CodedData {
  std::vector<uint8_t> bytes;
  uint32_t status = 0;
  std::array<VACodedBufferSegment, 2> segments{};
};

struct Buffer {
  VABufferType type = VAEncMiscParameterBufferType;
  uint32_t size_bytes = 0;
  uint32_t elements = 1;
  std::vector<uint8_t> data;
  /// Of images derived from a surface, instead of data.
  std::shared_ptr<Surface> derived;
  /// Of coded buffers.
  std::shared_ptr<CodedData> coded;
  uint64_t job = 0;
  uint64_t picture = 0;
  bool mapped = false;
};

struct Image {
  VAImage description{};
};

/// Rate control and stream state of an encode context.
struct EncodeState {
  std::optional<VAEncSequenceParameterBufferH264> sequence;
  uint32_t bits_per_second = 0;
  uint32_t target_percentage = 100;
  uint32_t frame_rate_num = 30;
  uint32_t frame_rate_den = 1;
  uint32_t initial_qp = 0;
  uint32_t min_qp = 0;
  uint32_t max_qp = 0;
  bool bit_stuffing = true;
  uint32_t hrd_size_bits = 0;
  std::optional<SpsFields> sps;
  std::optional<PpsFields> pps;
  // Of the last picture.
  bool any_picture = false;
  uint32_t frame_num = 0;
  std::optional<uint32_t> idr_pic_id;
  /// Of the worker alone.
  struct Brc {
    double complexity = 0;
    double level_bits = 0;
  };
  std::shared_ptr<Brc> brc = std::make_shared<Brc>();
};

/// What one picture's RenderPicture calls collected.
struct PictureInput {
  std::shared_ptr<Surface> target;
  VASurfaceID target_id = VA_INVALID_SURFACE;
  std::optional<VAEncPictureParameterBufferH264> picture;
  std::vector<VAEncSliceParameterBufferH264> slices;
  struct Packed {
    uint32_t type = 0;
    uint32_t bit_length = 0;
    bool has_emulation_bytes = false;
    std::vector<uint8_t> data;
    bool complete = false;
  };
  std::vector<Packed> packed;
  /// A pipeline with what its pointers pointed to, which need not outlive RenderPicture.
  struct Pipeline {
    VAProcPipelineParameterBuffer buffer{};
    std::optional<VARectangle> from;
    std::optional<VARectangle> to;
    std::optional<VABlendState> blend;
  };
  std::vector<Pipeline> pipelines;
  std::vector<VAEncROI> regions;
  bool regions_are_delta = false;
};

struct Context {
  VAContextID id = VA_INVALID_ID;
  Config config;
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  std::optional<PictureInput> input;
  EncodeState encode;
  uint64_t last_job = 0;
};

/// One VADisplay. Thread-safe by one mutex, as real drivers are.
class Driver {
 public:
  Driver();
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  /// False if the persona that was asked for does not exist.
  bool valid() const { return persona_ != nullptr; }
  const Persona& persona() const { return *persona_; }

  // Each is the VA call of that name.
  VAStatus QueryProfiles(VAProfile* profiles, int* count);
  VAStatus QueryEntrypoints(VAProfile profile, VAEntrypoint* entrypoints, int* count);
  VAStatus GetAttributes(VAProfile profile, VAEntrypoint entrypoint, VAConfigAttrib* attributes,
                         int count);
  VAStatus CreateConfig(VAProfile profile, VAEntrypoint entrypoint, VAConfigAttrib* attributes,
                        int count, VAConfigID* id);
  VAStatus DestroyConfig(VAConfigID id);
  VAStatus QueryConfig(VAConfigID id, VAProfile* profile, VAEntrypoint* entrypoint,
                       VAConfigAttrib* attributes, int* count);
  VAStatus QuerySurfaceAttributes(VAConfigID config, VASurfaceAttrib* attributes, uint32_t* count);
  VAStatus CreateSurfaces(uint32_t rt_format, uint32_t width, uint32_t height, VASurfaceID* ids,
                          uint32_t count, const VASurfaceAttrib* attributes,
                          uint32_t attribute_count);
  VAStatus DestroySurfaces(const VASurfaceID* ids, int count);
  VAStatus ExportSurface(VASurfaceID id, uint32_t memory_type, uint32_t flags, void* descriptor);
  VAStatus CreateContext(VAConfigID config, int width, int height, VAContextID* id);
  VAStatus DestroyContext(VAContextID id);
  VAStatus CreateBuffer(VAContextID context, VABufferType type, uint32_t size, uint32_t elements,
                        const void* data, VABufferID* id);
  VAStatus SetElements(VABufferID id, uint32_t elements);
  VAStatus MapBuffer(VABufferID id, void** data);
  VAStatus UnmapBuffer(VABufferID id);
  VAStatus DestroyBuffer(VABufferID id);
  VAStatus BeginPicture(VAContextID context, VASurfaceID target);
  VAStatus RenderPicture(VAContextID context, const VABufferID* buffers, int count);
  VAStatus EndPicture(VAContextID context);
  VAStatus SyncSurface(VASurfaceID id, std::optional<uint64_t> timeout_ns);
  VAStatus SyncBuffer(VABufferID id, uint64_t timeout_ns);
  VAStatus QueryStatus(VASurfaceID id, VASurfaceStatus* status);
  VAStatus QueryImageFormats(VAImageFormat* formats, int* count);
  VAStatus CreateImage(const VAImageFormat& format, int width, int height, VAImage* image);
  VAStatus DeriveImage(VASurfaceID surface, VAImage* image);
  VAStatus DestroyImage(VAImageID id);
  VAStatus GetImage(VASurfaceID surface, const Rect& from, VAImageID image);
  VAStatus PutImage(VASurfaceID surface, VAImageID image, const Rect& from, const Rect& to);
  VAStatus QueryPipelineCaps(VAProcPipelineCaps* caps);

  /// Remembers and logs why a call is refused, and returns `status`.
  VAStatus Reject(VAStatus status, const std::string& why);

 private:
  // driver_encode.cc, called with the mutex held.
  VAStatus TakeMisc(Context& context, const Buffer& buffer);
  VAStatus TakeEncodeBuffer(Context& context, const Buffer& buffer);
  VAStatus EndEncode(Context& context, PictureInput& input);
  VAStatus CheckPicture(const Context& context, const PictureInput& input);
  VAStatus TakeHeaders(Context& context, PictureInput& input, std::vector<uint8_t>* prefix,
                       std::vector<PackedNal>* slice_headers);
  SliceFields ExpectedSlice(const PictureInput& input, const EncodeState& state,
                            size_t index) const;
  // driver_process.cc
  VAStatus EndProcess(Context& context, PictureInput& input);
  // driver_surfaces.cc
  VAStatus ImportSurface(const VASurfaceAttrib* attributes, uint32_t count, uint32_t width,
                         uint32_t height, Surface* surface);
  VAStatus Lost() const;

  std::shared_ptr<Surface> FindSurface(VASurfaceID id) const;
  std::shared_ptr<Buffer> FindBuffer(VABufferID id) const;

  const Persona* persona_ = nullptr;
  Faults faults_;
  int delay_ms_ = 0;
  std::string dump_path_;
  std::FILE* log_ = nullptr;

  std::mutex mutex_;
  uint32_t next_id_ = 1;
  std::map<VAConfigID, Config> configs_;
  std::map<VAContextID, std::shared_ptr<Context>> contexts_;
  std::map<VASurfaceID, std::shared_ptr<Surface>> surfaces_;
  std::map<VABufferID, std::shared_ptr<Buffer>> buffers_;
  std::map<VAImageID, Image> images_;
  uint64_t coded_pictures_ = 0;
  uint64_t processed_pictures_ = 0;
  bool lost_ = false;
  /// Last, so that its jobs end before what they use.
  Worker worker_;
};

/// Null for a fourcc that is no packed RGB.
const PackedLayout* PackedLayoutOf(uint32_t va_fourcc);
/// The VA fourcc of a DRM one, or 0.
uint32_t VaFourccOf(uint32_t drm_fourcc);

}  // namespace planecast::sw_va
