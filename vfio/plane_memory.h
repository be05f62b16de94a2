// The two kinds of memory behind a plane: dma-bufs and mapped device regions.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vfio/fd.h"
#include "vfio/frame.h"

namespace planecast {

/// A shared, read-only mapping. Unmaps on destruction.
class Mapping {
 public:
  /// Takes over `bytes`, which `sys` mapped; `sys` must outlive this.
  Mapping(Sys& sys, std::span<const uint8_t> bytes) : sys_(&sys), bytes_(bytes) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  /// Maps `size_bytes` of `fd` from `offset_bytes`; the fd may be closed afterwards. Returns 0 and
  /// sets *mapping, or returns the negated errno.
  static int Make(Sys& sys, int fd, uint64_t offset_bytes, uint64_t size_bytes,
                  std::shared_ptr<const Mapping>* mapping);

  std::span<const uint8_t> bytes() const { return bytes_; }

 private:
  Sys* sys_;
  std::span<const uint8_t> bytes_;
};

/// A dma-buf, mapped when first read, synchronised with DMA_BUF_IOCTL_SYNC.
class DmabufMemory : public PlaneMemory {
 public:
  /// `size_bytes` is what a reader gets; it has been checked against the dma-buf.
  DmabufMemory(Fd fd, uint64_t size_bytes) : fd_(std::move(fd)), size_bytes_(size_bytes) {}

  int dmabuf_fd() const override { return fd_.get(); }
  absl::StatusOr<std::span<const uint8_t>> BeginCpuRead() override;
  void EndCpuRead() override;

 private:
  absl::Status Sync(uint64_t flags);

  // Before the mapping, so that the fd is closed last.
  Fd fd_;
  uint64_t size_bytes_;
  std::shared_ptr<const Mapping> mapping_;
  /// A refusal is for good: the driver would say the same each time.
  absl::Status refused_;
};

/// Part of a device region. The mapping keeps the device's file alive in the kernel, so it stays
/// valid when the device fd is closed.
class RegionMemory : public PlaneMemory {
 public:
  explicit RegionMemory(std::shared_ptr<const Mapping> mapping) : mapping_(std::move(mapping)) {}

  int dmabuf_fd() const override { return -1; }
  absl::StatusOr<std::span<const uint8_t>> BeginCpuRead() override { return mapping_->bytes(); }
  void EndCpuRead() override {}

 private:
  std::shared_ptr<const Mapping> mapping_;
};

/// A number for PlaneBuffer::serial that no other buffer of this process has. Thread-safe.
uint64_t NextBufferSerial();

}  // namespace planecast
