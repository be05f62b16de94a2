#include "service/process/broker_child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "service/sockets/unix_socket.h"

namespace planecast {
namespace {

constexpr const char* kName = "planecast-broker";
constexpr const char* kInstalled = "/usr/libexec/planecast/planecast-broker";
constexpr mode_t kFolderMode = 0710;
constexpr mode_t kSocketMode = 0600;
constexpr int kBacklog = 16;
/// Where sd_listen_fds(3) has the first socket, and what the child's command line says.
constexpr int kSocketFd = 3;
constexpr int kLifelineFd = 4;

/// A folder that only root writes: a socket could be exchanged in any other.
absl::StatusOr<Fd> MakeFolder(const std::string& path) {
  if (mkdir(path.c_str(), kFolderMode) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't make the folder ", path));
  }
  Fd folder(KernelSys(), open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid()) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't open the folder ", path));
  }
  struct stat info {};
  if (fstat(folder.get(), &info) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't look at the folder ", path));
  }
  if (info.st_uid != 0) {
    return absl::FailedPreconditionError(absl::StrCat("the folder ", path,
                                                      " of the broker's socket belongs to uid ",
                                                      info.st_uid, ", not to root; remove it"));
  }
  return folder;
}

/// As PrepareSocketPath, whose remedy is for sockets that have a flag.
absl::Status PreparePath(const std::string& path) {
  const absl::Status status = PrepareSocketPath(path);
  if (!absl::IsAlreadyExists(status)) return status;
  return absl::AlreadyExistsError(absl::StrCat(
      path,
      ", where the daemon's broker is to listen, is served by another process: stop it "
      "(systemctl stop planecast-broker.socket planecast-broker.service), or give the daemon "
      "a --socket of its own, beside which its broker then listens"));
}

absl::StatusOr<Fd> Listen(const std::string& path, const DaemonUser& user) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is too long for a unix socket; choose a shorter --socket"));
  }
  std::copy(path.begin(), path.end(), address.sun_path);
  const std::string folder_path = path.substr(0, path.rfind('/'));
  const auto folder = MakeFolder(folder_path);
  if (!folder.ok()) return folder.status();
  if (auto status = PreparePath(path); !status.ok()) return status;
  // Not before: the folder of a socket in use is its broker's.
  if (fchown(folder->get(), 0, user.gid) != 0 || fchmod(folder->get(), kFolderMode) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't give the folder ", folder_path));
  }
  Fd listener(KernelSys(), socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!listener.valid()) return absl::ErrnoToStatus(errno, "can't make a socket");
  int result = 0;
  {
    const OwnerOnlyFiles guard;
    result = bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  }
  // In a folder that only root writes nothing else can be at this path.
  if (result != 0 || lchown(path.c_str(), user.uid, user.gid) != 0 ||
      chmod(path.c_str(), kSocketMode) != 0 || listen(listener.get(), kBacklog) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't listen on ", path));
  }
  return listener;
}

/// Our environment with the variables of sd_listen_fds(3), for the process that this is.
std::vector<std::string> ChildEnvironment() {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!std::string_view(*variable).starts_with("LISTEN_")) variables.emplace_back(*variable);
  }
  variables.push_back(absl::StrCat("LISTEN_PID=", getpid()));
  variables.emplace_back("LISTEN_FDS=1");
  return variables;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// Puts a copy of each fd in its place, open across exec. The child has one thread, as its parent.
bool PlaceFds(int listener, int lifeline) {
  // Above both places first, so that neither is overwritten before it was copied.
  const int high_listener = fcntl(listener, F_DUPFD_CLOEXEC, kLifelineFd + 1);
  const int high_lifeline = fcntl(lifeline, F_DUPFD_CLOEXEC, kLifelineFd + 1);
  return high_listener >= 0 && high_lifeline >= 0 && dup2(high_listener, kSocketFd) >= 0 &&
         dup2(high_lifeline, kLifelineFd) >= 0;
}

/// In the child: never returns. What fails is told to the parent as an errno.
[[noreturn]] void Become(const std::string& program, const DaemonUser& user, int listener,
                         int lifeline, int report) {
  // A signal that a terminal sends to the daemon is for the daemon, who ends this one in time.
  setsid();
  signal(SIGPIPE, SIG_DFL);
  signal(SIGXFSZ, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::vector<std::string> arguments = {kName, "--lifeline", absl::StrCat(kLifelineFd), "--user",
                                        absl::StrCat(user.uid)};
  std::vector<std::string> environment = ChildEnvironment();
  const int high_report = fcntl(report, F_DUPFD_CLOEXEC, kLifelineFd + 1);
  if (PlaceFds(listener, lifeline)) {
    execve(program.c_str(), Pointers(arguments).data(), Pointers(environment).data());
  }
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(high_report, &error, sizeof(error));
  _exit(1);
}

struct Pipe {
  Fd read_end;
  Fd write_end;
};

absl::StatusOr<Pipe> MakePipe() {
  std::array<int, 2> fds{};
  if (pipe2(fds.data(), O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "can't make a pipe");
  return Pipe{Fd(KernelSys(), fds[0]), Fd(KernelSys(), fds[1])};
}

/// 0 once the child has become the program, else its errno.
int AwaitExec(Pipe& report) {
  report.write_end.Reset();
  int error = 0;
  ssize_t size = 0;
  do {
    size = read(report.read_end.get(), &error, sizeof(error));
  } while (size < 0 && errno == EINTR);
  return size == 0 ? 0 : error;
}

}  // namespace

absl::StatusOr<std::string> FindBroker() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string beside = error ? "" : (self.parent_path() / kName).string();
  for (const std::string& path : {beside, std::string(kInstalled)}) {
    if (!path.empty() && access(path.c_str(), X_OK) == 0) return path;
  }
  return absl::NotFoundError(absl::StrCat(
      "there is no ", kName, ", which opens devices for a daemon without privileges, at ", beside,
      " or ", kInstalled, "; install it, or say --user root, which keeps root's privileges"));
}

absl::Status BrokerChild::Start(const std::string& program, const std::string& socket_path,
                                const DaemonUser& user) {
  auto listener = Listen(socket_path, user);
  if (!listener.ok()) return listener.status();
  auto lifeline = MakePipe();
  if (!lifeline.ok()) return lifeline.status();
  auto report = MakePipe();
  if (!report.ok()) return report.status();
  pid_ = fork();
  if (pid_ < 0) return absl::ErrnoToStatus(errno, "can't start a process for the broker");
  if (pid_ == 0) {
    Become(program, user, listener->get(), lifeline->read_end.get(), report->write_end.get());
  }
  if (const int error = AwaitExec(*report); error != 0) {
    waitpid(pid_, nullptr, 0);
    return absl::ErrnoToStatus(error, absl::StrCat("can't start ", program));
  }
  lifeline_ = std::move(lifeline->write_end);
  return absl::OkStatus();
}

bool BrokerChild::Reap() {
  if (pid_ <= 0 || has_ended_) return false;
  if (waitpid(pid_, nullptr, WNOHANG) != pid_) return false;
  has_ended_ = true;
  return true;
}

}  // namespace planecast
