// One opened GPU: a render node with its VA driver.
#pragma once

#include <va/va.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "encoder/va/va_handle.h"

namespace planecast {

/// What surfaces are made by: VA's fourcc and render-target format.
struct VaFormat {
  uint32_t fourcc = 0;
  uint32_t rt_format = 0;
};
inline constexpr VaFormat kVaNv12 = {VA_FOURCC_NV12, VA_RT_FORMAT_YUV420};

/// The format for packed RGB of a DRM fourcc; fourcc 0 if VA has none.
VaFormat VaFormatOf(uint32_t drm_fourcc);

/// An open render node. Closes on destruction. Move-only.
class NodeFd {
 public:
  explicit NodeFd(int fd) : fd_(fd) {}
  NodeFd(NodeFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  NodeFd& operator=(NodeFd&&) = delete;
  NodeFd(const NodeFd&) = delete;
  NodeFd& operator=(const NodeFd&) = delete;
  ~NodeFd();
  /// Borrowed.
  int get() const { return fd_; }

 private:
  int fd_;
};

/// A VADisplay. Each encoder has one of its own, so that a driver that hangs for one display blocks
/// no other. Bound to one thread, but for the destructor.
class VaDisplay {
 public:
  /// NOT_FOUND if there is no such node, PERMISSION_DENIED if it may not be opened, UNAVAILABLE if
  /// no VA driver can be loaded for it; each says what to do.
  static absl::StatusOr<std::shared_ptr<VaDisplay>> Open(const std::string& render_node);

  /// For Open alone.
  VaDisplay(NodeFd node, VADisplay display) : node_(std::move(node)), display_(display) {}
  ~VaDisplay();
  VaDisplay(const VaDisplay&) = delete;
  VaDisplay& operator=(const VaDisplay&) = delete;

  VADisplay get() const { return display_; }
  /// vaQueryVendorString.
  const std::string& vendor() const { return vendor_; }
  /// E.g. "1.17".
  const std::string& version() const { return version_; }
  /// vaSyncBuffer, which takes a timeout, works here.
  bool has_sync_buffer() const { return has_sync_buffer_; }

  absl::StatusOr<VaBuffer> CreateBuffer(VAContextID context, VABufferType type, size_t size_bytes,
                                        const void* data) const;
  /// A surface of the driver's own memory.
  absl::StatusOr<VaSurface> CreateSurface(const VaFormat& format, uint32_t width_px,
                                          uint32_t height_px) const;

 private:
  /// Open for as long as the display is not terminated.
  NodeFd node_;
  VADisplay display_;
  std::string vendor_;
  std::string version_;
  bool has_sync_buffer_ = false;
};

}  // namespace planecast
