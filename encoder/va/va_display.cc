#include "encoder/va/va_display.h"

#include <drm_fourcc.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <va/va_drm.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

// What libva has to say goes into our errors, not to the terminal.
void Ignore(void* /*context*/, const char* /*message*/) {}

absl::Status OpenError(const std::string& node, int error) {
  const std::string what = absl::StrCat(node, ": ", std::strerror(error));
  if (error == ENOENT || error == ENXIO) {
    return absl::NotFoundError(absl::StrCat(what, "; this host has no such render node"));
  }
  return absl::PermissionDeniedError(
      absl::StrCat(what, "; give the daemon's user the group that owns the node (render)"));
}

}  // namespace

absl::Status VaStatus(VAStatus status, const char* what) {
  if (status == VA_STATUS_SUCCESS) return absl::OkStatus();
  const std::string text =
      absl::StrCat("the VA driver could not ", what, ": ", vaErrorStr(status), " (", status, ")");
  if (status == VA_STATUS_ERROR_TIMEDOUT) return absl::DeadlineExceededError(text);
  return absl::InternalError(text);
}

VaFormat VaFormatOf(uint32_t drm_fourcc) {
  switch (drm_fourcc) {
    case DRM_FORMAT_XRGB8888:
      return {VA_FOURCC_BGRX, VA_RT_FORMAT_RGB32};
    case DRM_FORMAT_ARGB8888:
      return {VA_FOURCC_BGRA, VA_RT_FORMAT_RGB32};
    case DRM_FORMAT_XBGR8888:
      return {VA_FOURCC_RGBX, VA_RT_FORMAT_RGB32};
    case DRM_FORMAT_ABGR8888:
      return {VA_FOURCC_RGBA, VA_RT_FORMAT_RGB32};
    case DRM_FORMAT_RGB565:
      return {VA_FOURCC_RGB565, VA_RT_FORMAT_RGB16};
    case DRM_FORMAT_XRGB2101010:
      return {VA_FOURCC_X2R10G10B10, VA_RT_FORMAT_RGB32_10};
    case DRM_FORMAT_XBGR2101010:
      return {VA_FOURCC_X2B10G10R10, VA_RT_FORMAT_RGB32_10};
    default:
      return {};
  }
}

absl::StatusOr<std::shared_ptr<VaDisplay>> VaDisplay::Open(const std::string& render_node) {
  NodeFd node(open(render_node.c_str(), O_RDWR | O_CLOEXEC));
  if (node.get() < 0) return OpenError(render_node, errno);
  VADisplay raw = vaGetDisplayDRM(node.get());
  if (raw == nullptr) {
    return absl::UnavailableError(absl::StrCat(render_node, " is no DRM render node"));
  }
  vaSetErrorCallback(raw, Ignore, nullptr);
  vaSetInfoCallback(raw, Ignore, nullptr);
  // From here on its destructor terminates the display, also one that could not be initialised.
  auto display = std::make_shared<VaDisplay>(std::move(node), raw);
  int major = 0;
  int minor = 0;
  const VAStatus status = vaInitialize(raw, &major, &minor);
  if (status != VA_STATUS_SUCCESS) {
    return absl::UnavailableError(absl::StrCat(
        render_node, ": no VA driver (", vaErrorStr(status),
        "); install the GPU's, e.g. intel-media-va-driver or mesa-va-drivers, and try vainfo"));
  }
  display->version_ = absl::StrCat(major, ".", minor);
  const char* vendor = vaQueryVendorString(raw);
  display->vendor_ = vendor != nullptr ? vendor : "unknown";
  // Without the call libva answers UNIMPLEMENTED before it looks at the buffer.
  display->has_sync_buffer_ = vaSyncBuffer(raw, VA_INVALID_ID, 0) != VA_STATUS_ERROR_UNIMPLEMENTED;
  return display;
}

NodeFd::~NodeFd() {
  if (fd_ >= 0) close(fd_);
}

VaDisplay::~VaDisplay() {
  vaTerminate(display_);
}

absl::StatusOr<VaBuffer> VaDisplay::CreateBuffer(VAContextID context, VABufferType type,
                                                 size_t size_bytes, const void* data) const {
  VABufferID id = VA_INVALID_ID;
  // libva takes a void* that it only reads.
  const VAStatus status = vaCreateBuffer(display_, context, type, static_cast<uint32_t>(size_bytes),
                                         1, const_cast<void*>(data), &id);
  if (status != VA_STATUS_SUCCESS) return VaStatus(status, "create a buffer");
  return VaBuffer(display_, id);
}

absl::StatusOr<VaSurface> VaDisplay::CreateSurface(const VaFormat& format, uint32_t width_px,
                                                   uint32_t height_px) const {
  VASurfaceAttrib fourcc{};
  fourcc.type = VASurfaceAttribPixelFormat;
  fourcc.flags = VA_SURFACE_ATTRIB_SETTABLE;
  fourcc.value.type = VAGenericValueTypeInteger;
  fourcc.value.value.i = static_cast<int>(format.fourcc);
  VASurfaceID id = VA_INVALID_SURFACE;
  const VAStatus status =
      vaCreateSurfaces(display_, format.rt_format, width_px, height_px, &id, 1, &fourcc, 1);
  if (status != VA_STATUS_SUCCESS) return VaStatus(status, "create a surface");
  return VaSurface(display_, id);
}

}  // namespace planecast
