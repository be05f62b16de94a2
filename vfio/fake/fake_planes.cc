// QUERY, GET and the dma-bufs that come of them.
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "vfio/fake/fake_state.h"

namespace planecast {
namespace {

/// A query after a pause of this length tells the guest's thread that somebody looks again.
constexpr int64_t kInterestPauseNs = 400'000'000;
/// mbochs shows nothing smaller.
constexpr uint32_t kMbochsSideMinPx = 64;
/// Bits of GVT-g's cursor position registers; the sign bits are lost.
constexpr uint32_t kGvtCursorXMask = 0x1fff;
constexpr uint32_t kGvtCursorYMask = 0xfff;
constexpr int kProbe = 1;

uint32_t Magnitude(int32_t value) {
  return value < 0 ? 0U - static_cast<uint32_t>(value) : static_cast<uint32_t>(value);
}

}  // namespace

int FakeState::CheckQueryFlags(uint32_t flags) const {
  const uint32_t kind = traits.region_plane ? abi::kPlaneFlagRegion : abi::kPlaneFlagDmabuf;
  if (flags == kind) return 0;
  return flags == (kind | abi::kPlaneFlagProbe) ? kProbe : -EINVAL;
}

int FakeState::QueryPlane(void* arg) {
  abi::GfxPlaneInfo info{};
  if (CopyIn(&info, arg, abi::kGfxPlaneInfoMinSize) != 0) return -EFAULT;
  if (info.argsz < abi::kGfxPlaneInfoMinSize) return -EINVAL;
  if (const int kind = CheckQueryFlags(info.flags); kind != 0) return kind == kProbe ? 0 : kind;
  if (const int error = FillPlane(info); error != 0) return error;
  return CopyOut(arg, &info, abi::kGfxPlaneInfoMinSize);
}

int FakeState::QueryPlaneV15(void* arg) {
  abi::V15GfxPlaneInfo draft{};
  if (CopyIn(&draft, arg, abi::kV15GfxPlaneInfoMinSize) != 0) return -EFAULT;
  if (draft.argsz < abi::kV15GfxPlaneInfoMinSize) return -EINVAL;
  if (const int kind = CheckQueryFlags(draft.flags); kind != 0) return kind == kProbe ? 0 : kind;
  abi::GfxPlaneInfo info{};
  info.flags = draft.flags;
  info.drm_plane_type = draft.drm_plane_type;
  int result = -ENODEV;
  // While the guest's driver initialises, v15 answers zeros and an error.
  if (ever_had_mode) {
    result = FillPlane(info);
    if (result != 0) return result;
  }
  draft.drm_format = info.drm_format;
  draft.drm_format_mod = info.drm_format_mod;
  draft.width = info.width;
  draft.height = info.height;
  draft.stride = info.stride;
  draft.size = info.size;
  draft.x_pos = info.x_pos;
  draft.y_pos = info.y_pos;
  draft.dmabuf_id = static_cast<int32_t>(info.region_index_or_dmabuf_id);
  const int copied = CopyOut(arg, &draft, abi::kV15GfxPlaneInfoMinSize);
  return copied != 0 ? copied : result;
}

int FakeState::QueryPlaneV1(void* arg) {
  abi::V1QueryGfxPlane draft;
  constexpr uint32_t kMinBytes = offsetof(abi::V1QueryGfxPlane, padding);
  if (CopyIn(&draft, arg, kMinBytes) != 0) return -EFAULT;
  if (draft.argsz < kMinBytes || draft.flags != 0 || traits.region_plane) return -EINVAL;
  abi::GfxPlaneInfo info{};
  info.drm_plane_type = draft.plane_type;
  if (const int error = FillPlane(info); error != 0) return error;
  draft.info = {.start = 0,
                .drm_format_mod = info.drm_format_mod,
                .drm_format = info.drm_format,
                .width = info.width,
                .height = info.height,
                .stride = info.stride,
                .size = info.size,
                .x_pos = info.x_pos,
                .y_pos = info.y_pos,
                .padding = 0};
  draft.fd = -1;
  const auto found = objects.find(info.region_index_or_dmabuf_id);
  if (found != objects.end()) {
    const auto object = found->second;
    const auto handed_out = v1_fds.find(object->id);
    const auto file = handed_out == v1_fds.end() ? nullptr : Find(handed_out->second);
    const bool still_open = file != nullptr && file->object == object;
    draft.fd = still_open ? handed_out->second : ExportObject(object);
    if (draft.fd < 0) return draft.fd;
    v1_fds[object->id] = draft.fd;
  }
  return CopyOut(arg, &draft, kMinBytes);
}

int FakeState::FillPlane(abi::GfxPlaneInfo& info) {
  bool cursor_plane = info.drm_plane_type == abi::kPlaneTypeCursor;
  bool primary = info.drm_plane_type == abi::kPlaneTypePrimary;
  if (traits.region_plane) {
    // These drivers don't look at the type.
    primary = true;
    cursor_plane = false;
  } else if (!traits.cursor_plane) {
    cursor_plane = false;
  } else if (!primary && !cursor_plane) {
    return -EINVAL;
  }
  if (cursor_plane) {
    ++counters.cursor_queries;
    if (const int error = cursor_query_fault.Next(); error != 0) return error;
    if (const int error = FillCursor(info); error != 0) return error;
  } else if (primary) {
    ++counters.primary_queries;
    const int64_t now_ns = clock.NowNs();
    if (now_ns - last_query_ns > kInterestPauseNs) WakeGuest();
    last_query_ns = now_ns;
    if (const int error = query_fault.Next(); error != 0) return error;
    if (const int error = FillPrimary(info); error != 0) return error;
    if (after_next_query) deferred.push_back(std::exchange(after_next_query, nullptr));
  } else {
    NoFramebuffer(info);
  }
  if (corrupt) corrupt(info);
  return 0;
}

void FakeState::NoFramebuffer(abi::GfxPlaneInfo& info) const {
  // GVT-g copies the caller's own bytes back.
  if (options.profile == FakeProfile::kGvt) return;
  abi::GfxPlaneInfo none{};
  none.argsz = info.argsz;
  none.flags = info.flags;
  none.drm_plane_type = info.drm_plane_type;
  info = none;
}

int FakeState::FillPrimary(abi::GfxPlaneInfo& info) {
  if (invalid.has_value() && traits.cursor_plane) {
    const bool address =
        *invalid == FakeInvalidSurface::kMisaligned || *invalid == FakeInvalidSurface::kOutOfRange;
    return address ? -EFAULT : -EINVAL;
  }
  if (!enabled || buffers.empty() || invalid.has_value()) {
    NoFramebuffer(info);
    return 0;
  }
  return FillSurface(panned.has_value() ? *panned : buffers[shown], false, info);
}

int FakeState::FillCursor(abi::GfxPlaneInfo& info) {
  if (!cursor.visible || cursor.surface.memory == nullptr) {
    NoFramebuffer(info);
    return 0;
  }
  if (const int error = FillSurface(cursor.surface, true, info); error != 0) return error;
  FillCursorPlace(info);
  return 0;
}

void FakeState::FillCursorPlace(abi::GfxPlaneInfo& info) const {
  const bool gvt = options.profile == FakeProfile::kGvt;
  info.x_pos = gvt ? Magnitude(cursor.x_px) & kGvtCursorXMask : static_cast<uint32_t>(cursor.x_px);
  info.y_pos = gvt ? Magnitude(cursor.y_px) & kGvtCursorYMask : static_cast<uint32_t>(cursor.y_px);
  // GVT-g's test has <= where < was meant.
  const bool known = cursor.x_hot_px <= info.width && cursor.y_hot_px <= info.height;
  info.x_hot = known ? cursor.x_hot_px : abi::kHotspotUnknown;
  info.y_hot = known ? cursor.y_hot_px : abi::kHotspotUnknown;
}

int FakeState::FillSurface(const FakeSurface& surface, bool is_cursor, abi::GfxPlaneInfo& info) {
  const PlaneLayout& layout = surface.layout;
  const bool mbochs = options.profile == FakeProfile::kMbochs;
  if (mbochs && (layout.width_px < kMbochsSideMinPx || layout.height_px < kMbochsSideMinPx)) {
    NoFramebuffer(info);
    return 0;
  }
  uint32_t index_or_id = traits.plane_region;
  if (!traits.region_plane) {
    auto object = FindObject(surface);
    const bool is_new = object == nullptr;
    if (is_new) object = AddObject(surface, is_cursor);
    // mbochs loses the object that it has just made, and finds it the next time.
    if (is_new && mbochs) return -ENOMEM;
    object->pending = true;
    index_or_id = object->id;
  }
  info.drm_format = layout.fourcc;
  info.drm_format_mod = layout.modifier;
  info.width = layout.width_px;
  info.height = layout.height_px;
  info.stride = layout.stride_bytes;
  info.size = static_cast<uint32_t>(layout.size_bytes);
  info.x_pos = 0;
  info.y_pos = 0;
  info.x_hot = 0;
  info.y_hot = 0;
  info.region_index_or_dmabuf_id = index_or_id;
  return 0;
}

// --- Objects.

std::shared_ptr<FakePlaneObject> FakeState::FindObject(const FakeSurface& surface) const {
  const bool mbochs = options.profile == FakeProfile::kMbochs;
  for (const auto& [id, object] : objects) {
    PlaneLayout known = object->surface.layout;
    // Not part of the identity in GVT-g.
    if (!mbochs) known.stride_bytes = surface.layout.stride_bytes;
    if (object->surface.address_bytes == surface.address_bytes && known == surface.layout) {
      return object;
    }
  }
  return nullptr;
}

std::shared_ptr<FakePlaneObject> FakeState::AddObject(const FakeSurface& surface, bool is_cursor) {
  uint32_t id = 1;
  if (options.profile == FakeProfile::kGvt) {
    while (objects.contains(id)) ++id;
  } else {
    id = ++last_id;
  }
  auto object = std::make_shared<FakePlaneObject>();
  object->id = id;
  object->surface = surface;
  object->is_cursor = is_cursor;
  objects.emplace(id, object);
  return object;
}

int FakeState::GetDmabuf(void* arg) {
  uint32_t id = 0;
  if (CopyIn(&id, arg, sizeof id) != 0) return -EFAULT;
  ++counters.gets;
  if (const int error = get_fault.Next(); error != 0) return error;
  const auto found = objects.find(id);
  if (found == objects.end()) return -traits.unknown_id_errno;
  return ExportObject(found->second);
}

int FakeState::GetDmabufV15(void* arg) {
  abi::V15GfxDmabuf draft;
  if (CopyIn(&draft, arg, sizeof draft) != 0) return -EFAULT;
  if (draft.argsz < sizeof draft || draft.flags != 0) return -EINVAL;
  ++counters.gets;
  if (const int error = get_fault.Next(); error != 0) return error;
  const auto found = objects.find(draft.dmabuf_id);
  if (found == objects.end()) return -EINVAL;
  draft.dmabuf_fd = ExportObject(found->second);
  return draft.dmabuf_fd < 0 ? draft.dmabuf_fd : CopyOut(arg, &draft, sizeof draft);
}

int FakeState::ExportObject(const std::shared_ptr<FakePlaneObject>& object) {
  const bool mbochs = options.profile == FakeProfile::kMbochs;
  const bool gvt = options.profile == FakeProfile::kGvt;
  if (mbochs && object->surface.address_bytes % kFakePageBytes != 0) return -EINVAL;
  if (object->surface.memory == nullptr) {
    object->surface.memory = FakeMemory::Create(RoundUpToPage(object->surface.layout.size_bytes));
    if (object->surface.memory == nullptr) return -ENOMEM;
  }
  if (mbochs && object->ever_exported) {
    ConsumerError(absl::StrCat("GET of id ", object->id,
                               object->files > 0
                                   ? " while an fd of it is open: two fds, one reference"
                                   : " after its fd was closed: pages lose a reference too many"));
    for (const auto& [fd, file] : files) {
      if (file->object != object) continue;
      auto same_file = file;
      const int copy = fcntl(fd, F_DUPFD, 0);
      return Install(copy < 0 ? -errno : copy, std::move(same_file));
    }
  }
  auto file = std::make_shared<FakeFile>();
  file->kind = FakeFile::Kind::kDmabuf;
  file->ready = true;
  file->object = object;
  const int real_fd = object->surface.memory->Reopen(mbochs ? O_RDONLY : O_RDWR | O_CLOEXEC);
  if (real_fd < 0) return real_fd;
  if (gvt) {
    constexpr int kSerialBits = 20;
    struct stat real {};
    fstat(real_fd, &real);
    file->inode = (real.st_ino << kSerialBits) + next_inode++;
  }
  object->pending = false;
  object->ever_exported = true;
  ++object->files;
  return Install(real_fd, std::move(file));
}

void FakeState::OnDmabufReleased(FakePlaneObject& object) {
  --object.files;
  if (object.files > 0) return;
  const auto found = objects.find(object.id);
  if (found == objects.end() || found->second.get() != &object) return;
  const bool dies_with_fds = options.dialect == FakeDialect::kV15 ||
                             (options.profile == FakeProfile::kGvt && !object.pending);
  if (dies_with_fds) {
    objects.erase(found);
    return;
  }
  ForgetSurfaces();
}

/// Lets go of memory that neither the guest nor a dma-buf uses any more. What becomes of the id is
/// the profile's: GVT-g keeps an object that was queried, ideal doesn't; mbochs keeps everything.
void FakeState::ForgetSurfaces() {
  if (options.profile == FakeProfile::kMbochs) return;
  const auto in_use = [this](const FakeSurface& surface) {
    if (surface.memory == cursor.surface.memory) return true;
    return std::any_of(buffers.begin(), buffers.end(), [&surface](const FakeSurface& buffer) {
      return buffer.memory == surface.memory;
    });
  };
  for (auto at = objects.begin(); at != objects.end();) {
    FakePlaneObject& object = *at->second;
    const bool idle = object.files == 0 && !in_use(object.surface);
    if (idle) object.surface.memory = nullptr;
    at = idle && options.profile == FakeProfile::kIdeal ? objects.erase(at) : std::next(at);
  }
}

// --- Calls on dma-buf fds.

int FakeState::DmabufIoctl(unsigned long request, void* arg) {
  if (request == abi::kDmabufSync) {
    uint64_t flags = 0;
    if (CopyIn(&flags, arg, sizeof flags) != 0) return -EFAULT;
    constexpr uint64_t kAccess = abi::kDmabufSyncRead | abi::kDmabufSyncWrite;
    const bool valid = (flags & ~(kAccess | abi::kDmabufSyncEnd)) == 0 && (flags & kAccess) != 0;
    return valid ? 0 : -EINVAL;
  }
  if (request == abi::kDmabufExportSyncFile) {
    struct {
      uint32_t flags;
      int32_t fd;
    } sync;
    if (CopyIn(&sync, arg, sizeof sync) != 0) return -EFAULT;
    if (sync.flags == 0 || sync.flags > 3) return -EINVAL;
    auto file = std::make_shared<FakeFile>();
    file->kind = FakeFile::Kind::kSyncFile;
    // Readable at once: no guest rendering is ever attached to these buffers.
    const int signalled = eventfd(1, EFD_CLOEXEC);
    sync.fd = Install(signalled < 0 ? -errno : signalled, std::move(file));
    return sync.fd < 0 ? sync.fd : CopyOut(arg, &sync, sizeof sync);
  }
  return -ENOTTY;
}

int64_t FakeState::DmabufSeek(const FakeFile& file, int64_t offset_bytes, int whence) const {
  if (offset_bytes != 0) return -EINVAL;
  if (whence == SEEK_SET) return 0;
  if (whence != SEEK_END) return -EINVAL;
  return static_cast<int64_t>(file.object->surface.memory->size_bytes());
}

int FakeState::MapDmabuf(const std::shared_ptr<FakeFile>& file, int fd, size_t size_bytes, int prot,
                         int flags, int64_t offset_bytes, void** address) {
  const bool shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
  switch (options.profile) {
    case FakeProfile::kGvt:
      return -ENODEV;
    case FakeProfile::kMbochs:
      return shared && (prot & PROT_WRITE) != 0 ? -EACCES : -EINVAL;
    default:
      break;
  }
  const uint64_t buffer_bytes = file->object->surface.memory->size_bytes();
  const uint64_t first_byte = static_cast<uint64_t>(offset_bytes);
  if (!shared || first_byte > buffer_bytes ||
      RoundUpToPage(size_bytes) > buffer_bytes - first_byte) {
    return -EINVAL;
  }
  const int result = KernelSys().Mmap(size_bytes, prot, flags, fd, offset_bytes, address);
  if (result == 0) mappings[*address] = {.size_bytes = size_bytes, .file = file};
  return result;
}

int FakeState::MapRegion(const std::shared_ptr<FakeFile>& file, size_t size_bytes, int prot,
                         int flags, int64_t offset_bytes, void** address) {
  if (unplugged) return -ENODEV;
  if (!traits.region_plane || region_memory == nullptr) {
    ConsumerError(absl::StrCat("mmap of device offset ", offset_bytes, ", which is no plane"));
    return -EINVAL;
  }
  const bool shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
  const uint64_t first_byte = static_cast<uint64_t>(offset_bytes);
  const uint64_t within = first_byte - traits.plane_region_offset_bytes;
  const uint64_t region_bytes = region_memory->size_bytes();
  if (!shared || within > region_bytes || RoundUpToPage(size_bytes) > region_bytes - within) {
    return -EINVAL;
  }
  const int result = KernelSys().Mmap(size_bytes, prot, flags, region_memory->memfd(),
                                      static_cast<int64_t>(within), address);
  if (result == 0) mappings[*address] = {.size_bytes = size_bytes, .file = file};
  return result;
}

}  // namespace planecast
