// The one type that crosses from vfio/ to encoder/: a frame, and the memory it is in.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace planecast {

/// How the pixels of a plane lie in memory. What a PlaneSource hands out has been checked.
struct PlaneLayout {
  /// DRM fourcc (drm_fourcc.h), e.g. DRM_FORMAT_XRGB8888.
  uint32_t fourcc = 0;
  /// DRM format modifier; 0 is linear.
  uint64_t modifier = 0;
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  uint32_t stride_bytes = 0;
  /// Bytes of memory behind the plane, from its first pixel; what the exporter says, checked
  /// against the real size of the memory. May be more than stride x height, and less than that by
  /// the unused end of the last line.
  uint64_t size_bytes = 0;

  friend bool operator==(const PlaneLayout&, const PlaneLayout&) = default;
};

/// Largest plane that planecast accepts.
inline constexpr uint32_t kPlaneWidthMaxPx = 7680;
inline constexpr uint32_t kPlaneHeightMaxPx = 4320;

/// The fourcc as text, e.g. "XR24"; unprintable bytes as '?'.
std::string FourccName(uint32_t fourcc);

/// Bytes per pixel of a packed single-plane format, or 0 for a fourcc that planecast does not know.
uint32_t BytesPerPixel(uint32_t fourcc);

/// The memory of a plane. Implemented by vfio/ (dma-buf, region) and by tests.
///
/// Bound to the display's thread, but for the destructor, which may run anywhere.
class PlaneMemory {
 public:
  virtual ~PlaneMemory() = default;

  /// Borrowed dma-buf fd for a GPU import, or -1 if the memory is no dma-buf.
  virtual int dmabuf_fd() const = 0;

  /// Makes the memory readable by the CPU and returns all of it, mapped. The span stays valid until
  /// EndCpuRead. FAILED_PRECONDITION if this memory has no CPU path, with the reason.
  virtual absl::StatusOr<std::span<const uint8_t>> BeginCpuRead() = 0;
  virtual void EndCpuRead() = 0;
};

/// A bracket around CPU reads of a plane's memory. Move-only.
class CpuRead {
 public:
  CpuRead(PlaneMemory& memory, std::span<const uint8_t> bytes) : memory_(&memory), bytes_(bytes) {}
  CpuRead(CpuRead&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), bytes_(other.bytes_) {}
  CpuRead& operator=(CpuRead&&) = delete;
  CpuRead(const CpuRead&) = delete;
  CpuRead& operator=(const CpuRead&) = delete;
  ~CpuRead() {
    if (memory_ != nullptr) memory_->EndCpuRead();
  }

  /// At least layout().size_bytes bytes. A guest may write to them at any time.
  std::span<const uint8_t> bytes() const { return bytes_; }

 private:
  PlaneMemory* memory_;
  std::span<const uint8_t> bytes_;
};

/// One framebuffer of the guest: what its memory is. Immutable, shared by reference count.
///
/// The *pixels* may change at any time; the description never does.
class PlaneBuffer {
 public:
  /// `serial` is unique among all buffers of the process and never reused: a cache key.
  PlaneBuffer(uint64_t serial, const PlaneLayout& layout, std::unique_ptr<PlaneMemory> memory)
      : serial_(serial), layout_(layout), memory_(std::move(memory)) {}

  uint64_t serial() const { return serial_; }
  const PlaneLayout& layout() const { return layout_; }
  /// Borrowed; -1 if the memory is no dma-buf.
  int dmabuf_fd() const { return memory_->dmabuf_fd(); }
  /// Opens the pixels for reading by the CPU. At most one bracket at a time.
  absl::StatusOr<CpuRead> ReadCpu() const {
    auto bytes = memory_->BeginCpuRead();
    if (!bytes.ok()) return bytes.status();
    return CpuRead(*memory_, *bytes);
  }

 private:
  uint64_t serial_;
  PlaneLayout layout_;
  std::unique_ptr<PlaneMemory> memory_;
};

/// A buffer at the moment it was on screen. A value. Times are on the monotonic clock, in ns.
struct Frame {
  std::shared_ptr<const PlaneBuffer> buffer;
  /// When the guest flipped: the event's time, or with polling the time of the look that first saw
  /// the flip.
  int64_t flip_time_ns = 0;
  /// When the plane was looked at.
  int64_t capture_time_ns = 0;
};

/// The cursor's picture. Immutable.
struct CursorImage {
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  /// Row by row without padding; premultiplied ARGB8888, as DRM has it.
  std::vector<uint32_t> argb;
  /// From the image's corner; absent if the device doesn't know.
  struct Hotspot {
    int32_t x_px = 0;
    int32_t y_px = 0;
    friend bool operator==(const Hotspot&, const Hotspot&) = default;
  };
  std::optional<Hotspot> hotspot;

  friend bool operator==(const CursorImage&, const CursorImage&) = default;
};

/// The cursor plane. Position is the image's corner in pixels of the primary plane.
struct Cursor {
  bool visible = false;
  int32_t x_px = 0;
  int32_t y_px = 0;
  /// Null while no image is known. A new pointer means a new image.
  std::shared_ptr<const CursorImage> image;

  friend bool operator==(const Cursor&, const Cursor&) = default;
};

/// Largest cursor image that planecast accepts, in each direction: twice what any GPU's cursor
/// plane takes. Its pixels are 1 MiB, a quarter of what gRPC's clients take in a message.
inline constexpr uint32_t kCursorSizeMaxPx = 512;

}  // namespace planecast
