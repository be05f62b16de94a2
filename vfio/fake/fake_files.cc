// Files, paths and their lifetimes: group, container, cdev, iommufd.
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "vfio/fake/fake_state.h"
#include "vfio/fd.h"

namespace planecast {
namespace {

using Kind = FakeFile::Kind;

constexpr unsigned long kIommuType1 = 1;
constexpr unsigned long kIommuType1V2 = 3;
constexpr size_t kDeviceNameMaxBytes = 128;

/// A pipe takes so much at once.
constexpr size_t kChunkMaxBytes = 4096;

/// Moves bytes by system calls, so that a bad address gives EFAULT instead of a signal. By a pipe:
/// the calls that are made for it are a debugger's, which sandboxes forbid. Not by the C library's
/// functions, as the address sanitizer watches those: a driver of another dialect does read beyond
/// what its caller has. Thread-safe.
class BytePipe {
 public:
  /// The process has one for all fake devices, as it has one kernel for all real ones; of its own,
  /// for each copy, it would be most of what a look costs.
  static BytePipe& Of() {
    // Never destroyed: a thread may still be at work when the process ends.
    static BytePipe* const pipe = std::make_unique<BytePipe>().release();
    return *pipe;
  }

  int Move(const void* from, void* to, size_t size_bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (size_t done = 0; done < size_bytes;) {
      // A child's is not its parent's.
      if (owner_ != getpid()) Open();
      if (!reader_.valid()) return -EMFILE;
      const size_t chunk = std::min(size_bytes - done, kChunkMaxBytes);
      const auto wanted = static_cast<ssize_t>(chunk);
      if (syscall(SYS_write, writer_.get(), static_cast<const char*>(from) + done, chunk) !=
              wanted ||
          syscall(SYS_read, reader_.get(), static_cast<char*>(to) + done, chunk) != wanted) {
        // A part of it may be in there.
        Open();
        return -EFAULT;
      }
      done += chunk;
    }
    return 0;
  }

 private:
  void Open() {
    std::array<int, 2> ends = {-1, -1};
    owner_ = pipe2(ends.data(), O_CLOEXEC) == 0 ? getpid() : 0;
    reader_ = Fd(KernelSys(), ends[0]);
    writer_ = Fd(KernelSys(), ends[1]);
  }

  std::mutex mutex_;
  pid_t owner_ = 0;
  Fd reader_;
  Fd writer_;
};

}  // namespace

int CopyIn(void* to, const void* from_user, size_t size_bytes) {
  return BytePipe::Of().Move(from_user, to, size_bytes);
}

int CopyOut(void* to_user, const void* from, size_t size_bytes) {
  return BytePipe::Of().Move(from, to_user, size_bytes);
}

int FakeFault::Next() {
  if (skip > 0) {
    --skip;
    return 0;
  }
  if (count <= 0) return 0;
  --count;
  return -error;
}

std::shared_ptr<FakeFile> FakeState::Find(int fd) const {
  const auto found = files.find(fd);
  return found == files.end() ? nullptr : found->second;
}

int FakeState::Install(int real_fd, std::shared_ptr<FakeFile> file) {
  if (real_fd < 0) return real_fd;
  const auto stale = files.find(real_fd);
  if (stale != files.end()) {
    ConsumerError(absl::StrCat("fd ", real_fd, " was closed behind the device's back"));
    auto lost = std::move(stale->second);
    files.erase(stale);
    Drop(std::move(lost));
  }
  files.emplace(real_fd, std::move(file));
  return real_fd;
}

int FakeState::InstallPlain(const char* name, std::shared_ptr<FakeFile> file) {
  const int fd = memfd_create(name, MFD_CLOEXEC);
  return Install(fd < 0 ? -errno : fd, std::move(file));
}

void FakeState::ConsumerError(std::string what) {
  ++counters.consumer_errors;
  last_consumer_error = std::move(what);
}

int FakeState::OpenPath(const std::string& path) {
  auto file = std::make_shared<FakeFile>();
  if (path == "/dev/vfio/vfio") {
    file->kind = Kind::kContainer;
    return InstallPlain("planecast-vfio-container", std::move(file));
  }
  if (path == "/dev/iommu") {
    file->kind = Kind::kIommufd;
    return InstallPlain("planecast-iommufd", std::move(file));
  }
  if (path == absl::StrCat("/dev/vfio/", options.number)) {
    if (group_open || cdev_bound) return -EBUSY;
    group_open = true;
    file->kind = Kind::kGroup;
    return InstallPlain("planecast-vfio-group", std::move(file));
  }
  if (path == absl::StrCat("/dev/vfio/devices/vfio", options.number)) {
    file->via_cdev = true;
    return InstallPlain("planecast-vfio-device", std::move(file));
  }
  return -ENOENT;
}

int FakeState::CloseFd(int fd) {
  const auto found = files.find(fd);
  auto file = std::move(found->second);
  files.erase(found);
  Drop(std::move(file));
  return 0;
}

void FakeState::Drop(std::shared_ptr<FakeFile>&& reference) {
  const std::shared_ptr<FakeFile> file = std::move(reference);
  if (file == nullptr || file.use_count() > 1) return;
  switch (file->kind) {
    case Kind::kGroup:
      group_open = false;
      break;
    case Kind::kDmabuf:
      OnDmabufReleased(*file->object);
      break;
    case Kind::kDevice:
      if (!file->ready) break;
      if (file->via_cdev) cdev_bound = false;
      if (--bound_device_files == 0) OnDeviceClosed();
      break;
    case Kind::kContainer:
    case Kind::kIommufd:
    case Kind::kSyncFile:
      break;
  }
  Drop(std::move(file->parent));
}

int FakeState::OpenDeviceFile(std::shared_ptr<FakeFile> group) {
  if (unplugged) return -ENODEV;
  if (traits.needs_kvm && !options.has_kvm) return -ESRCH;
  if (cdev_bound) return -EBUSY;
  auto file = std::make_shared<FakeFile>();
  file->kind = Kind::kDevice;
  file->ready = true;
  file->parent = std::move(group);
  const int fd = InstallPlain("planecast-vfio-device", std::move(file));
  if (fd >= 0) OnDeviceOpened();
  return fd;
}

void FakeState::OnDeviceOpened() {
  ++bound_device_files;
  WakeGuest();
}

/// The last close: the driver forgets its objects; exported buffers live on by their files.
void FakeState::OnDeviceClosed() {
  objects.clear();
  v1_fds.clear();
  last_id = 0;
  info_was_read = false;
  for (FakeTrigger& trigger : triggers) Disarm(trigger);
  WakeGuest();
}

int FakeState::ContainerIoctl(FakeFile& file, unsigned long request, void* arg) {
  switch (request) {
    case abi::kGetApiVersion:
      return 0;
    case abi::kCheckExtension: {
      const auto type = reinterpret_cast<uintptr_t>(arg);
      return type == kIommuType1 || type == kIommuType1V2 ? 1 : 0;
    }
    case abi::kSetIommu: {
      const auto type = reinterpret_cast<uintptr_t>(arg);
      if (type != kIommuType1 && type != kIommuType1V2) return -EINVAL;
      file.ready = true;
      return 0;
    }
    default:
      return -ENOTTY;
  }
}

int FakeState::GroupIoctl(const std::shared_ptr<FakeFile>& file, unsigned long request, void* arg) {
  switch (request) {
    case abi::kGroupGetStatus: {
      uint32_t status[2];
      if (CopyIn(status, arg, sizeof status) != 0) return -EFAULT;
      if (status[0] < sizeof status) return -EINVAL;
      constexpr uint32_t kViable = 1;
      constexpr uint32_t kContainerSet = 2;
      status[1] = kViable | (file->parent != nullptr ? kContainerSet : 0);
      return CopyOut(arg, status, sizeof status);
    }
    case abi::kGroupSetContainer: {
      int32_t fd = -1;
      if (CopyIn(&fd, arg, sizeof fd) != 0) return -EFAULT;
      auto container = Find(fd);
      if (container == nullptr) return -EBADF;
      if (container->kind != Kind::kContainer || file->parent != nullptr) return -EINVAL;
      file->parent = std::move(container);
      return 0;
    }
    case abi::kGroupUnsetContainer: {
      if (file->parent == nullptr) return -EINVAL;
      Drop(std::exchange(file->parent, nullptr));
      return 0;
    }
    case abi::kGroupGetDeviceFd: {
      std::string name;
      for (const char* at = static_cast<const char*>(arg); name.size() < kDeviceNameMaxBytes;
           ++at) {
        char c = 0;
        if (CopyIn(&c, at, 1) != 0) return -EFAULT;
        if (c == 0) break;
        name.push_back(c);
      }
      if (file->parent == nullptr || !file->parent->ready) return -EINVAL;
      if (name != options.device_name) return -ENODEV;
      return OpenDeviceFile(file);
    }
    default:
      return -ENOTTY;
  }
}

int FakeState::BindCdev(FakeFile& file, void* arg) {
  abi::BindIommufd bind;
  if (CopyIn(&bind, arg, sizeof bind) != 0) return -EFAULT;
  if (bind.argsz < sizeof bind || bind.flags != 0 || bind.iommufd < 0) return -EINVAL;
  if (!file.via_cdev) return -ENOTTY;
  if (group_open) return -EBUSY;
  if (file.ready || bound_device_files > 0) return -EINVAL;
  const auto iommufd = Find(bind.iommufd);
  if (iommufd == nullptr || iommufd->kind != Kind::kIommufd) return -EBADF;
  if (traits.needs_kvm && !options.has_kvm) return -ESRCH;
  file.ready = true;
  cdev_bound = true;
  OnDeviceOpened();
  bind.devid = 1;
  return CopyOut(arg, &bind, sizeof bind);
}

}  // namespace planecast
