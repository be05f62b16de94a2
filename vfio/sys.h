// The seam between planecast and the kernel: every system call that touches a VFIO device, its
// buffers or another process goes through here, so that a fake device can stand in for the kernel.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace planecast {

/// The system calls that planecast makes on devices.
///
/// Every method returns what the system call returns, or the negated errno; none throws and none
/// sets errno. Fd numbers are real ones of this process, also from a fake: they can be polled.
/// Thread-safe.
class Sys {
 public:
  virtual ~Sys() = default;

  /// open(2) with O_CLOEXEC added.
  virtual int Open(const char* path, int flags) = 0;
  virtual int Close(int fd) = 0;
  /// fcntl(2) F_DUPFD_CLOEXEC.
  virtual int Dup(int fd) = 0;
  virtual int Ioctl(int fd, unsigned long request, void* arg) = 0;
  virtual int64_t Pread(int fd, void* data, size_t size_bytes, int64_t offset_bytes) = 0;
  virtual int64_t Pwrite(int fd, const void* data, size_t size_bytes, int64_t offset_bytes) = 0;
  virtual int64_t Lseek(int fd, int64_t offset_bytes, int whence) = 0;
  /// mmap(2) at an address of the kernel's choice. On success *address is set and 0 returned.
  virtual int Mmap(size_t size_bytes, int prot, int flags, int fd, int64_t offset_bytes,
                   void** address) = 0;
  virtual int Munmap(void* address, size_t size_bytes) = 0;
  /// fstat(2), of what the kernel knows already: the file's own file system is not asked, as one of
  /// a VMM's making (FUSE) may never answer. st_mode, st_rdev, st_dev, st_ino and st_size alone.
  virtual int Fstat(int fd, struct stat* out) = 0;
  /// The kind of file that `path` leads to, as S_IFMT of st_mode, by what the kernel knows already,
  /// as Fstat. An anonymous file's is 0.
  virtual int FileKind(const char* path, mode_t* kind) = 0;
  /// fstatfs(2): f_type alone, which tells what kind of file system the file is of.
  virtual int FileSystemType(int fd, uint64_t* type) = 0;
  /// What this process's /proc/self/fd and /proc/self/fdinfo say of `fd`. 0, and then the text is
  /// set; a path is as this process sees it, and no proof of what is there.
  virtual int ReadFdLink(int fd, std::string* target) = 0;
  virtual int ReadFdInfo(int fd, std::string* text) = 0;
  /// fcntl(2) F_GETFD and F_GETFL.
  virtual int GetFdFlags(int fd) = 0;
  virtual int GetFileFlags(int fd) = 0;
  virtual int PidfdOpen(pid_t pid) = 0;
  virtual int PidfdGetfd(int pidfd, int target_fd) = 0;
};

/// The kernel itself. Stateless, lives for ever.
Sys& KernelSys();

}  // namespace planecast
