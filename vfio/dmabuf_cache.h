// The dma-bufs of one device by id: who holds which, and when one may be fetched or let go.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>
#include <utility>

#include "absl/status/statusor.h"
#include "vfio/fd_budget.h"
#include "vfio/gfx_device.h"

namespace planecast {

/// Turns dmabuf ids into buffers, with at most one GET per id whose fd is open.
///
/// Two kinds of drivers ask for opposite things. GVT-g recycles an id once its last fd is closed,
/// but never before: as long as an entry here holds the fd, its id means this buffer. mbochs never
/// recycles an id, but takes no reference for the fds that it gives out, so that a second GET of an
/// id, even after the first fd was closed, frees guest memory that is in use.
///
/// What satisfies both:
/// - An fd is kept, up to a limit, although the guest shows another buffer. Most guests never reach
///   the limit, so nothing is ever fetched twice.
/// - Beyond the limit the least recently used entry is let go. If somebody outside still holds the
///   buffer, its fd is open and the id still means it: it is found again without a GET. Otherwise
///   entry and fd end in the same step.
/// - A driver that takes no references is known by fds that are not close-on-exec, a flaw that only
///   the unrepaired mbochs has. There the limit is high, and an id whose fd was closed is never
///   fetched again: it fails with FAILED_PRECONDITION. (Only for as long as this cache lives: the
///   next session on a device that stayed open elsewhere can't know.)
/// - Where fds are short, the limit of the first kind is what the process's budget allows, and
///   nobody keeps more than the least while nobody watches. Of the second kind every buffer is
///   claimed there before it is fetched: nothing is let go, the next one is refused.
///
/// Bound to the display's thread; the buffers themselves may be released anywhere.
class DmabufCache {
 public:
  /// Entries kept beside what others hold, where fds are plenty. A guest flips among two or three
  /// buffers, and has a few cursors.
  static constexpr size_t kKeptMax = kBuffersKeptMax;
  /// The same for drivers that take no references; each costs an fd of this process.
  static constexpr size_t kKeptMaxUnreferenced = 256;
  /// Ids that are remembered on such drivers; beyond that, nothing is fetched any more.
  static constexpr size_t kIdsMaxUnreferenced = 65536;

  /// Without a budget of fds. `device` must outlive this.
  explicit DmabufCache(GfxDevice& device) : device_(&device), fds_(&no_budget_) {}
  /// Both must outlive this.
  DmabufCache(GfxDevice& device, FdClaim& fds) : device_(&device), fds_(&fds) {}
  DmabufCache(const DmabufCache&) = delete;
  DmabufCache& operator=(const DmabufCache&) = delete;

  /// The buffer that a Query just described as `layout`, fetched if it is not known.
  ///
  /// INVALID_ARGUMENT if the memory is too small, FAILED_PRECONDITION if it can't be fetched and
  /// trying again is of no use, RESOURCE_EXHAUSTED if there is no fd left for it; any other error
  /// may pass: query again.
  absl::StatusOr<std::shared_ptr<const PlaneBuffer>> Get(uint32_t dmabuf_id,
                                                         const PlaneLayout& layout);

  /// Nobody watches, or somebody does again. problem() may be another one after it.
  void SetIdle(bool idle);
  /// Lets go of what is too much by now. Costs nothing where nothing is. True if problem() is
  /// another one now.
  bool Trim();
  /// OK, or that fewer buffers are kept than would be, and what helps.
  const absl::Status& problem() const { return problem_; }

  /// GETs done so far.
  uint64_t gets_count() const { return gets_count_; }

 private:
  using Buffer = std::shared_ptr<const PlaneBuffer>;
  struct Entry {
    /// As the device described it, before it was fitted to its memory.
    PlaneLayout described;
    /// Why the buffer is not handed out although its fd is kept.
    absl::Status misfit;
    std::weak_ptr<const PlaneBuffer> buffer;
  };
  absl::StatusOr<Fd> GetFd(uint32_t dmabuf_id);
  absl::StatusOr<Buffer> Fetch(uint32_t dmabuf_id, const PlaneLayout& described);
  absl::StatusOr<Buffer> Insert(uint32_t dmabuf_id, const PlaneLayout& described, Fd fd);
  void Keep(uint32_t dmabuf_id, Buffer buffer);
  size_t KeptMax() const;
  bool NoteShort(bool is_short);

  GfxDevice* device_;
  FdClaim no_budget_;
  FdClaim* fds_;
  bool is_idle_ = false;
  absl::Status problem_;
  /// On drivers that take no references, an entry whose buffer is gone marks an id as closed.
  std::unordered_map<uint32_t, Entry> entries_;
  /// Most recently used first.
  std::list<std::pair<uint32_t, Buffer>> kept_;
  bool driver_takes_references_ = true;
  uint64_t gets_count_ = 0;
};

}  // namespace planecast
