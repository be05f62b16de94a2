#include "encoder/software/software_encoder.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "encoder/h264/h264_headers.h"
#include "encoder/h264/stream_contract.h"
#include "encoder/pixels/cursor_blend.h"
#include "encoder/pixels/pixels.h"

namespace planecast {
namespace {

// OpenH264 fails where a picture outgrows its buffers: noise at a fine quantiser. A quarter of the
// bits gets through.
constexpr int kRetryCoarser = 12;
// Up to this part of a picture is patched, counted from the library's last picture: about as far as
// a patch is cheaper. Beyond, the library finds motion, and has to code anew no more than this.
constexpr size_t kPatchedPart = 32;

uint32_t DivideUp(uint32_t value, uint32_t divisor) {
  return (value + divisor - 1) / divisor;
}

// Fills a line from `used` on with its last sample.
void ExtendLine(uint8_t* line, size_t used, size_t length) {
  if (used < length) std::memset(line + used, line[used - 1], length - used);
}

/// Macroblocks that a rectangle touches, from the first column and line to beyond the last.
struct MbRect {
  uint32_t column = 0;
  uint32_t row = 0;
  uint32_t column_end = 0;
  uint32_t row_end = 0;
};

MbRect MbsUnder(const PixelRect& rect) {
  if (rect.width_px == 0) return {};
  return {.column = rect.x_px / kMacroblockPx,
          .row = rect.y_px / kMacroblockPx,
          .column_end = DivideUp(rect.x_px + rect.width_px, kMacroblockPx),
          .row_end = DivideUp(rect.y_px + rect.height_px, kMacroblockPx)};
}

void ExtendPlane(uint8_t* plane, size_t stride_bytes, size_t used_width, size_t used_lines,
                 size_t lines) {
  for (size_t line = 0; line < used_lines; ++line) {
    ExtendLine(plane + line * stride_bytes, used_width, stride_bytes);
  }
  for (size_t line = used_lines; line < lines; ++line) {
    std::memcpy(plane + line * stride_bytes, plane + (used_lines - 1) * stride_bytes, stride_bytes);
  }
}

}  // namespace

SoftwareEncoder::SoftwareEncoder(const EncoderParams& params, const RateParams& rate, Clock& clock)
    : params_(params),
      width_mbs_(DivideUp(params.width_px, kMacroblockPx)),
      height_mbs_(DivideUp(params.height_px, kMacroblockPx)),
      clock_(clock),
      rate_(rate),
      rate_control_(rate, params.frame_rate_hz, uint64_t{params.width_px} * params.height_px),
      changed_mbs_(size_t{width_mbs_} * height_mbs_, 1),
      samples_(size_t{width_mbs_} * height_mbs_ * kMacroblockPx * kMacroblockPx * 3 / 2),
      mb_quantizers_(changed_mbs_.size(), RateControl::kQuantizerMax) {}

absl::StatusOr<std::unique_ptr<Encoder>> SoftwareEncoder::Make(const BackendInfo& backend,
                                                               const EncoderParams& params,
                                                               const RateParams& rate, Clock& clock,
                                                               const std::string& degraded_reason) {
  auto encoder = std::make_unique<SoftwareEncoder>(params, rate, clock);
  encoder->identity_.degraded_reason = degraded_reason;
  auto status = encoder->Open(backend);
  if (!status.ok()) return status;
  return encoder;
}

absl::Status SoftwareEncoder::Open(const BackendInfo& backend) {
  const uint32_t frame_mbs = width_mbs_ * height_mbs_;
  BackendParams params{.width_mbs = width_mbs_,
                       .height_mbs = height_mbs_,
                       .frame_rate_hz = params_.frame_rate_hz,
                       .threads = params_.threads,
                       .slices = 1,
                       .level_idc = 0,
                       .profile = params_.profile};
  if (frame_mbs > kSingleSliceMbsMax && height_mbs_ > 1) {
    params.slices = std::min(std::max(2, params_.threads), static_cast<int>(height_mbs_));
  }
  const auto frame_rate_hz = static_cast<uint32_t>(params_.frame_rate_hz);
  params.level_idc = LevelFor(
      {.width_mbs = width_mbs_, .height_mbs = height_mbs_, .frame_rate_hz = frame_rate_hz});
  identity_.id = backend.id;
  identity_.detail = absl::StrCat(backend.id, " ", backend.library_version);
  auto stream = H264Stream::Make(backend, params,
                                 {.visible_width_px = params_.width_px,
                                  .visible_height_px = params_.height_px,
                                  .frame_rate_hz = frame_rate_hz,
                                  .level_idc = params.level_idc});
  if (!stream.ok()) return stream.status();
  stream_ = *std::move(stream);
  description_ = DescribeStream(stream_->sps(), stream_->contract(), params_.profile);
  return absl::OkStatus();
}

I420Planes SoftwareEncoder::picture() {
  const size_t y_stride = size_t{width_mbs_} * kMacroblockPx;
  const size_t y_size = y_stride * height_mbs_ * kMacroblockPx;
  return {.y = samples_.data(),
          .u = samples_.data() + y_size,
          .v = samples_.data() + y_size + y_size / 4,
          .y_stride_bytes = y_stride,
          .uv_stride_bytes = y_stride / 2};
}

absl::Status SoftwareEncoder::Check(const PlaneLayout& layout) const {
  if (!CpuFormatSupported(layout.fourcc, layout.modifier)) {
    if (PackedFormatOf(layout.fourcc)) {
      return absl::UnimplementedError(absl::StrFormat(
          "format %s with modifier %s can't be read by the software encoder; use a GPU encoder, or "
          "have the guest's driver use linear buffers",
          FourccName(layout.fourcc), ModifierName(layout.modifier)));
    }
    return absl::UnimplementedError(
        absl::StrFormat("format %s can't be read by the software encoder; use XR24 in the guest",
                        FourccName(layout.fourcc)));
  }
  if (layout.width_px != params_.width_px || layout.height_px != params_.height_px) {
    return absl::InvalidArgumentError(absl::StrFormat("frame of %ux%u for an encoder of %ux%u",
                                                      layout.width_px, layout.height_px,
                                                      params_.width_px, params_.height_px));
  }
  const uint64_t line_bytes = uint64_t{layout.width_px} * BytesPerPixel(layout.fourcc);
  if (layout.stride_bytes < line_bytes) {
    return absl::InvalidArgumentError(absl::StrFormat("stride of %u bytes for lines of %u bytes",
                                                      layout.stride_bytes, line_bytes));
  }
  return absl::OkStatus();
}

void SoftwareEncoder::UseFormat(PackedFormat format) {
  if (format_ == format) return;
  format_ = format;
  shadow_stride_bytes_ = size_t{params_.width_px} * PackedBytesPerPixel(format);
  shadow_.assign(shadow_stride_bytes_ * params_.height_px, 0);
  // The old samples belong to the old format.
  std::fill(changed_mbs_.begin(), changed_mbs_.end(), 1);
  samples_stale_ = true;
}

absl::StatusOr<uint32_t> SoftwareEncoder::Compare(const PlaneBuffer& buffer, PackedFormat format) {
  const PlaneLayout& layout = buffer.layout();
  auto read = buffer.ReadCpu();
  if (!read.ok()) return read.status();
  const std::span<const uint8_t> bytes = read->bytes();
  const uint64_t needed_bytes = uint64_t{layout.stride_bytes} * (layout.height_px - 1) +
                                uint64_t{layout.width_px} * PackedBytesPerPixel(format);
  if (bytes.size() < needed_bytes) {
    return absl::FailedPreconditionError(
        absl::StrFormat("plane of %u bytes in a mapping of %u bytes", needed_bytes, bytes.size()));
  }
  uint32_t changed_rows = 0;
  for (uint32_t row = 0; row < height_mbs_; ++row) {
    const uint32_t line = row * kMacroblockPx;
    const CompareRow compare{.source = bytes.data() + size_t{line} * layout.stride_bytes,
                             .source_stride_bytes = layout.stride_bytes,
                             .shadow = shadow_.data() + line * shadow_stride_bytes_,
                             .shadow_stride_bytes = shadow_stride_bytes_,
                             .width_px = params_.width_px,
                             .lines = std::min(kMacroblockPx, params_.height_px - line)};
    if (CompareAndCopy(format, compare, changed_mbs_.data() + size_t{row} * width_mbs_)) {
      ++changed_rows;
    }
  }
  return changed_rows;
}

bool SoftwareEncoder::AnyChangedUnderCursor() const {
  if (!cursor_.has_value()) return false;
  const MbRect mbs = MbsUnder(CursorRect(*cursor_, params_.width_px, params_.height_px));
  for (uint32_t row = mbs.row; row < mbs.row_end; ++row) {
    const auto line = changed_mbs_.begin() + static_cast<ptrdiff_t>(size_t{row} * width_mbs_);
    if (std::find(line + mbs.column, line + mbs.column_end, 1) != line + mbs.column_end) {
      return true;
    }
  }
  return false;
}

void SoftwareEncoder::MarkUnderCursor() {
  if (!cursor_.has_value()) return;
  const MbRect mbs = MbsUnder(CursorRect(*cursor_, params_.width_px, params_.height_px));
  for (uint32_t row = mbs.row; row < mbs.row_end; ++row) {
    const auto line = changed_mbs_.begin() + static_cast<ptrdiff_t>(size_t{row} * width_mbs_);
    std::fill(line + mbs.column, line + mbs.column_end, 1);
  }
}

uint32_t SoftwareEncoder::UseCursor(const Cursor* cursor, uint32_t changed_rows) {
  std::optional<Cursor> wanted;
  if (cursor != nullptr && cursor->visible && cursor->image != nullptr) wanted = *cursor;
  if (!wanted.has_value() && !cursor_.has_value()) return changed_rows;
  const bool moved = wanted != cursor_;
  if (moved) MarkUnderCursor();
  cursor_ = std::move(wanted);
  if (moved || AnyChangedUnderCursor()) MarkUnderCursor();
  changed_rows = 0;
  for (auto line = changed_mbs_.begin(); line != changed_mbs_.end(); line += width_mbs_) {
    if (std::find(line, line + width_mbs_, 1) != line + width_mbs_) ++changed_rows;
  }
  return changed_rows;
}

void SoftwareEncoder::ConvertRow(uint32_t row_mbs, uint32_t begin_mbs, uint32_t end_mbs) {
  const uint32_t x = begin_mbs * kMacroblockPx;
  const uint32_t line = row_mbs * kMacroblockPx;
  const PackedPixels source{.data = shadow_.data() + line * shadow_stride_bytes_ +
                                    size_t{x} * PackedBytesPerPixel(*format_),
                            .stride_bytes = shadow_stride_bytes_,
                            .width_px = std::min(end_mbs * kMacroblockPx, params_.width_px) - x,
                            .lines = std::min(kMacroblockPx, params_.height_px - line)};
  I420Planes target = picture();
  target.y += line * target.y_stride_bytes + x;
  target.u += line / 2 * target.uv_stride_bytes + x / 2;
  target.v += line / 2 * target.uv_stride_bytes + x / 2;
  ConvertToI420(*format_, source, target);
}

void SoftwareEncoder::ReplicateEdges() {
  const I420Planes planes = picture();
  const size_t lines = size_t{height_mbs_} * kMacroblockPx;
  ExtendPlane(planes.y, planes.y_stride_bytes, params_.width_px, params_.height_px, lines);
  for (uint8_t* plane : {planes.u, planes.v}) {
    ExtendPlane(plane, planes.uv_stride_bytes, DivideUp(params_.width_px, 2),
                DivideUp(params_.height_px, 2), lines / 2);
  }
}

void SoftwareEncoder::ConvertChanges() {
  for (uint32_t row = 0; row < height_mbs_; ++row) {
    const auto begin = changed_mbs_.begin() + static_cast<ptrdiff_t>(size_t{row} * width_mbs_);
    const auto end = begin + width_mbs_;
    for (auto run = std::find(begin, end, 1); run != end;) {
      const auto run_end = std::find(run, end, 0);
      ConvertRow(row, static_cast<uint32_t>(run - begin), static_cast<uint32_t>(run_end - begin));
      run = std::find(run_end, end, 1);
    }
  }
  if (AnyChangedUnderCursor()) {
    const I420Planes planes = picture();
    BlendCursor(*cursor_, {.y = planes.y,
                           .u = planes.u,
                           .v = planes.v,
                           .y_stride_bytes = planes.y_stride_bytes,
                           .uv_stride_bytes = planes.uv_stride_bytes,
                           .width_px = params_.width_px,
                           .height_px = params_.height_px});
  }
  ReplicateEdges();
}

RateControl::Coarse SoftwareEncoder::CoarseParts() const {
  const auto count = std::count_if(mb_quantizers_.begin(), mb_quantizers_.end(),
                                   [this](int mb) { return mb > rate_.sharp_quantizer; });
  return {.quantizer = coarsest_quantizer_,
          .area = static_cast<double>(count) / static_cast<double>(mb_quantizers_.size())};
}

void SoftwareEncoder::NoteQuantizers(const Coded& coded) {
  coarsest_quantizer_ = 0;
  for (size_t i = 0; i < mb_quantizers_.size(); ++i) {
    uint8_t& mb = mb_quantizers_[i];
    // A library's picture codes anew what is coarser than it, changed or not.
    const bool anew =
        coded.key_frame || changed_mbs_[i] != 0 || (!coded.patch && mb > coded.quantizer);
    if (anew) mb = static_cast<uint8_t>(coded.quantizer);
    coarsest_quantizer_ = std::max<int>(coarsest_quantizer_, mb);
  }
}

absl::StatusOr<SoftwareEncoder::Coded> SoftwareEncoder::CodePicture(bool key_frame, int quantizer) {
  if (!key_frame) stream_->AddPatched(changed_mbs_);
  CodingJob job{.picture = picture(),
                .key_frame = key_frame,
                .quantizer = quantizer,
                .changed_mbs = changed_mbs_};
  auto bytes = stream_->CodePicture(job);
  if (!bytes.ok()) {
    job.key_frame = true;
    job.quantizer = std::min(quantizer + kRetryCoarser, RateControl::kQuantizerMax);
    bytes = stream_->CodePicture(job);
  }
  if (!bytes.ok()) return bytes.status();
  return Coded{*std::move(bytes), job.quantizer, job.key_frame, /*patch=*/false};
}

absl::StatusOr<SoftwareEncoder::Coded> SoftwareEncoder::CodeChanges(bool key_frame) {
  if (!key_frame && stream_->CanPatch(changed_mbs_, mb_quantizers_.size() / kPatchedPart)) {
    const auto count = static_cast<size_t>(std::count(changed_mbs_.begin(), changed_mbs_.end(), 1));
    const int quantizer = rate_control_.PatchQuantizer(clock_.NowNs(), count);
    // Where the cap is tight, bits count for more than time: the library needs a fifth to a third
    // less of them (16 to 255 macroblocks of text that replaces text).
    if (quantizer == rate_.quantizer) return CodePatch(count, quantizer, Rounding::kCheap);
  }
  const int quantizer = rate_control_.NextQuantizer(clock_.NowNs(), key_frame);
  auto coded = CodePicture(key_frame, quantizer);
  if (!coded.ok()) return coded;
  rate_control_.Coded(clock_.NowNs(), coded->quantizer, coded->key_frame, coded->bytes.size());
  return coded;
}

SoftwareEncoder::Coded SoftwareEncoder::CodePatch(size_t count, int quantizer, Rounding rounding) {
  Coded coded{stream_->CodePatch({.picture = picture(),
                                  .mbs = changed_mbs_,
                                  .quantizer = quantizer,
                                  .rounding = rounding}),
              quantizer, /*key_frame=*/false, /*patch=*/true};
  rate_control_.Patched(clock_.NowNs(), quantizer, count, coded.bytes.size());
  return coded;
}

absl::StatusOr<SoftwareEncoder::Coded> SoftwareEncoder::CodeRefinement() {
  const RateControl::Coarse coarse = CoarseParts();
  const int quantizer = rate_control_.RefinementQuantizer(clock_.NowNs(), coarse);
  // What is to be coded anew, in the map of changes, in which there are none.
  std::transform(mb_quantizers_.begin(), mb_quantizers_.end(), changed_mbs_.begin(),
                 [quantizer](int mb) { return mb > quantizer ? 1 : 0; });
  // Half of what changes may take, so that after a pause there is room for changes again.
  if (stream_->CanPatch(changed_mbs_, mb_quantizers_.size() / (2 * kPatchedPart))) {
    const auto count = static_cast<size_t>(std::count(changed_mbs_.begin(), changed_mbs_.end(), 1));
    return CodePatch(count, quantizer, Rounding::kClose);
  }
  auto coded = CodePicture(/*key_frame=*/false, quantizer);
  if (!coded.ok()) return coded;
  if (coded->key_frame) {
    rate_control_.Coded(clock_.NowNs(), coded->quantizer, true, coded->bytes.size());
  } else {
    rate_control_.Refined(clock_.NowNs(), coarse, quantizer, coded->bytes.size());
  }
  return coded;
}

absl::StatusOr<std::shared_ptr<AccessUnit>> SoftwareEncoder::Code(const Frame& frame,
                                                                  Purpose purpose) {
  auto coded = purpose == Purpose::kRefinement ? CodeRefinement()
                                               : CodeChanges(purpose == Purpose::kKeyFrame);
  if (!coded.ok()) return coded.status();
  NoteQuantizers(*coded);
  auto unit = std::make_shared<AccessUnit>();
  unit->bytes = std::move(coded->bytes);
  unit->key_frame = coded->key_frame;
  unit->pixel_path = PixelPath::kCpuCopy;
  if (unit->key_frame) unit->pixel_path_reason = "the encoder runs on the CPU";
  unit->quantizer = coded->quantizer;
  unit->refinement = purpose == Purpose::kRefinement && !unit->key_frame;
  unit->sharp = IsSharp();
  unit->flip_time_ns = frame.flip_time_ns;
  unit->capture_time_ns = frame.capture_time_ns;
  unit->encoded_time_ns = clock_.NowNs();
  return unit;
}

absl::StatusOr<EncodeResult> SoftwareEncoder::Encode(const Frame& frame,
                                                     const EncodeRequest& request) {
  const int64_t begin_ns = clock_.NowNs();
  // Until this call has succeeded: a unit that is missing must be made up for by a key frame.
  const bool key_frame_was_needed = std::exchange(key_frame_needed_, true);
  const PlaneLayout& layout = frame.buffer->layout();
  if (auto status = Check(layout); !status.ok()) {
    // Out of reach is the deeper trouble: no other format would mend it.
    auto read = frame.buffer->ReadCpu();
    return read.ok() ? status : read.status();
  }
  const PackedFormat format = *PackedFormatOf(layout.fourcc);
  UseFormat(format);
  auto changed_rows = Compare(*frame.buffer, format);
  if (!changed_rows.ok()) return changed_rows.status();
  changed_rows = UseCursor(request.cursor, *changed_rows);
  const bool key_frame = key_frame_was_needed || samples_stale_ || request.force_idr;
  EncodeResult result{.unit = nullptr,
                      .changed_rows = samples_stale_ ? height_mbs_ : *changed_rows};
  if (result.changed_rows != 0) ConvertChanges();
  samples_stale_ = false;
  const int64_t converted_ns = clock_.NowNs();
  result.convert_duration_ns = converted_ns - begin_ns;
  const bool same = result.changed_rows == 0 && !key_frame;
  if (same) {
    result.refine_ns = RefinementNs(converted_ns);
    if (!request.refine || result.refine_ns > converted_ns) {
      key_frame_needed_ = false;
      return result;
    }
  }
  auto unit = Code(frame, key_frame ? Purpose::kKeyFrame
                          : same    ? Purpose::kRefinement
                                    : Purpose::kChanges);
  std::fill(changed_mbs_.begin(), changed_mbs_.end(), 0);
  if (!unit.ok()) return unit.status();
  (*unit)->converted_time_ns = converted_ns;
  result.encode_duration_ns = (*unit)->encoded_time_ns - converted_ns;
  result.unit = std::move(*unit);
  result.refine_ns = RefinementNs(clock_.NowNs());
  key_frame_needed_ = false;
  return result;
}

int64_t SoftwareEncoder::RefinementNs(int64_t now_ns) {
  if (IsSharp()) return std::numeric_limits<int64_t>::max();
  return rate_control_.RefinementNs(now_ns);
}

void SoftwareEncoder::SetRate(const RateParams& rate) {
  rate_ = rate;
  rate_control_.SetRate(rate);
}

}  // namespace planecast
