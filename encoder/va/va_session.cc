#include "encoder/va/va_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "encoder/h264/h264_headers.h"

namespace planecast {
namespace {

// Of the raw picture twice its size, and headers: nothing that codes at all comes near.
constexpr size_t kCodedOverheadBytes = 65536;
constexpr size_t kCodedBytesPerPixel = 3;
constexpr size_t kCodedBytesMax = size_t{1} << 30;

/// Reads the driver's list of segments.
absl::StatusOr<VaCoded> ReadSegments(const VACodedBufferSegment* segment) {
  VaCoded coded;
  constexpr uint32_t kUseless =
      VA_CODED_BUF_STATUS_SLICE_OVERFLOW_MASK | VA_CODED_BUF_STATUS_FRAME_SIZE_OVERFLOW;
  for (; segment != nullptr; segment = static_cast<const VACodedBufferSegment*>(segment->next)) {
    if ((segment->status & kUseless) != 0) coded.overflow = true;
    if ((segment->status & VA_CODED_BUF_STATUS_BAD_BITSTREAM) != 0) {
      return absl::InternalError("the GPU says that what it coded is broken");
    }
    coded.quantizer = static_cast<int>(segment->status & VA_CODED_BUF_STATUS_PICTURE_AVE_QP_MASK);
    const auto* bytes = static_cast<const uint8_t*>(segment->buf);
    if (segment->size > kCodedBytesMax - coded.bytes.size()) {
      return absl::InternalError("the GPU says that it coded more than it can have");
    }
    coded.bytes.insert(coded.bytes.end(), bytes, bytes + segment->size);
  }
  return coded;
}

}  // namespace

VaSession::VaSession(std::shared_ptr<VaDisplay> display, const VaRung& rung, const VaPolicy& policy,
                     const VaStream& stream, int64_t timeout_ns)
    : display_(display),
      rung_(rung),
      policy_(policy),
      stream_(stream),
      timeout_ns_(timeout_ns),
      packed_headers_(PackedHeadersToUse(rung.caps.packed_headers)),
      wait_(std::move(display)) {}

absl::StatusOr<std::unique_ptr<VaSession>> VaSession::Make(std::shared_ptr<VaDisplay> display,
                                                           const VaRung& rung,
                                                           const VaPolicy& policy,
                                                           const VaStream& stream,
                                                           int64_t timeout_ns) {
  auto session = std::make_unique<VaSession>(std::move(display), rung, policy, stream, timeout_ns);
  if (auto status = session->Open(); !status.ok()) return status;
  return session;
}

absl::Status VaSession::Open() {
  const uint32_t width_px = stream_.sps.width_mbs * kMacroblockPx;
  const uint32_t height_px = stream_.sps.height_mbs * kMacroblockPx;
  std::vector<VAConfigAttrib> attributes = {{VAConfigAttribRTFormat, VA_RT_FORMAT_YUV420}};
  if (rung_.caps.names_rate_control) {
    attributes.push_back({VAConfigAttribRateControl, rung_.rate_control});
  }
  if (packed_headers_ != 0) {
    attributes.push_back({VAConfigAttribEncPackedHeaders, packed_headers_});
  }
  VAConfigID config = VA_INVALID_ID;
  VAStatus status = vaCreateConfig(display_->get(), rung_.caps.profile, rung_.caps.entrypoint,
                                   attributes.data(), static_cast<int>(attributes.size()), &config);
  if (status != VA_STATUS_SUCCESS) return VaStatus(status, "make an encode config");
  config_ = VaConfig(display_->get(), config);
  for (VaSurface* surface : {&input_, &reference_, &reconstruction_}) {
    auto made = display_->CreateSurface(kVaNv12, width_px, height_px);
    if (!made.ok()) return made.status();
    *surface = *std::move(made);
  }
  VASurfaceID surfaces[] = {input_.id(), reference_.id(), reconstruction_.id()};
  VAContextID context = VA_INVALID_ID;
  status = vaCreateContext(display_->get(), config, static_cast<int>(width_px),
                           static_cast<int>(height_px), VA_PROGRESSIVE, surfaces,
                           static_cast<int>(std::size(surfaces)), &context);
  if (status != VA_STATUS_SUCCESS) return VaStatus(status, "make an encode context");
  context_ = VaContext(display_->get(), context);
  auto coded = display_->CreateBuffer(
      context, VAEncCodedBufferType,
      size_t{width_px} * height_px * kCodedBytesPerPixel + kCodedOverheadBytes, nullptr);
  if (!coded.ok()) return coded.status();
  coded_ = *std::move(coded);
  return absl::OkStatus();
}

template <typename T>
absl::Status VaSession::Add(VABufferType type, const T& value, std::vector<VaBuffer>& buffers) {
  auto buffer = display_->CreateBuffer(context_.id(), type, sizeof(value), &value);
  if (!buffer.ok()) return buffer.status();
  buffers.push_back(*std::move(buffer));
  return absl::OkStatus();
}

absl::Status VaSession::AddPacked(const VaPicture& picture, std::vector<VaBuffer>& buffers) {
  for (const VaPackedHeader& header : MakePackedHeaders(stream_, picture)) {
    VAEncPackedHeaderParameterBuffer params{};
    params.type = header.type;
    params.bit_length = header.size_bits;
    params.has_emulation_bytes = 1;
    if (auto status = Add(VAEncPackedHeaderParameterBufferType, params, buffers); !status.ok()) {
      return status;
    }
    auto data = display_->CreateBuffer(context_.id(), VAEncPackedHeaderDataBufferType,
                                       header.bytes.size(), header.bytes.data());
    if (!data.ok()) return data.status();
    buffers.push_back(*std::move(data));
  }
  return absl::OkStatus();
}

// Everything for one picture, in the order that all drivers take: sequence, rates, picture, packed
// headers, slice.
absl::Status VaSession::Render(const VaPicture& picture, const RateParams& rate) {
  std::vector<VaBuffer> buffers;
  absl::Status status;
  if (picture.idr) {
    status.Update(Add(VAEncSequenceParameterBufferType,
                      MakeSequenceParams(stream_, rate.bitrate_max_bps), buffers));
  }
  const bool driver_rate = rung_.rate_control != VA_RC_CQP;
  // A change is told with the next picture and takes no IDR.
  if (driver_rate && (picture.idr || !rate_told_ || told_rate_ != rate)) {
    status.Update(
        Add(VAEncMiscParameterBufferType, MakeRateControl(rate, picture.quantizer), buffers));
    status.Update(
        Add(VAEncMiscParameterBufferType, MakeHrd(rate, policy_, stream_.frame_rate_hz), buffers));
    status.Update(Add(VAEncMiscParameterBufferType, MakeFrameRate(stream_.frame_rate_hz), buffers));
    told_rate_ = rate;
    rate_told_ = true;
  }
  status.Update(Add(VAEncPictureParameterBufferType, MakePictureParams(stream_, picture), buffers));
  if (packed_headers_ != 0) status.Update(AddPacked(picture, buffers));
  status.Update(Add(VAEncSliceParameterBufferType, MakeSliceParams(stream_, picture), buffers));
  if (!status.ok()) return status;
  std::vector<VABufferID> ids;
  ids.reserve(buffers.size());
  for (const VaBuffer& buffer : buffers) ids.push_back(buffer.id());
  const VADisplay display = display_->get();
  status = VaStatus(vaBeginPicture(display, context_.id(), input_.id()), "begin a picture");
  if (!status.ok()) return status;
  status =
      VaStatus(vaRenderPicture(display, context_.id(), ids.data(), static_cast<int>(ids.size())),
               "take a picture's parameters");
  // A picture that was begun has to be ended, also after an error.
  status.Update(VaStatus(vaEndPicture(display, context_.id()), "encode a picture"));
  return status;
}

absl::Status VaSession::Submit(bool idr, int quantizer, const RateParams& rate) {
  picture_ = {.idr = idr || !kept_any_,
              .number = idr || !kept_any_ ? 0 : kept_number_ + 1,
              .idr_pic_id = idr_pic_id_,
              .quantizer = quantizer,
              .reconstruction = reconstruction_.id(),
              .reference = reference_.id(),
              .coded = coded_.id()};
  // Also if the picture is thrown away, no two IDRs in a row may have the same.
  if (picture_.idr) idr_pic_id_ ^= 1;
  return Render(picture_, rate);
}

absl::StatusOr<VaCoded> VaSession::Finish() {
  if (auto status = wait_.ForPicture(coded_.id(), input_.id(), timeout_ns_); !status.ok()) {
    return status;
  }
  void* segments = nullptr;
  const VAStatus status = vaMapBuffer(display_->get(), coded_.id(), &segments);
  if (status != VA_STATUS_SUCCESS) return VaStatus(status, "map a coded buffer");
  auto coded = ReadSegments(static_cast<const VACodedBufferSegment*>(segments));
  const VAStatus unmapped = vaUnmapBuffer(display_->get(), coded_.id());
  if (!coded.ok()) return coded;
  if (unmapped != VA_STATUS_SUCCESS) return VaStatus(unmapped, "unmap a coded buffer");
  if (coded->bytes.empty() && !coded->overflow) {
    return absl::InternalError("the GPU gave an empty picture");
  }
  return coded;
}

void VaSession::Keep() {
  kept_number_ = picture_.number;
  kept_any_ = true;
  std::swap(reference_, reconstruction_);
}

}  // namespace planecast
