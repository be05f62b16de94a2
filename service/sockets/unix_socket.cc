#include "service/sockets/unix_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr mode_t kDirectoryMode = 0755;
constexpr mode_t kLockMode = 0600;
constexpr mode_t kOwnerOnlyUmask = 0177;

std::mutex& UmaskMutex() {
  static std::mutex mutex;
  return mutex;
}

absl::Status CreateParent(const std::string& path) {
  const std::string parent = path.substr(0, path.rfind('/'));
  if (parent.empty() || mkdir(parent.c_str(), kDirectoryMode) == 0 || errno == EEXIST) {
    return absl::OkStatus();
  }
  return absl::ErrnoToStatus(
      errno, absl::StrCat("can't create the directory ", parent, " for the socket ", path));
}

/// True if somebody listens on the socket.
absl::StatusOr<bool> SomebodyAnswers(const std::string& path) {
  const Fd fd(KernelSys(), socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "can't make a socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is too long for a unix socket"));
  }
  std::copy(path.begin(), path.end(), address.sun_path);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (connect(fd.get(), generic, sizeof(address)) == 0) return true;
  // EAGAIN: somebody listens, and is busy. EPROTOTYPE: a socket of another type, in use.
  if (errno == ECONNREFUSED || errno == ENOENT) return false;
  if (errno == EAGAIN || errno == EPROTOTYPE) return true;
  return absl::ErrnoToStatus(errno, absl::StrCat("can't tell whether ", path, " is in use"));
}

absl::Status InUse(const std::string& path) {
  return absl::AlreadyExistsError(absl::StrCat(
      path, " is served by another process; stop it or choose another path with --socket"));
}

}  // namespace

absl::Status PrepareSocketPath(const std::string& path) {
  if (auto status = CreateParent(path); !status.ok()) return status;
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return absl::ErrnoToStatus(errno, absl::StrCat("can't look at ", path));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " exists and is no socket; remove it or choose another path"));
  }
  auto answers = SomebodyAnswers(path);
  if (!answers.ok()) return answers.status();
  if (*answers) return InUse(path);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't remove the stale socket ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<Fd> ClaimSocketPath(const std::string& path) {
  if (auto status = CreateParent(path); !status.ok()) return status;
  const std::string lock_path = absl::StrCat(path, ".lock");
  Fd lock(KernelSys(),
          open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kLockMode));
  if (!lock.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("can't open ", lock_path));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return InUse(path);
    return absl::ErrnoToStatus(errno, absl::StrCat("can't lock ", lock_path));
  }
  if (auto status = PrepareSocketPath(path); !status.ok()) return status;
  return lock;
}

OwnerOnlyFiles::OwnerOnlyFiles() : lock_(UmaskMutex()), previous_(umask(kOwnerOnlyUmask)) {}

OwnerOnlyFiles::~OwnerOnlyFiles() {
  umask(previous_);
}

}  // namespace planecast
