#include "service/process/confiner.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/process/drop.h"
#include "vfio/fd.h"

namespace planecast {
namespace {

constexpr std::string_view kNone = "none";
constexpr std::string_view kDefaultSocketPath = "/run/planecast/planecast.sock";
constexpr const char* kDefaultChildSocket = "/run/planecast-broker/broker.sock";
constexpr mode_t kAuditFolderMode = 0750;

/// A daemon with sockets of its own has a broker of its own, beside them: two don't meet.
std::string ChildSocketPath(const std::string& socket_path) {
  if (socket_path == kDefaultSocketPath) return kDefaultChildSocket;
  return absl::StrCat(socket_path, ".broker/sock");
}

absl::Status CheckOpens(const std::string& path, int flags, const char* what,
                        const std::string& user) {
  if (path.empty()) return absl::OkStatus();
  const Fd file(KernelSys(), open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.valid()) return absl::OkStatus();
  const int error = errno;
  return absl::ErrnoToStatus(
      error, absl::StrCat(user, ", whom the daemon has become, can't ", what, " ", path,
                          "; chown or chgrp it, let him through each folder above it, or choose "
                          "another --user"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Confiner>> Confiner::Make(Options options, const Logger& log) {
  auto confiner = std::make_unique<Confiner>(std::move(options), log);
  if (geteuid() != 0) {
    confiner->FindSystemBroker();
    return confiner;
  }
  if (auto status = confiner->PrepareDrop(); !status.ok()) return status;
  return confiner;
}

absl::Status Confiner::PrepareDrop() {
  auto user = FindDaemonUser(options_.user.empty() ? kDefaultUser : options_.user);
  if (!user.ok()) return user.status();
  if (user->is_root()) return absl::OkStatus();
  auto program = FindBroker();
  if (!program.ok()) return program.status();
  broker_program_ = *std::move(program);
  broker_socket_path_ = ChildSocketPath(options_.socket_path);
  given_ = std::make_unique<GivenFiles>(*user);
  user_ = *std::move(user);
  for (const std::string* path :
       {&options_.socket_path, &options_.viewer_socket_path, &options_.hand_over_socket_path}) {
    if (path->empty() || *path == kNone) continue;
    if (auto status = given_->TakeFolderOf(*path); !status.ok()) return status;
    given_->WillGive(absl::StrCat(*path, ".lock"));
  }
  // A manager that hands over may be the daemon's user. The socket is made anew at each start.
  if (!options_.hand_over_socket_path.empty()) {
    given_->WillGiveNew(options_.hand_over_socket_path);
  }
  if (options_.audit_file_path.empty()) return absl::OkStatus();
  auto status = given_->MakeFolderOf(options_.audit_file_path, kAuditFolderMode);
  if (status.ok()) given_->WillGive(options_.audit_file_path);
  return status;
}

void Confiner::FindSystemBroker() {
  const std::string& path = options_.broker_socket_path;
  if (path.empty() || path == kNone) {
    state_.opener_problem =
        "the config says broker_socket_path: \"none\"; only what the daemon's own user may open "
        "can "
        "be opened";
    return;
  }
  if (access(path.c_str(), R_OK | W_OK) == 0) {
    broker_socket_path_ = path;
    state_.broker = true;
    return;
  }
  state_.opener_problem = absl::StrCat(
      "the broker's socket ", path, " can't be reached (", std::strerror(errno),
      "): is planecast-broker.socket started, for this user? Only what the daemon's own user may "
      "open can be opened");
}

absl::Status Confiner::OnBound() {
  if (user_.has_value()) {
    if (auto status = Drop(); !status.ok()) return status;
  } else if (geteuid() != 0 && HasPrivileges()) {
    // E.g. CAP_NET_BIND_SERVICE, which has done its part by now.
    if (auto status = GiveUpCapabilities(); !status.ok()) {
      log_.Warning("",
                   absl::StrCat("was started with capabilities and keeps them: ", status.message(),
                                "; take AmbientCapabilities= out of its unit"));
    }
  }
  state_.user = DescribeUser(geteuid());
  state_.privileged = HasPrivileges();
  if (state_.privileged) {
    log_.Warning("",
                 absl::StrCat("runs as ", state_.user,
                              " with privileges, which whoever takes the daemon over has too",
                              geteuid() == 0 ? "; without --user root it would drop them" : ""));
  } else {
    log_.Info("", absl::StrCat("runs as ", state_.user, " without privileges"));
  }
  if (!options_.user.empty() && !user_.has_value() && geteuid() != 0) {
    auto wanted = FindDaemonUser(options_.user);
    if (!wanted.ok() || wanted->uid != geteuid()) {
      log_.Warning("", absl::StrCat("only root can become the user ", options_.user,
                                    "; the daemon stays ", state_.user));
    }
  }
  if (!state_.opener_problem.empty()) log_.Warning("", state_.opener_problem);
  return CheckFiles();
}

absl::Status Confiner::Drop() {
  if (auto status = LeaveTerminal(); !status.ok()) {
    log_.Warning("", absl::StrCat(status.message(),
                                  ": who takes the daemon over could read what is typed there"));
  }
  if (auto status = broker_.Start(broker_program_, broker_socket_path_, *user_); !status.ok()) {
    return status;
  }
  log_.Info("", absl::StrCat("planecast-broker, process ", broker_.pid(),
                             ", opens devices for the daemon"));
  state_.broker = true;
  if (auto status = given_->Give(); !status.ok()) return status;
  std::vector<gid_t> groups = RenderNodeGroups();
  // Those of nodes that come later.
  for (const gid_t group : GroupOfName("render")) groups.push_back(group);
  for (const gid_t group : GroupOfName(options_.socket_group)) groups.push_back(group);
  return DropPrivileges(*user_, groups);
}

absl::Status Confiner::CheckFiles() const {
  if (!user_.has_value()) return absl::OkStatus();
  auto status = CheckOpens(options_.config_path, O_RDONLY, "read", state_.user);
  if (!status.ok()) return status;
  return CheckOpens(options_.audit_file_path, O_WRONLY | O_APPEND | O_NOFOLLOW, "write",
                    state_.user);
}

absl::Status Confiner::OnProbed() {
  const std::string problem = SystemCallFilterProblem();
  if (!options_.filter_system_calls) {
    state_.system_call_filter_problem = "--no-seccomp or the config turns the filter off";
  } else if (!problem.empty()) {
    state_.system_call_filter_problem = problem;
  } else {
    auto status = InstallSystemCallFilter({!state_.broker, options_.flip_eventfd_draft});
    if (!status.ok()) return status;
    state_.system_calls_filtered = true;
    return absl::OkStatus();
  }
  log_.Warning("", absl::StrCat("the daemon may make every system call: ",
                                state_.system_call_filter_problem));
  return absl::OkStatus();
}

void Confiner::OnChildSignal() {
  if (!broker_.Reap()) return;
  log_.Error("", absl::StrCat("planecast-broker, process ", broker_.pid(),
                              ", has ended: displays go on, but no device can be opened until "
                              "planecastd is started anew"));
}

Confinement Confiner::state() const {
  Confinement state = state_;
  if (broker_.has_ended()) {
    state.opener_problem = "planecast-broker has ended; start planecastd anew";
  }
  return state;
}

}  // namespace planecast
