#include "vfio/plane_memory.h"

#include <errno.h>
#include <sys/mman.h>

#include <atomic>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "vfio/abi.h"
#include "vfio/gfx_device.h"

namespace planecast {
namespace {

// A signal can interrupt DMA_BUF_IOCTL_SYNC while it waits for a fence.
constexpr int kSyncAttemptsMax = 100;
constexpr uint64_t kPageBytes = 4096;

std::string ErrnoText(int negative_errno) {
  return std::strerror(-negative_errno);
}

absl::Status MappingRefused(int negative_errno, uint64_t size_bytes) {
  const bool has_partial_page = size_bytes % kPageBytes != 0;
  return absl::FailedPreconditionError(absl::StrCat(
      "the driver does not let the CPU map its dma-buf (mmap: ", ErrnoText(negative_errno),
      negative_errno == -EINVAL && has_partial_page ? "; its last page is used in part only" : "",
      "), so this plane needs a GPU import"));
}

}  // namespace

Mapping::~Mapping() {
  sys_->Munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size());
}

int Mapping::Make(Sys& sys, int fd, uint64_t offset_bytes, uint64_t size_bytes,
                  std::shared_ptr<const Mapping>* mapping) {
  if (size_bytes == 0 || size_bytes > SIZE_MAX / 2 || offset_bytes > INT64_MAX) return -EINVAL;
  void* address = nullptr;
  const int result =
      sys.Mmap(size_bytes, PROT_READ, MAP_SHARED, fd, static_cast<int64_t>(offset_bytes), &address);
  if (result < 0) return result;
  *mapping = std::make_shared<const Mapping>(
      sys, std::span(static_cast<const uint8_t*>(address), size_bytes));
  return 0;
}

absl::Status DmabufMemory::Sync(uint64_t flags) {
  int result = 0;
  for (int attempt = 0; attempt < kSyncAttemptsMax; ++attempt) {
    uint64_t argument = flags;
    result = fd_.sys().Ioctl(fd_.get(), abi::kDmabufSync, &argument);
    if (result != -EINTR && result != -EAGAIN) break;
  }
  if (result >= 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the driver does not synchronise its dma-buf for the CPU (DMA_BUF_IOCTL_SYNC: ",
                   ErrnoText(result), "), so this plane needs a GPU import"));
}

absl::StatusOr<std::span<const uint8_t>> DmabufMemory::BeginCpuRead() {
  if (!refused_.ok()) return refused_;
  if (mapping_ == nullptr) {
    const int result = Mapping::Make(fd_.sys(), fd_.get(), 0, size_bytes_, &mapping_);
    if (result == -ENOMEM || result == -EAGAIN || result == -EINTR) {
      return SysError(result, "mapping a dma-buf");
    }
    if (result < 0) {
      refused_ = MappingRefused(result, size_bytes_);
      return refused_;
    }
  }
  if (absl::Status started = Sync(abi::kDmabufSyncRead); !started.ok()) return started;
  return mapping_->bytes();
}

void DmabufMemory::EndCpuRead() {
  // Nothing can be done about a failure: the pixels were read already.
  Sync(abi::kDmabufSyncRead | abi::kDmabufSyncEnd).IgnoreError();
}

uint64_t NextBufferSerial() {
  static std::atomic<uint64_t> serial = 0;
  return serial.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace planecast
