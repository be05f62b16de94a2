// Buffers and images, and the calls that put a picture together.
#include <algorithm>
#include <cstring>

#include "encoder/testing/va_driver/counters.h"
#include "encoder/testing/va_driver/driver.h"

namespace planecast::sw_va {
namespace {

constexpr uint32_t kBufferMaxBytes = 256u << 20;

VAImageFormat FormatOf(uint32_t fourcc) {
  VAImageFormat format{};
  format.fourcc = fourcc;
  format.byte_order = VA_LSB_FIRST;
  const PackedLayout* packed = PackedLayoutOf(fourcc);
  if (packed == nullptr) {
    format.bits_per_pixel = 12;
    return format;
  }
  format.bits_per_pixel = packed->bytes * 8;
  format.depth = packed->alpha ? 32 : packed->red_bits + packed->green_bits + packed->blue_bits;
  format.red_mask = ((1u << packed->red_bits) - 1) << packed->red_shift;
  format.green_mask = ((1u << packed->green_bits) - 1) << packed->green_shift;
  format.blue_mask = ((1u << packed->blue_bits) - 1) << packed->blue_shift;
  format.alpha_mask = packed->alpha ? 0xff000000u : 0;
  return format;
}

constexpr uint32_t kImageFourccs[] = {VA_FOURCC_NV12,        VA_FOURCC_BGRX,       VA_FOURCC_BGRA,
                                      VA_FOURCC_RGBX,        VA_FOURCC_RGBA,       VA_FOURCC_RGB565,
                                      VA_FOURCC_X2R10G10B10, VA_FOURCC_X2B10G10R10};

/// Copies a rectangle between two pictures of the same layout.
struct PlaneCopy {
  const uint8_t* from;
  size_t from_pitch;
  uint8_t* to;
  size_t to_pitch;
};
void CopyRect(const PlaneCopy& copy, size_t bytes, uint32_t lines) {
  for (uint32_t line = 0; line < lines; ++line) {
    std::memcpy(copy.to + line * copy.to_pitch, copy.from + line * copy.from_pitch, bytes);
  }
}

bool Inside(const Rect& rect, uint32_t width, uint32_t height) {
  return rect.x >= 0 && rect.y >= 0 &&
         uint64_t{rect.width} + static_cast<uint32_t>(rect.x) <= width &&
         uint64_t{rect.height} + static_cast<uint32_t>(rect.y) <= height;
}

}  // namespace

std::shared_ptr<Buffer> Driver::FindBuffer(VABufferID id) const {
  const auto found = buffers_.find(id);
  return found != buffers_.end() ? found->second : nullptr;
}

VAStatus Driver::CreateBuffer(VAContextID context, VABufferType type, uint32_t size,
                              uint32_t elements, const void* data, VABufferID* id) {
  const std::lock_guard lock(mutex_);
  if (lost_) return Lost();
  if (contexts_.find(context) == contexts_.end()) {
    return Reject(VA_STATUS_ERROR_INVALID_CONTEXT, "no such context");
  }
  const uint64_t bytes = uint64_t{size} * elements;
  if (bytes == 0 || bytes > kBufferMaxBytes) {
    return Reject(VA_STATUS_ERROR_ALLOCATION_FAILED, "buffer of no possible size");
  }
  auto buffer = std::make_shared<Buffer>();
  buffer->type = type;
  buffer->size_bytes = size;
  buffer->elements = elements;
  if (type == VAEncCodedBufferType) {
    buffer->coded = std::make_shared<CodedData>();
  } else {
    buffer->data.resize(bytes);
    if (data != nullptr) std::memcpy(buffer->data.data(), data, bytes);
  }
  *id = next_id_++;
  buffers_[*id] = std::move(buffer);
  ++GlobalCounters().buffers_alive;
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::SetElements(VABufferID id, uint32_t elements) {
  const std::lock_guard lock(mutex_);
  const std::shared_ptr<Buffer> buffer = FindBuffer(id);
  if (buffer == nullptr || elements > buffer->elements) return VA_STATUS_ERROR_INVALID_BUFFER;
  buffer->elements = elements;
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::MapBuffer(VABufferID id, void** data) {
  std::unique_lock lock(mutex_);
  if (lost_) return Lost();
  const std::shared_ptr<Buffer> buffer = FindBuffer(id);
  if (buffer == nullptr) return Reject(VA_STATUS_ERROR_INVALID_BUFFER, "no such buffer");
  if (buffer->mapped) return Reject(VA_STATUS_ERROR_OPERATION_FAILED, "buffer is mapped already");
  if (buffer->derived != nullptr) {
    const uint64_t job = buffer->derived->job;
    lock.unlock();
    if (!worker_.Wait(job, std::nullopt)) return VA_STATUS_ERROR_TIMEDOUT;
    lock.lock();
    ++GlobalCounters().image_maps;
    buffer->mapped = true;
    *data = buffer->derived->memory->data();
    return VA_STATUS_SUCCESS;
  }
  if (buffer->coded == nullptr) {
    if (buffer->type == VAImageBufferType) ++GlobalCounters().image_maps;
    buffer->mapped = true;
    *data = buffer->data.data();
    return VA_STATUS_SUCCESS;
  }
  if (buffer->picture != 0 && faults_.At("map-fails", buffer->picture)) {
    return Reject(VA_STATUS_ERROR_OPERATION_FAILED, "fault: the coded buffer can't be mapped");
  }
  const uint64_t job = buffer->job;
  lock.unlock();
  // As real drivers do, mapping waits for the picture.
  if (!worker_.Wait(job, std::nullopt)) return VA_STATUS_ERROR_TIMEDOUT;
  lock.lock();
  ++GlobalCounters().coded_buffer_maps;
  buffer->mapped = true;
  CodedData& coded = *buffer->coded;
  const size_t first = persona_->two_segments ? coded.bytes.size() / 2 : coded.bytes.size();
  coded.segments = {};
  coded.segments[0].size = static_cast<uint32_t>(first);
  coded.segments[0].status = coded.status;
  coded.segments[0].buf = coded.bytes.data();
  if (first < coded.bytes.size()) {
    coded.segments[0].next = &coded.segments[1];
    coded.segments[1].size = static_cast<uint32_t>(coded.bytes.size() - first);
    coded.segments[1].status = coded.status;
    coded.segments[1].buf = coded.bytes.data() + first;
  }
  *data = coded.segments.data();
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::UnmapBuffer(VABufferID id) {
  const std::lock_guard lock(mutex_);
  const std::shared_ptr<Buffer> buffer = FindBuffer(id);
  if (buffer == nullptr || !buffer->mapped) {
    return Reject(VA_STATUS_ERROR_INVALID_BUFFER, "buffer is not mapped");
  }
  buffer->mapped = false;
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::DestroyBuffer(VABufferID id) {
  const std::lock_guard lock(mutex_);
  if (buffers_.erase(id) == 0) return Reject(VA_STATUS_ERROR_INVALID_BUFFER, "no such buffer");
  --GlobalCounters().buffers_alive;
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::SyncBuffer(VABufferID id, uint64_t timeout_ns) {
  uint64_t job = 0;
  {
    const std::lock_guard lock(mutex_);
    if (lost_) return Lost();
    const std::shared_ptr<Buffer> buffer = FindBuffer(id);
    if (buffer == nullptr) return Reject(VA_STATUS_ERROR_INVALID_BUFFER, "no such buffer");
    job = buffer->job;
  }
  return worker_.Wait(job, timeout_ns) ? VA_STATUS_SUCCESS : VA_STATUS_ERROR_TIMEDOUT;
}

VAStatus Driver::BeginPicture(VAContextID id, VASurfaceID target) {
  const std::lock_guard lock(mutex_);
  if (lost_) return Lost();
  const auto found = contexts_.find(id);
  if (found == contexts_.end()) return Reject(VA_STATUS_ERROR_INVALID_CONTEXT, "no such context");
  const std::shared_ptr<Surface> surface = FindSurface(target);
  if (surface == nullptr) return Reject(VA_STATUS_ERROR_INVALID_SURFACE, "no such surface");
  found->second->input.emplace();
  found->second->input->target = surface;
  found->second->input->target_id = target;
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::RenderPicture(VAContextID id, const VABufferID* buffers, int count) {
  const std::lock_guard lock(mutex_);
  if (lost_) return Lost();
  const auto found = contexts_.find(id);
  if (found == contexts_.end()) return Reject(VA_STATUS_ERROR_INVALID_CONTEXT, "no such context");
  Context& context = *found->second;
  if (!context.input.has_value()) {
    return Reject(VA_STATUS_ERROR_OPERATION_FAILED, "RenderPicture outside Begin and End");
  }
  for (int i = 0; i < count; ++i) {
    const std::shared_ptr<Buffer> buffer = FindBuffer(buffers[i]);
    if (buffer == nullptr) return Reject(VA_STATUS_ERROR_INVALID_BUFFER, "no such buffer");
    if (context.config.encodes()) {
      const VAStatus status = TakeEncodeBuffer(context, *buffer);
      if (status != VA_STATUS_SUCCESS) return status;
      continue;
    }
    if (buffer->type != VAProcPipelineParameterBufferType ||
        buffer->data.size() < sizeof(VAProcPipelineParameterBuffer)) {
      return Reject(VA_STATUS_ERROR_UNSUPPORTED_BUFFERTYPE, "not a pipeline buffer");
    }
    PictureInput::Pipeline pipeline;
    std::memcpy(&pipeline.buffer, buffer->data.data(), sizeof(pipeline.buffer));
    if (pipeline.buffer.surface_region != nullptr) pipeline.from = *pipeline.buffer.surface_region;
    if (pipeline.buffer.output_region != nullptr) pipeline.to = *pipeline.buffer.output_region;
    if (pipeline.buffer.blend_state != nullptr) pipeline.blend = *pipeline.buffer.blend_state;
    context.input->pipelines.push_back(pipeline);
  }
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::EndPicture(VAContextID id) {
  const std::lock_guard lock(mutex_);
  if (lost_) return Lost();
  const auto found = contexts_.find(id);
  if (found == contexts_.end()) return Reject(VA_STATUS_ERROR_INVALID_CONTEXT, "no such context");
  Context& context = *found->second;
  if (!context.input.has_value()) {
    return Reject(VA_STATUS_ERROR_OPERATION_FAILED, "EndPicture without Begin");
  }
  PictureInput input = std::move(*context.input);
  context.input.reset();
  return context.config.encodes() ? EndEncode(context, input) : EndProcess(context, input);
}

VAStatus Driver::QueryImageFormats(VAImageFormat* formats, int* count) {
  *count = 0;
  for (const uint32_t fourcc : kImageFourccs) formats[(*count)++] = FormatOf(fourcc);
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::CreateImage(const VAImageFormat& format, int width, int height, VAImage* image) {
  const std::lock_guard lock(mutex_);
  if (lost_) return Lost();
  if (faults_.Has("upload-refused")) {
    return Reject(VA_STATUS_ERROR_OPERATION_FAILED, "fault: no images");
  }
  const PackedLayout* packed = PackedLayoutOf(format.fourcc);
  if (packed == nullptr && format.fourcc != VA_FOURCC_NV12) {
    return Reject(VA_STATUS_ERROR_INVALID_IMAGE_FORMAT, "image of an unknown fourcc");
  }
  if (width <= 0 || height <= 0 || width > 16384 || height > 16384) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "image of no possible size");
  }
  Image made;
  VAImage& out = made.description;
  out.format = FormatOf(format.fourcc);
  out.width = static_cast<uint16_t>(width);
  out.height = static_cast<uint16_t>(height);
  const auto w = static_cast<uint32_t>(width);
  const auto h = static_cast<uint32_t>(height);
  out.num_planes = packed != nullptr ? 1 : 2;
  out.pitches[0] = packed != nullptr ? w * packed->bytes : (w + 1) / 2 * 2;
  out.data_size = out.pitches[0] * h;
  if (packed == nullptr) {
    out.pitches[1] = out.pitches[0];
    out.offsets[1] = out.data_size;
    out.data_size += out.pitches[1] * ((h + 1) / 2);
  }
  auto buffer = std::make_shared<Buffer>();
  buffer->type = VAImageBufferType;
  buffer->size_bytes = out.data_size;
  buffer->data.resize(out.data_size);
  out.buf = next_id_++;
  out.image_id = next_id_++;
  buffers_[out.buf] = std::move(buffer);
  images_[out.image_id] = made;
  ++GlobalCounters().buffers_alive;
  ++GlobalCounters().images_alive;
  *image = out;
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::DeriveImage(VASurfaceID surface_id, VAImage* image) {
  const std::lock_guard lock(mutex_);
  if (lost_) return Lost();
  const std::shared_ptr<Surface> surface = FindSurface(surface_id);
  if (surface == nullptr) return Reject(VA_STATUS_ERROR_INVALID_SURFACE, "no such surface");
  if (faults_.Has("upload-refused")) {
    return Reject(VA_STATUS_ERROR_OPERATION_FAILED, "fault: no images");
  }
  if (surface->imported) {
    return Reject(VA_STATUS_ERROR_OPERATION_FAILED, "an imported surface has no image");
  }
  Image made;
  VAImage& out = made.description;
  out.format = FormatOf(surface->fourcc);
  out.width = static_cast<uint16_t>(surface->width_px);
  out.height = static_cast<uint16_t>(surface->height_px);
  out.data_size = static_cast<uint32_t>(surface->memory->size_bytes());
  out.num_planes = surface->packed != nullptr ? 1 : 2;
  for (size_t plane = 0; plane < out.num_planes; ++plane) {
    out.pitches[plane] = static_cast<uint32_t>(surface->pitch[plane]);
    out.offsets[plane] = static_cast<uint32_t>(surface->offset[plane]);
  }
  auto buffer = std::make_shared<Buffer>();
  buffer->type = VAImageBufferType;
  buffer->size_bytes = out.data_size;
  buffer->derived = surface;
  out.buf = next_id_++;
  out.image_id = next_id_++;
  buffers_[out.buf] = std::move(buffer);
  images_[out.image_id] = made;
  ++GlobalCounters().buffers_alive;
  ++GlobalCounters().images_alive;
  ++GlobalCounters().derived_images;
  *image = out;
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::DestroyImage(VAImageID id) {
  const std::lock_guard lock(mutex_);
  const auto found = images_.find(id);
  if (found == images_.end()) return Reject(VA_STATUS_ERROR_INVALID_IMAGE, "no such image");
  if (buffers_.erase(found->second.description.buf) != 0) --GlobalCounters().buffers_alive;
  images_.erase(found);
  --GlobalCounters().images_alive;
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::GetImage(VASurfaceID surface_id, const Rect& from, VAImageID image_id) {
  std::unique_lock lock(mutex_);
  if (lost_) return Lost();
  const std::shared_ptr<Surface> surface = FindSurface(surface_id);
  const auto image = images_.find(image_id);
  if (surface == nullptr || image == images_.end()) {
    return Reject(VA_STATUS_ERROR_INVALID_SURFACE, "no such surface or image");
  }
  const VAImage description = image->second.description;
  const std::shared_ptr<Buffer> buffer = FindBuffer(description.buf);
  if (surface->tiling != Tiling::kLinear || surface->fourcc != description.format.fourcc ||
      buffer == nullptr || buffer->data.empty() ||
      !Inside(from, surface->width_px, surface->height_px) || from.width > description.width ||
      from.height > description.height) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "GetImage of another format or size");
  }
  const uint64_t job = surface->job;
  lock.unlock();
  if (!worker_.Wait(job, std::nullopt)) return VA_STATUS_ERROR_TIMEDOUT;
  lock.lock();
  ++GlobalCounters().get_images;
  const size_t pixel = surface->packed != nullptr ? surface->packed->bytes : 1;
  for (size_t plane = 0; plane < description.num_planes; ++plane) {
    const auto x = static_cast<size_t>(from.x);
    const auto y = static_cast<size_t>(from.y) / (plane + 1);
    CopyRect(
        {surface->memory->data() + surface->offset[plane] + y * surface->pitch[plane] + x * pixel,
         surface->pitch[plane], buffer->data.data() + description.offsets[plane],
         description.pitches[plane]},
        (plane == 0 ? from.width : (from.width + 1) / 2 * 2) * pixel,
        plane == 0 ? from.height : (from.height + 1) / 2);
  }
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::PutImage(VASurfaceID surface_id, VAImageID image_id, const Rect& from,
                          const Rect& to) {
  std::unique_lock lock(mutex_);
  if (lost_) return Lost();
  const std::shared_ptr<Surface> surface = FindSurface(surface_id);
  const auto image = images_.find(image_id);
  if (surface == nullptr || image == images_.end()) {
    return Reject(VA_STATUS_ERROR_INVALID_SURFACE, "no such surface or image");
  }
  const VAImage description = image->second.description;
  const std::shared_ptr<Buffer> buffer = FindBuffer(description.buf);
  if (surface->imported || surface->fourcc != description.format.fourcc || buffer == nullptr ||
      buffer->data.empty() || from.width != to.width || from.height != to.height ||
      !Inside(from, description.width, description.height) ||
      !Inside(to, surface->width_px, surface->height_px)) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "PutImage of another format or size");
  }
  if (faults_.Has("upload-refused")) {
    return Reject(VA_STATUS_ERROR_OPERATION_FAILED, "fault: no images");
  }
  const uint64_t job = surface->job;
  lock.unlock();
  if (!worker_.Wait(job, std::nullopt)) return VA_STATUS_ERROR_TIMEDOUT;
  lock.lock();
  ++GlobalCounters().put_images;
  const size_t pixel = surface->packed != nullptr ? surface->packed->bytes : 1;
  for (size_t plane = 0; plane < description.num_planes; ++plane) {
    const auto in = static_cast<size_t>(from.y) / (plane + 1) * description.pitches[plane] +
                    static_cast<size_t>(from.x) * pixel;
    const auto out = static_cast<size_t>(to.y) / (plane + 1) * surface->pitch[plane] +
                     static_cast<size_t>(to.x) * pixel;
    CopyRect({buffer->data.data() + description.offsets[plane] + in, description.pitches[plane],
              surface->memory->data() + surface->offset[plane] + out, surface->pitch[plane]},
             (plane == 0 ? to.width : (to.width + 1) / 2 * 2) * pixel,
             plane == 0 ? to.height : (to.height + 1) / 2);
  }
  return VA_STATUS_SUCCESS;
}

}  // namespace planecast::sw_va
