#include "encoder/va/va_convert.h"

#include <drm_fourcc.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "encoder/pixels/cursor_blend.h"

namespace planecast {
namespace {

// H.273: BT.709 primaries and matrix, the transfer of sRGB for RGB and that of BT.709 for video.
constexpr uint8_t kPrimariesBt709 = 1;
constexpr uint8_t kTransferSrgb = 13;
constexpr uint8_t kTransferBt709 = 1;
constexpr uint8_t kMatrixRgb = 0;
constexpr uint8_t kMatrixBt709 = 1;

void SetColors(bool explicit_color, VAProcPipelineParameterBuffer& pipeline) {
  pipeline.surface_color_standard =
      explicit_color ? VAProcColorStandardExplicit : VAProcColorStandardBT709;
  pipeline.output_color_standard = pipeline.surface_color_standard;
  pipeline.input_color_properties.color_range = VA_SOURCE_RANGE_FULL;
  pipeline.output_color_properties.color_range = VA_SOURCE_RANGE_REDUCED;
  if (!explicit_color) return;
  pipeline.input_color_properties.colour_primaries = kPrimariesBt709;
  pipeline.input_color_properties.transfer_characteristics = kTransferSrgb;
  pipeline.input_color_properties.matrix_coefficients = kMatrixRgb;
  pipeline.output_color_properties.colour_primaries = kPrimariesBt709;
  pipeline.output_color_properties.transfer_characteristics = kTransferBt709;
  pipeline.output_color_properties.matrix_coefficients = kMatrixBt709;
}

VARectangle Rectangle(int32_t x, int32_t y, uint32_t width, uint32_t height) {
  return {static_cast<int16_t>(x), static_cast<int16_t>(y), static_cast<uint16_t>(width),
          static_cast<uint16_t>(height)};
}

/// The part of a cursor that lies within the picture, in both.
struct ClippedCursor {
  VARectangle from;
  VARectangle to;
  bool visible = false;
};
ClippedCursor Clip(const Cursor& cursor, const VaConvert::Size& output) {
  ClippedCursor clipped{};
  if (!cursor.visible || cursor.image == nullptr) return clipped;
  const int64_t left = std::max<int64_t>(cursor.x_px, 0);
  const int64_t top = std::max<int64_t>(cursor.y_px, 0);
  const int64_t right =
      std::min<int64_t>(int64_t{cursor.x_px} + cursor.image->width_px, output.width_px);
  const int64_t bottom =
      std::min<int64_t>(int64_t{cursor.y_px} + cursor.image->height_px, output.height_px);
  if (right <= left || bottom <= top) return clipped;
  const auto width = static_cast<uint32_t>(right - left);
  const auto height = static_cast<uint32_t>(bottom - top);
  clipped.from = Rectangle(static_cast<int32_t>(left - cursor.x_px),
                           static_cast<int32_t>(top - cursor.y_px), width, height);
  clipped.to = Rectangle(static_cast<int32_t>(left), static_cast<int32_t>(top), width, height);
  clipped.visible = true;
  return clipped;
}

}  // namespace

VaConvert::VaConvert(std::shared_ptr<VaDisplay> display, int64_t timeout_ns)
    : display_(display), timeout_ns_(timeout_ns), wait_(std::move(display)) {}

absl::StatusOr<std::unique_ptr<VaConvert>> VaConvert::Make(std::shared_ptr<VaDisplay> display,
                                                           int64_t timeout_ns) {
  auto convert = std::make_unique<VaConvert>(std::move(display), timeout_ns);
  if (auto status = convert->Open(); !status.ok()) return status;
  return convert;
}

absl::Status VaConvert::Open() {
  // Only the render-target format: some drivers refuse a processing config with anything more.
  VAConfigAttrib attribute = {VAConfigAttribRTFormat, VA_RT_FORMAT_YUV420};
  VAConfigID config = VA_INVALID_ID;
  VAStatus status =
      vaCreateConfig(display_->get(), VAProfileNone, VAEntrypointVideoProc, &attribute, 1, &config);
  if (status != VA_STATUS_SUCCESS) return VaStatus(status, "make a video processor");
  config_ = VaConfig(display_->get(), config);
  VAContextID context = VA_INVALID_ID;
  status = vaCreateContext(display_->get(), config, 0, 0, 0, nullptr, 0, &context);
  if (status != VA_STATUS_SUCCESS) return VaStatus(status, "make a video processor");
  context_ = VaContext(display_->get(), context);
  VAProcPipelineCaps caps{};
  status = vaQueryVideoProcPipelineCaps(display_->get(), context, nullptr, 0, &caps);
  if (status != VA_STATUS_SUCCESS) return VaStatus(status, "tell what its video processor can");
  const auto* standards = caps.output_color_standards;
  explicit_color_ =
      standards != nullptr &&
      std::find(standards, standards + caps.num_output_color_standards,
                VAProcColorStandardExplicit) != standards + caps.num_output_color_standards;
  blends_ = (caps.blend_flags & VA_BLEND_PREMULTIPLIED_ALPHA) != 0;
  return absl::OkStatus();
}

absl::Status VaConvert::Convert(VASurfaceID source, const Size& source_size, VASurfaceID target,
                                const Size& output, const Cursor* cursor) {
  const VARectangle from = Rectangle(0, 0, source_size.width_px, source_size.height_px);
  const VARectangle to = Rectangle(0, 0, output.width_px, output.height_px);
  VAProcPipelineParameterBuffer picture{};
  picture.surface = source;
  picture.surface_region = &from;
  picture.output_region = &to;
  SetColors(explicit_color_, picture);
  std::vector<VAProcPipelineParameterBuffer> pipelines = {picture};

  const ClippedCursor clipped = cursor != nullptr ? Clip(*cursor, output) : ClippedCursor{};
  VABlendState blend{};
  blend.flags = VA_BLEND_PREMULTIPLIED_ALPHA;
  if (clipped.visible && blends_) {
    if (auto status = UploadCursor(*cursor->image); !status.ok()) return status;
    cursor_image_ = cursor->image;
    VAProcPipelineParameterBuffer layer{};
    layer.surface = cursor_.id();
    layer.surface_region = &clipped.from;
    layer.output_region = &clipped.to;
    layer.blend_state = &blend;
    SetColors(explicit_color_, layer);
    pipelines.push_back(layer);
  }

  std::vector<VaBuffer> buffers;
  std::vector<VABufferID> ids;
  for (const VAProcPipelineParameterBuffer& pipeline : pipelines) {
    auto buffer = display_->CreateBuffer(context_.id(), VAProcPipelineParameterBufferType,
                                         sizeof(pipeline), &pipeline);
    if (!buffer.ok()) return buffer.status();
    ids.push_back(buffer->id());
    buffers.push_back(*std::move(buffer));
  }
  const VADisplay display = display_->get();
  absl::Status status =
      VaStatus(vaBeginPicture(display, context_.id(), target), "begin a conversion");
  if (!status.ok()) return status;
  status =
      VaStatus(vaRenderPicture(display, context_.id(), ids.data(), static_cast<int>(ids.size())),
               "take a conversion's parameters");
  status.Update(VaStatus(vaEndPicture(display, context_.id()), "convert a picture"));
  if (!status.ok() || !clipped.visible || blends_) return status;
  return DrawByCpu(*cursor, target, output);
}

absl::Status VaConvert::UploadCursor(const CursorImage& image) {
  if (cursor_.valid() && cursor_image_.get() == &image) return absl::OkStatus();
  auto surface =
      display_->CreateSurface(VaFormatOf(DRM_FORMAT_ARGB8888), image.width_px, image.height_px);
  if (!surface.ok()) return surface.status();
  auto pixels = VaMappedImage::Create(*display_, VA_FOURCC_BGRA, image.width_px, image.height_px);
  if (!pixels.ok()) return pixels.status();
  if (auto status = pixels->Map(); !status.ok()) return status;
  const size_t line_bytes = size_t{image.width_px} * 4;
  for (uint32_t y = 0; y < image.height_px; ++y) {
    std::memcpy(pixels->plane(0) + size_t{y} * pixels->image().pitches[0],
                &image.argb[size_t{y} * image.width_px], line_bytes);
  }
  pixels->Unmap();
  const VAStatus status =
      vaPutImage(display_->get(), surface->id(), pixels->image().image_id, 0, 0, image.width_px,
                 image.height_px, 0, 0, image.width_px, image.height_px);
  if (status != VA_STATUS_SUCCESS) return VaStatus(status, "take the cursor's picture");
  cursor_ = *std::move(surface);
  return absl::OkStatus();
}

// Only the few lines under the cursor are touched, and they are the encoder's, not the guest's.
absl::Status VaConvert::DrawByCpu(const Cursor& cursor, VASurfaceID target, const Size& output) {
  if (auto status = wait_.ForSurface(target, timeout_ns_); !status.ok()) return status;
  const auto draw = [](const VaMappedImage& mapped, const Cursor& moved, const Size& size) {
    BlendCursor(moved, {.y = mapped.plane(0),
                        .u = mapped.plane(1),
                        .v = mapped.plane(1) + 1,
                        .y_stride_bytes = mapped.image().pitches[0],
                        .uv_stride_bytes = mapped.image().pitches[1],
                        .uv_step_bytes = 2,
                        .width_px = size.width_px,
                        .height_px = size.height_px});
  };
  auto derived = VaMappedImage::Derive(*display_, target);
  if (derived.ok() && derived->Map().ok()) {
    draw(*derived, cursor, output);
    return absl::OkStatus();
  }
  const PixelRect rect = CursorRect(cursor, output.width_px, output.height_px);
  auto part = VaMappedImage::Create(*display_, VA_FOURCC_NV12, rect.width_px, rect.height_px);
  if (!part.ok()) return part.status();
  const VADisplay display = display_->get();
  const auto x = static_cast<int>(rect.x_px);
  const auto y = static_cast<int>(rect.y_px);
  absl::Status status = VaStatus(
      vaGetImage(display, target, x, y, rect.width_px, rect.height_px, part->image().image_id),
      "read the picture under the cursor");
  if (status.ok()) status = part->Map();
  if (!status.ok()) return status;
  Cursor moved = cursor;
  moved.x_px -= x;
  moved.y_px -= y;
  draw(*part, moved, {rect.width_px, rect.height_px});
  part->Unmap();
  return VaStatus(vaPutImage(display, target, part->image().image_id, 0, 0, rect.width_px,
                             rect.height_px, x, y, rect.width_px, rect.height_px),
                  "write the picture under the cursor");
}

absl::StatusOr<VaMappedImage> VaMappedImage::Derive(const VaDisplay& display, VASurfaceID surface) {
  VAImage image{};
  const VAStatus status = vaDeriveImage(display.get(), surface, &image);
  if (status != VA_STATUS_SUCCESS) return VaStatus(status, "show a surface's memory");
  return VaMappedImage(display.get(), image);
}

absl::StatusOr<VaMappedImage> VaMappedImage::Create(const VaDisplay& display, uint32_t va_fourcc,
                                                    uint32_t width_px, uint32_t height_px) {
  std::vector<VAImageFormat> formats(
      static_cast<size_t>(std::max(vaMaxNumImageFormats(display.get()), 0)));
  int count = 0;
  if (formats.empty() ||
      vaQueryImageFormats(display.get(), formats.data(), &count) != VA_STATUS_SUCCESS) {
    return absl::InternalError("the VA driver has no image formats");
  }
  formats.resize(std::min(formats.size(), static_cast<size_t>(std::max(count, 0))));
  const auto format = std::find_if(formats.begin(), formats.end(), [&](const VAImageFormat& one) {
    return one.fourcc == va_fourcc;
  });
  if (format == formats.end()) {
    return absl::UnimplementedError("the VA driver has no images of this format");
  }
  VAImage image{};
  const VAStatus status = vaCreateImage(display.get(), &*format, static_cast<int>(width_px),
                                        static_cast<int>(height_px), &image);
  if (status != VA_STATUS_SUCCESS) return VaStatus(status, "make an image");
  return VaMappedImage(display.get(), image);
}

VaMappedImage::VaMappedImage(VaMappedImage&& other) noexcept
    : display_(other.display_), image_(other.image_), bytes_(std::exchange(other.bytes_, nullptr)) {
  other.image_.image_id = VA_INVALID_ID;
}

VaMappedImage& VaMappedImage::operator=(VaMappedImage&& other) noexcept {
  std::swap(display_, other.display_);
  std::swap(image_, other.image_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

VaMappedImage::~VaMappedImage() {
  Unmap();
  if (image_.image_id != VA_INVALID_ID) vaDestroyImage(display_, image_.image_id);
}

absl::Status VaMappedImage::Map() {
  void* bytes = nullptr;
  const VAStatus status = vaMapBuffer(display_, image_.buf, &bytes);
  if (status != VA_STATUS_SUCCESS) return VaStatus(status, "map an image");
  bytes_ = static_cast<uint8_t*>(bytes);
  return absl::OkStatus();
}

void VaMappedImage::Unmap() {
  if (bytes_ == nullptr) return;
  vaUnmapBuffer(display_, image_.buf);
  bytes_ = nullptr;
}

}  // namespace planecast
