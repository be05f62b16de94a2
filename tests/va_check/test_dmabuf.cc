#include "tests/va_check/test_dmabuf.h"

#include <drm_fourcc.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/udmabuf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xf86drm.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "vfio/fd.h"

namespace planecast::vacheck {
namespace {

constexpr const char* kSoftwareNode = "/dev/null";
constexpr size_t kPageBytes = 4096;

/// Bytes from one line to the next: what GPUs like.
uint32_t Stride(uint32_t width_px) {
  return (width_px * 4 + 255) / 256 * 256;
}

std::string Errno() {
  return std::strerror(errno);
}

/// Only for import: a check that fell back to the CPU in silence would prove nothing.
class ImportOnlyMemory final : public PlaneMemory {
 public:
  explicit ImportOnlyMemory(Fd fd) : fd_(std::move(fd)) {}
  int dmabuf_fd() const override { return fd_.get(); }
  absl::StatusOr<std::span<const uint8_t>> BeginCpuRead() override {
    return absl::FailedPreconditionError("this check allows the GPU's import only");
  }
  void EndCpuRead() override {}

 private:
  Fd fd_;
};

/// A mapping for drawing, through the dma-buf or the memory behind it.
class Drawn final : public TestDmabuf {
 public:
  Drawn(std::string origin, Fd dmabuf, Fd keep, uint8_t* bytes, size_t size_bytes,
        const PlaneLayout& layout)
      : origin_(std::move(origin)), keep_(std::move(keep)), bytes_(bytes), size_bytes_(size_bytes) {
    dmabuf_fd_ = dmabuf.get();
    buffer_ = std::make_shared<PlaneBuffer>(1, layout,
                                            std::make_unique<ImportOnlyMemory>(std::move(dmabuf)));
  }
  ~Drawn() override {
    buffer_.reset();
    munmap(bytes_, size_bytes_);
  }
  Drawn(const Drawn&) = delete;
  Drawn& operator=(const Drawn&) = delete;

  const std::string& origin() const override { return origin_; }
  const std::shared_ptr<const PlaneBuffer>& buffer() const override { return buffer_; }
  absl::Status Draw(std::span<const uint8_t> xrgb) override {
    const PlaneLayout& layout = buffer_->layout();
    const size_t line_bytes = size_t{layout.width_px} * 4;
    Sync(DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE);
    for (size_t line = 0; line < layout.height_px; ++line) {
      std::memcpy(bytes_ + line * layout.stride_bytes, xrgb.data() + line * line_bytes, line_bytes);
    }
    Sync(DMA_BUF_SYNC_END | DMA_BUF_SYNC_WRITE);
    return absl::OkStatus();
  }

 private:
  // What is no dma-buf, as on the software driver, has nothing to synchronise.
  void Sync(uint64_t flags) {
    dma_buf_sync sync{.flags = flags};
    ioctl(dmabuf_fd_, DMA_BUF_IOCTL_SYNC, &sync);
  }

  std::string origin_;
  Fd keep_;
  int dmabuf_fd_ = -1;
  uint8_t* bytes_;
  size_t size_bytes_;
  std::shared_ptr<const PlaneBuffer> buffer_;
};

PlaneLayout Layout(uint32_t width_px, uint32_t height_px, uint32_t stride_bytes) {
  return {.fourcc = DRM_FORMAT_XRGB8888,
          .modifier = DRM_FORMAT_MOD_LINEAR,
          .width_px = width_px,
          .height_px = height_px,
          .stride_bytes = stride_bytes,
          .size_bytes = uint64_t{stride_bytes} * height_px};
}

absl::StatusOr<std::unique_ptr<TestDmabuf>> MapAndMake(std::string origin, Fd dmabuf, Fd keep,
                                                       size_t size_bytes,
                                                       const PlaneLayout& layout) {
  void* bytes = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf.get(), 0);
  if (bytes == MAP_FAILED) return absl::UnavailableError(absl::StrCat("mmap: ", Errno()));
  return std::make_unique<Drawn>(std::move(origin), std::move(dmabuf), std::move(keep),
                                 static_cast<uint8_t*>(bytes), size_bytes, layout);
}

absl::StatusOr<Fd> MakeMemfd(size_t size_bytes) {
  Fd memory(KernelSys(), memfd_create("planecast-va-check", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.valid() || ftruncate(memory.get(), static_cast<off_t>(size_bytes)) != 0) {
    return absl::UnavailableError(absl::StrCat("memfd: ", Errno()));
  }
  return memory;
}

absl::StatusOr<std::unique_ptr<TestDmabuf>> MakeUdmabuf(const PlaneLayout& layout) {
  const size_t size_bytes = (layout.size_bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  const Fd device(KernelSys(), open("/dev/udmabuf", O_RDWR | O_CLOEXEC));
  if (!device.valid()) return absl::UnavailableError(absl::StrCat("/dev/udmabuf: ", Errno()));
  auto memory = MakeMemfd(size_bytes);
  if (!memory.ok()) return memory.status();
  fcntl(memory->get(), F_ADD_SEALS, F_SEAL_SHRINK);
  udmabuf_create create{};
  create.memfd = static_cast<uint32_t>(memory->get());
  create.flags = UDMABUF_FLAGS_CLOEXEC;
  create.size = size_bytes;
  Fd dmabuf(KernelSys(), ioctl(device.get(), UDMABUF_CREATE, &create));
  if (!dmabuf.valid()) return absl::UnavailableError(absl::StrCat("UDMABUF_CREATE: ", Errno()));
  return MapAndMake("udmabuf", std::move(dmabuf), *std::move(memory), size_bytes, layout);
}

/// The card node of the GPU whose render node this is.
absl::StatusOr<std::string> CardOf(const std::string& render_node) {
  struct stat status {};
  if (stat(render_node.c_str(), &status) != 0) return absl::UnavailableError(Errno());
  const std::string folder = absl::StrCat("/sys/dev/char/", major(status.st_rdev), ":",
                                          minor(status.st_rdev), "/device/drm");
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename();
    if (name.starts_with("card")) return absl::StrCat("/dev/dri/", name);
  }
  return absl::UnavailableError(absl::StrCat(render_node, " has no card node"));
}

absl::StatusOr<std::unique_ptr<TestDmabuf>> MakeDumb(const std::string& render_node,
                                                     uint32_t width_px, uint32_t height_px) {
  auto path = CardOf(render_node);
  if (!path.ok()) return path.status();
  Fd card(KernelSys(), open(path->c_str(), O_RDWR | O_CLOEXEC));
  if (!card.valid()) return absl::UnavailableError(absl::StrCat(*path, ": ", Errno()));
  drm_mode_create_dumb create{};
  create.width = width_px;
  create.height = height_px;
  create.bpp = 32;
  if (drmIoctl(card.get(), DRM_IOCTL_MODE_CREATE_DUMB, &create) != 0) {
    return absl::UnavailableError(absl::StrCat(*path, ": CREATE_DUMB: ", Errno()));
  }
  int fd = -1;
  if (drmPrimeHandleToFD(card.get(), create.handle, DRM_RDWR | DRM_CLOEXEC, &fd) != 0) {
    return absl::UnavailableError(absl::StrCat(*path, ": PRIME_HANDLE_TO_FD: ", Errno()));
  }
  Fd dmabuf(KernelSys(), fd);
  return MapAndMake(absl::StrCat("a dumb buffer of ", *path), std::move(dmabuf), std::move(card),
                    create.size, Layout(width_px, height_px, create.pitch));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TestDmabuf>> TestDmabuf::Make(const std::string& render_node,
                                                             uint32_t width_px,
                                                             uint32_t height_px) {
  const PlaneLayout layout = Layout(width_px, height_px, Stride(width_px));
  if (render_node == kSoftwareNode) {
    auto memory = MakeMemfd(layout.size_bytes);
    if (!memory.ok()) return memory.status();
    return MapAndMake("shared memory (software driver)", *std::move(memory), Fd(),
                      layout.size_bytes, layout);
  }
  auto dumb = MakeDumb(render_node, width_px, height_px);
  if (dumb.ok()) return dumb;
  auto udmabuf = MakeUdmabuf(layout);
  if (udmabuf.ok()) return udmabuf;
  return absl::UnavailableError(
      absl::StrCat(dumb.status().message(), "; ", udmabuf.status().message()));
}

}  // namespace planecast::vacheck
