#include "service/access/audit_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vfio/sys.h"

namespace planecast {
namespace {

/// How often somebody else's change of the path is looked for.
constexpr int64_t kCheckNs = 1'000'000'000;
constexpr mode_t kMode = 0640;

absl::Status FileError(int error, const char* what, const std::string& path) {
  // As absl has it, without its own words for errno.
  const absl::Status status = absl::ErrnoToStatus(error, "");
  const char* const why =
      error == ELOOP ? "it is a symbolic link; name the file itself" : std::strerror(error);
  return {status.code(), absl::StrCat("can't ", what, " ", path, ": ", why)};
}

/// An fd or the negated errno.
int OpenOrMake(const std::string& path) {
  // Not blocking, for a pipe at this path must not hold anybody up before it is refused.
  const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  int fd = open(path.c_str(), flags);
  if (fd < 0 && errno == ENOENT) {
    fd = open(path.c_str(), flags | O_CREAT | O_EXCL, kMode);
    // Whatever the umask says; the mode of a file that somebody else made is his.
    if (fd >= 0 && fchmod(fd, kMode) != 0) {
      const int error = errno;
      close(fd);
      return -error;
    }
    // Somebody made it in between: logrotate's `create`, for one.
    if (fd < 0 && errno == EEXIST) fd = open(path.c_str(), flags);
  }
  return fd < 0 ? -errno : fd;
}

}  // namespace

absl::StatusOr<std::unique_ptr<AuditFile>> AuditFile::Open(std::string path,
                                                           std::function<int64_t()> monotonic_ns) {
  std::unique_ptr<AuditFile> file(new AuditFile(std::move(path), std::move(monotonic_ns)));
  const std::lock_guard<std::mutex> lock(file->mutex_);
  absl::Status opened = file->Reopen();
  if (!opened.ok()) return opened;
  return file;
}

AuditFile::AuditFile(std::string path, std::function<int64_t()> monotonic_ns)
    : path_(std::move(path)), monotonic_ns_(std::move(monotonic_ns)) {}

bool AuditFile::Append(std::string_view line) {
  const std::lock_guard<std::mutex> lock(mutex_);
  absl::Status status = EnsureOpen();
  if (status.ok()) status = Write(line);
  if (!status.ok()) ++lost_;
  SetProblem(std::string(status.message()));
  return status.ok();
}

absl::Status AuditFile::EnsureOpen() {
  if (fd_.valid()) {
    const int64_t now_ns = monotonic_ns_();
    if (now_ns - checked_ns_ < kCheckNs) return absl::OkStatus();
    checked_ns_ = now_ns;
    if (PathIsOurs()) return absl::OkStatus();
  }
  return Reopen();
}

absl::Status AuditFile::Reopen() {
  fd_.Reset();
  const int opened = OpenOrMake(path_);
  if (opened < 0) return FileError(-opened, "open", path_);
  Fd fd(KernelSys(), opened);
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return FileError(errno, "look at", path_);
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("can't write ", path_, ": it is no regular file"));
  }
  if (info.st_size == 0) torn_ = false;
  fd_ = std::move(fd);
  checked_ns_ = monotonic_ns_();
  return absl::OkStatus();
}

absl::Status AuditFile::Write(std::string_view line) {
  // What a full disk left of the line before must not spoil this one.
  const std::string text = std::string(torn_ ? "\n" : "").append(line).append("\n");
  ssize_t written = -1;
  do {
    written = write(fd_.get(), text.data(), text.size());
  } while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(text.size())) {
    torn_ = false;
    return absl::OkStatus();
  }
  if (written < 0) {
    absl::Status problem = FileError(errno, "write", path_);
    fd_.Reset();
    return problem;
  }
  torn_ = true;
  return absl::ResourceExhaustedError(
      absl::StrCat("can't write ", path_, ": only a part of a line got there; is the disk full?"));
}

bool AuditFile::PathIsOurs() const {
  struct stat ours {};
  struct stat there {};
  return fstat(fd_.get(), &ours) == 0 && lstat(path_.c_str(), &there) == 0 &&
         ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

std::string AuditFile::Problem() const {
  const std::lock_guard<std::mutex> lock(problem_mutex_);
  return problem_;
}

void AuditFile::SetProblem(std::string problem) {
  const std::lock_guard<std::mutex> lock(problem_mutex_);
  problem_ = std::move(problem);
}

}  // namespace planecast
