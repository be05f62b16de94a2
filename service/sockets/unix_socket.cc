#include "service/sockets/unix_socket.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr mode_t kDirectoryMode = 0755;
constexpr mode_t kLockMode = 0600;
constexpr mode_t kOwnerOnlyUmask = 0177;
constexpr mode_t kGroupMode = 0660;
constexpr mode_t kEverybodyMode = 0666;
constexpr int kBacklog = 256;
/// The list of a group's members may be long; one that needs more is no group.
constexpr size_t kGroupEntryMaxBytes = 16 << 20;

std::mutex& UmaskMutex() {
  static std::mutex mutex;
  return mutex;
}

absl::Status CreateParent(const std::string& path) {
  const std::string parent = path.substr(0, path.rfind('/'));
  if (parent.empty()) return absl::OkStatus();
  if (mkdir(parent.c_str(), kDirectoryMode) == 0) {
    // Whatever the umask: the sockets' own modes say who may connect.
    chmod(parent.c_str(), kDirectoryMode);
    return absl::OkStatus();
  }
  if (errno == EEXIST) return absl::OkStatus();
  return absl::ErrnoToStatus(
      errno, absl::StrCat("can't create the directory ", parent, " for the socket ", path));
}

absl::StatusOr<Fd> MakeSocket(int type = SOCK_STREAM) {
  Fd fd(KernelSys(), socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "can't make a socket");
  return fd;
}

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is too long for a unix socket"));
  }
  std::copy(path.begin(), path.end(), address.sun_path);
  return address;
}

/// True if somebody listens on the socket.
absl::StatusOr<bool> SomebodyAnswers(const std::string& path) {
  auto fd = MakeSocket();
  if (!fd.ok()) return fd.status();
  auto address = AddressOf(path);
  if (!address.ok()) return address.status();
  const auto* generic = reinterpret_cast<const sockaddr*>(&*address);
  if (connect(fd->get(), generic, sizeof(*address)) == 0) return true;
  // EAGAIN: somebody listens, and is busy. EPROTOTYPE: a socket of another type, in use.
  if (errno == ECONNREFUSED || errno == ENOENT) return false;
  if (errno == EAGAIN || errno == EPROTOTYPE) return true;
  return absl::ErrnoToStatus(errno, absl::StrCat("can't tell whether ", path, " is in use"));
}

absl::Status InUse(const std::string& path) {
  return absl::AlreadyExistsError(absl::StrCat(
      path,
      " is served by another process; stop it or choose another path (--socket, --viewer-socket)"));
}

absl::StatusOr<gid_t> FindGroup(const std::string& name) {
  std::vector<char> buffer(4096);
  group entry{};
  group* found = nullptr;
  int error = 0;
  while ((error = getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found)) ==
             ERANGE &&
         buffer.size() < kGroupEntryMaxBytes) {
    buffer.resize(buffer.size() * 2);
  }
  if (found != nullptr) return found->gr_gid;
  if (error != 0 && error != ENOENT) {
    return absl::ErrnoToStatus(error, absl::StrCat("can't look up the group ", name));
  }
  return absl::NotFoundError(absl::StrCat("there is no group ", name,
                                          "; make it with 'groupadd --system ", name,
                                          "', or name another as socket_group"));
}

absl::Status Bind(const Fd& socket, const std::string& path) {
  auto address = AddressOf(path);
  if (!address.ok()) return address.status();
  const OwnerOnlyFiles guard;
  const auto* generic = reinterpret_cast<const sockaddr*>(&*address);
  if (bind(socket.get(), generic, sizeof(*address)) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(
      errno, absl::StrCat("can't make the socket ", path, "; is its directory writable?"));
}

absl::Status GiveToGroup(const std::string& path, const std::string& name, gid_t group) {
  if (lchown(path.c_str(), static_cast<uid_t>(-1), group) == 0) return absl::OkStatus();
  if (errno != EPERM) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't give ", path, " to the group ", name));
  }
  return absl::PermissionDeniedError(
      absl::StrCat("can't give ", path, " to the group ", name,
                   ", of which this process is no member; add SupplementaryGroups=", name,
                   " to the daemon's systemd unit ('systemctl edit planecastd')"));
}

/// Lets in whom `access` names: the file is only its owner's yet, and the group comes before its
/// right.
absl::Status Open(const std::string& path, const UnixSocketAccess& access,
                  std::optional<gid_t> group) {
  if (access.who == UnixSocketAccess::Who::kOwner) return absl::OkStatus();
  if (group.has_value()) {
    if (auto status = GiveToGroup(path, access.group, *group); !status.ok()) return status;
  }
  if (chmod(path.c_str(), group.has_value() ? kGroupMode : kEverybodyMode) == 0) {
    return absl::OkStatus();
  }
  return absl::ErrnoToStatus(errno, absl::StrCat("can't set the mode of ", path));
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

absl::StatusOr<Fd> ListenOnUnix(const std::string& path, const UnixSocketAccess& access, int type) {
  std::optional<gid_t> group;
  if (access.who == UnixSocketAccess::Who::kGroup) {
    auto found = FindGroup(access.group);
    if (!found.ok()) return found.status();
    group = *found;
  }
  auto socket = MakeSocket(type);
  if (!socket.ok()) return socket.status();
  if (auto status = Bind(*socket, path); !status.ok()) return status;
  absl::Status status = Open(path, access, group);
  if (status.ok() && listen(socket->get(), kBacklog) != 0) {
    status = absl::ErrnoToStatus(errno, absl::StrCat("can't listen on ", path));
  }
  if (status.ok()) return socket;
  unlink(path.c_str());
  return status;
}

absl::StatusOr<ucred> PeerCredentials(const Fd& socket) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return absl::ErrnoToStatus(errno, "can't tell who is at the other end of a socket");
  }
  // What the kernel says of sockets that are not connected or know no users.
  if (credentials.uid == static_cast<uid_t>(-1)) {
    return absl::FailedPreconditionError("no local user is at the other end of the socket");
  }
  return credentials;
}

OwnerOnlyFiles::OwnerOnlyFiles() : lock_(UmaskMutex()), previous_(umask(kOwnerOnlyUmask)) {}

OwnerOnlyFiles::~OwnerOnlyFiles() {
  umask(previous_);
}

}  // namespace planecast
