#include "encoder/va/va_upload.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "encoder/h264/h264_headers.h"
#include "encoder/pixels/pixels.h"
#include "encoder/screen/frame_compare.h"
#include "encoder/va/va_convert.h"

namespace planecast {

absl::Status VaUpload::UseLayout(const PlaneLayout& layout) {
  const auto format = PackedFormatOf(layout.fourcc);
  const VaFormat va_format = VaFormatOf(layout.fourcc);
  if (!format || va_format.fourcc == 0 || !CpuFormatSupported(layout.fourcc, layout.modifier)) {
    return absl::UnimplementedError(absl::StrFormat("the CPU can't read format %s with modifier %s",
                                                    FourccName(layout.fourcc),
                                                    ModifierName(layout.modifier)));
  }
  const bool same = surface_.valid() && va_format.fourcc == va_format_.fourcc &&
                    layout.width_px == width_px_ && layout.height_px == height_px_;
  if (same) return absl::OkStatus();
  auto surface = display_->CreateSurface(va_format, layout.width_px, layout.height_px);
  if (!surface.ok()) return surface.status();
  surface_ = *std::move(surface);
  format_ = *format;
  va_format_ = va_format;
  width_px_ = layout.width_px;
  height_px_ = layout.height_px;
  shadow_stride_bytes_ = size_t{width_px_} * PackedBytesPerPixel(format_);
  shadow_.assign(shadow_stride_bytes_ * height_px_, 0);
  changed_mbs_.assign((width_px_ + kMacroblockPx - 1) / kMacroblockPx, 0);
  changed_rows_.assign((height_px_ + kMacroblockPx - 1) / kMacroblockPx, true);
  stale_ = true;
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> VaUpload::Compare(const PlaneBuffer& buffer) {
  const PlaneLayout& layout = buffer.layout();
  auto read = buffer.ReadCpu();
  if (!read.ok()) return read.status();
  const uint64_t needed_bytes =
      uint64_t{layout.stride_bytes} * (layout.height_px - 1) + shadow_stride_bytes_;
  if (layout.stride_bytes < shadow_stride_bytes_ || read->bytes().size() < needed_bytes) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "plane of %u bytes in a mapping of %u bytes", needed_bytes, read->bytes().size()));
  }
  uint32_t count = 0;
  for (uint32_t row = 0; row < changed_rows_.size(); ++row) {
    const uint32_t line = row * kMacroblockPx;
    const CompareRow compare{.source = read->bytes().data() + size_t{line} * layout.stride_bytes,
                             .source_stride_bytes = layout.stride_bytes,
                             .shadow = shadow_.data() + line * shadow_stride_bytes_,
                             .shadow_stride_bytes = shadow_stride_bytes_,
                             .width_px = width_px_,
                             .lines = std::min(kMacroblockPx, height_px_ - line)};
    // Without stopping at the first: what an earlier failure left to be copied stays so.
    if (!CompareAndCopy(format_, compare, changed_mbs_.data()) && !stale_) continue;
    changed_rows_[row] = true;
    ++count;
  }
  stale_ = false;
  return count;
}

absl::Status VaUpload::CopyRows() {
  auto mapped = VaMappedImage::Derive(*display_, surface_.id());
  bool derived = mapped.ok() && mapped->Map().ok();
  if (!derived) {
    mapped = VaMappedImage::Create(*display_, va_format_.fourcc, width_px_, height_px_);
    if (!mapped.ok()) return mapped.status();
    if (auto status = mapped->Map(); !status.ok()) return status;
    // A new image holds nothing: it takes the whole picture.
    std::fill(changed_rows_.begin(), changed_rows_.end(), true);
  }
  const size_t pitch = mapped->image().pitches[0];
  for (uint32_t row = 0; row < changed_rows_.size(); ++row) {
    if (!changed_rows_[row]) continue;
    const uint32_t end = std::min((row + 1) * kMacroblockPx, height_px_);
    for (uint32_t line = row * kMacroblockPx; line < end; ++line) {
      std::memcpy(mapped->plane(0) + line * pitch, &shadow_[line * shadow_stride_bytes_],
                  shadow_stride_bytes_);
    }
  }
  mapped->Unmap();
  absl::Status status;
  if (!derived) {
    status = VaStatus(vaPutImage(display_->get(), surface_.id(), mapped->image().image_id, 0, 0,
                                 width_px_, height_px_, 0, 0, width_px_, height_px_),
                      "take a picture");
  }
  if (status.ok()) std::fill(changed_rows_.begin(), changed_rows_.end(), false);
  return status;
}

absl::StatusOr<VaUpload::Result> VaUpload::Upload(const PlaneBuffer& buffer) {
  if (auto status = UseLayout(buffer.layout()); !status.ok()) {
    // Out of reach is the deeper trouble: no other format would mend it.
    auto read = buffer.ReadCpu();
    return read.ok() || !absl::IsUnimplemented(status) ? status : read.status();
  }
  auto count = Compare(buffer);
  if (!count.ok()) return count.status();
  const bool any =
      std::find(changed_rows_.begin(), changed_rows_.end(), true) != changed_rows_.end();
  if (any) {
    if (auto status = CopyRows(); !status.ok()) return status;
  }
  return Result{surface_.id(), *count};
}

}  // namespace planecast
