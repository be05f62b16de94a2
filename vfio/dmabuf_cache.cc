#include "vfio/dmabuf_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vfio/plane_memory.h"

namespace planecast {

absl::StatusOr<std::shared_ptr<const PlaneBuffer>> DmabufCache::Get(uint32_t dmabuf_id,
                                                                    const PlaneLayout& layout) {
  const auto found = entries_.find(dmabuf_id);
  if (found == entries_.end()) return Fetch(dmabuf_id, layout);
  Buffer buffer = found->second.buffer.lock();
  if (buffer == nullptr) {
    if (driver_takes_references_) return Fetch(dmabuf_id, layout);
    return absl::FailedPreconditionError(absl::StrCat(
        "framebuffer ", dmabuf_id, " was let go after ", kKeptMaxUnreferenced,
        " others, and this driver can't safely be asked for it again; detach and attach again"));
  }
  if (found->second.described == layout) {
    if (!found->second.misfit.ok()) return found->second.misfit;
    Keep(dmabuf_id, buffer);
    return buffer;
  }
  // GVT-g gives the same id to a buffer whose stride alone has changed.
  const int copy = device_->sys().Dup(buffer->dmabuf_fd());
  if (copy < 0) return SysError(copy, "dup of a dma-buf");
  return Insert(dmabuf_id, layout, Fd(device_->sys(), copy));
}

absl::StatusOr<Fd> DmabufCache::GetFd(uint32_t dmabuf_id) {
  Sys& sys = device_->sys();
  const int result = device_->GetDmabuf(dmabuf_id);
  if (result == -EPROTO) {
    return absl::FailedPreconditionError(
        "what the device answers to VFIO_DEVICE_GET_GFX_DMABUF is no dma-buf, as in another "
        "dialect "
        "of the ABI; attach it with the dialect of its kernel");
  }
  if (result < 0) {
    // Not the canonical code: a stale id is EINVAL or ENOENT, and passes.
    return absl::UnavailableError(
        absl::StrCat("VFIO_DEVICE_GET_GFX_DMABUF of id ", dmabuf_id, ": ", std::strerror(-result)));
  }
  ++gets_count_;
  Fd fd(sys, result);
  const int flags = sys.GetFdFlags(fd.get());
  if (flags >= 0 && (flags & FD_CLOEXEC) == 0) {
    if (std::exchange(driver_takes_references_, false)) {
      // Can't fail: it asks for no more than there is.
      fds_->ClaimBuffers(fds_->buffers()).IgnoreError();
    }
    // A copy of the same file, so that no child process inherits it.
    const int copy = sys.Dup(fd.get());
    if (copy >= 0) fd = Fd(sys, copy);
  }
  return fd;
}

absl::StatusOr<std::shared_ptr<const PlaneBuffer>> DmabufCache::Fetch(
    uint32_t dmabuf_id, const PlaneLayout& described) {
  if (driver_takes_references_) {
    std::erase_if(entries_, [](const auto& entry) { return entry.second.buffer.expired(); });
  } else if (entries_.size() >= kIdsMaxUnreferenced) {
    return absl::FailedPreconditionError(
        "the guest has shown more framebuffers than can be kept apart; detach and attach again");
  } else {
    const size_t kept = std::min(kept_.size() + 1, kKeptMaxUnreferenced);
    if (absl::Status room = fds_->ClaimBuffers(kept); !room.ok()) return room;
  }
  absl::StatusOr<Fd> fd = GetFd(dmabuf_id);
  if (!fd.ok()) return fd.status();
  return Insert(dmabuf_id, described, *std::move(fd));
}

absl::StatusOr<std::shared_ptr<const PlaneBuffer>> DmabufCache::Insert(uint32_t dmabuf_id,
                                                                       const PlaneLayout& described,
                                                                       Fd fd) {
  const int64_t memory_bytes = fd.sys().Lseek(fd.get(), 0, SEEK_END);
  const auto fitted = FitToMemory(
      described, memory_bytes >= 0 ? static_cast<uint64_t>(memory_bytes) : described.size_bytes);
  const PlaneLayout& layout = fitted.ok() ? *fitted : described;
  // Kept even if it is unusable, so that the id is not fetched again at the next look.
  auto buffer = std::make_shared<const PlaneBuffer>(
      NextBufferSerial(), layout, std::make_unique<DmabufMemory>(std::move(fd), layout.size_bytes));
  entries_.insert_or_assign(dmabuf_id, Entry{described, fitted.status(), buffer});
  Keep(dmabuf_id, buffer);
  if (!fitted.ok()) return fitted.status();
  return buffer;
}

void DmabufCache::Keep(uint32_t dmabuf_id, Buffer buffer) {
  const auto kept = std::find_if(kept_.begin(), kept_.end(),
                                 [dmabuf_id](const auto& k) { return k.first == dmabuf_id; });
  if (kept != kept_.end()) {
    kept->second = std::move(buffer);
    kept_.splice(kept_.begin(), kept_, kept);
    return;
  }
  kept_.emplace_front(dmabuf_id, std::move(buffer));
  const size_t kept_max = KeptMax();
  if (kept_.size() <= kept_max) return;
  NoteShort(kept_max < kKeptMax && !is_idle_);
  while (kept_.size() > kept_max) kept_.pop_back();
}

size_t DmabufCache::KeptMax() const {
  if (!driver_takes_references_) return kKeptMaxUnreferenced;
  return is_idle_ ? fds_->buffers() : fds_->buffers_max();
}

void DmabufCache::SetIdle(bool idle) {
  is_idle_ = idle;
  if (idle) NoteShort(false);
  Trim();
}

bool DmabufCache::Trim() {
  const size_t kept_max = KeptMax();
  while (kept_.size() > kept_max) kept_.pop_back();
  return kept_max >= kKeptMax && NoteShort(false);
}

bool DmabufCache::NoteShort(bool is_short) {
  if (is_short == !problem_.ok()) return false;
  problem_ = absl::OkStatus();
  if (is_short) {
    problem_ = absl::ResourceExhaustedError(absl::StrCat(
        "the daemon's limit of ", fds_->limit(),
        " file descriptors is short for its displays; raise LimitNOFILE, or detach some"));
  }
  fds_->SetShort(is_short);
  return true;
}

}  // namespace planecast
