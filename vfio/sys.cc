#include "vfio/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace planecast {
namespace {

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
  int Fstat(int fd, struct stat* out) override { return OrErrno(fstat(fd, out)); }
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
