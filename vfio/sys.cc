#include "vfio/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <string>

namespace planecast {
namespace {

constexpr size_t kFdTextMaxBytes = 4096;
constexpr int kAskNobody = AT_STATX_DONT_SYNC;

template <typename T>
T OrErrno(T result) {
  return result < 0 ? static_cast<T>(-errno) : result;
}

class Kernel : public Sys {
 public:
  int Open(const char* path, int flags) override { return OrErrno(open(path, flags | O_CLOEXEC)); }
  int Close(int fd) override { return OrErrno(close(fd)); }
  int Dup(int fd) override { return OrErrno(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }
  int Ioctl(int fd, unsigned long request, void* arg) override {
    return OrErrno(ioctl(fd, request, arg));
  }
  int64_t Pread(int fd, void* data, size_t size_bytes, int64_t offset_bytes) override {
    return OrErrno<int64_t>(pread(fd, data, size_bytes, offset_bytes));
  }
  int64_t Pwrite(int fd, const void* data, size_t size_bytes, int64_t offset_bytes) override {
    return OrErrno<int64_t>(pwrite(fd, data, size_bytes, offset_bytes));
  }
  int64_t Lseek(int fd, int64_t offset_bytes, int whence) override {
    return OrErrno<int64_t>(lseek(fd, offset_bytes, whence));
  }
  int Mmap(size_t size_bytes, int prot, int flags, int fd, int64_t offset_bytes,
           void** address) override {
    void* mapped = mmap(nullptr, size_bytes, prot, flags, fd, offset_bytes);
    if (mapped == MAP_FAILED) return -errno;
    *address = mapped;
    return 0;
  }
  int Munmap(void* address, size_t size_bytes) override {
    return OrErrno(munmap(address, size_bytes));
  }
  int Fstat(int fd, struct stat* out) override {
    struct statx info {};
    constexpr unsigned kWhat = STATX_TYPE | STATX_MODE | STATX_INO | STATX_SIZE;
    if (statx(fd, "", AT_EMPTY_PATH | kAskNobody, kWhat, &info) != 0) return -errno;
    *out = {};
    out->st_mode = info.stx_mode;
    out->st_rdev = makedev(info.stx_rdev_major, info.stx_rdev_minor);
    out->st_dev = makedev(info.stx_dev_major, info.stx_dev_minor);
    out->st_ino = info.stx_ino;
    out->st_size = static_cast<off_t>(info.stx_size);
    return 0;
  }
  int FileKind(const char* path, mode_t* kind) override {
    struct statx info {};
    if (statx(AT_FDCWD, path, kAskNobody, STATX_TYPE, &info) != 0) return -errno;
    *kind = info.stx_mode & S_IFMT;
    return 0;
  }
  int FileSystemType(int fd, uint64_t* type) override {
    struct statfs info {};
    if (fstatfs(fd, &info) != 0) return -errno;
    *type = static_cast<uint64_t>(info.f_type);
    return 0;
  }
  int ReadFdLink(int fd, std::string* target) override {
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    std::array<char, kFdTextMaxBytes> text{};
    const ssize_t size = readlink(path.c_str(), text.data(), text.size());
    if (size < 0) return -errno;
    target->assign(text.data(), static_cast<size_t>(size));
    return 0;
  }
  int ReadFdInfo(int fd, std::string* text) override {
    const std::string path = "/proc/self/fdinfo/" + std::to_string(fd);
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return -errno;
    std::array<char, kFdTextMaxBytes> buffer{};
    const int64_t size = OrErrno<int64_t>(read(file, buffer.data(), buffer.size()));
    close(file);
    if (size < 0) return static_cast<int>(size);
    text->assign(buffer.data(), static_cast<size_t>(size));
    return 0;
  }
  int GetFdFlags(int fd) override { return OrErrno(fcntl(fd, F_GETFD)); }
  int GetFileFlags(int fd) override { return OrErrno(fcntl(fd, F_GETFL)); }
  // By number: glibc wraps these two only since 2.36.
  int PidfdOpen(pid_t pid) override {
    return static_cast<int>(OrErrno(syscall(SYS_pidfd_open, pid, 0)));
  }
  int PidfdGetfd(int pidfd, int target_fd) override {
    return static_cast<int>(OrErrno(syscall(SYS_pidfd_getfd, pidfd, target_fd, 0)));
  }
};

}  // namespace

Sys& KernelSys() {
  static Kernel kernel;
  return kernel;
}

}  // namespace planecast
