// What main does to its own process.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/process/broker_child.h"
#include "service/process/confinement.h"
#include "service/process/given_files.h"
#include "service/process/system_call_filter.h"
#include "service/process/user.h"
#include "service/telemetry/log.h"

namespace planecast {

/// Takes away from this process what it doesn't need, in two steps of the daemon's start.
///
/// Started by root: it becomes the configured user, and a broker of its own keeps root's
/// privileges; `root` as user keeps them here. Started by somebody else: nothing is to be dropped,
/// and the system's broker is used if its socket can be had.
///
/// Bound to the main thread, but state(), which is thread-safe once OnProbed has returned.
class Confiner {
 public:
  struct Options {
    /// As the config says; empty: kDefaultUser.
    std::string user;
    std::string socket_path;
    std::string viewer_socket_path;
    /// Empty for none, as the next two.
    std::string hand_over_socket_path;
    std::string audit_file_path;
    std::string config_path;
    /// A group that the daemon's sockets are given to; stays a group of the process. May be empty.
    std::string socket_group;
    /// Of the system's broker; `none` for none.
    std::string broker_socket_path;
    bool filter_system_calls = true;
    bool flip_eventfd_draft = false;
  };

  /// Raises the limit of open files, finds the user and the broker, and takes the folders in which
  /// root makes files. `log` must outlive the confiner. Errors are for a person.
  static absl::StatusOr<std::unique_ptr<Confiner>> Make(Options options, const Logger& log);

  /// Where the broker is to be reached once OnBound was called; empty: this process opens devices.
  const std::string& broker_socket_path() const { return broker_socket_path_; }

  /// Daemon::Parts::on_bound: starts the broker and drops privileges. Then looks whether the new
  /// user may read what has to be read again later.
  absl::Status OnBound();
  /// Daemon::Parts::on_probed: filters system calls.
  absl::Status OnProbed();
  /// After SIGCHLD.
  void OnChildSignal();

  /// Daemon::Parts::confinement.
  Confinement state() const;

  /// Use Make.
  Confiner(Options options, const Logger& log) : options_(std::move(options)), log_(log) {}

 private:
  absl::Status PrepareDrop();
  void FindSystemBroker();
  absl::Status Drop();
  absl::Status CheckFiles() const;

  const Options options_;
  const Logger& log_;
  /// Whom root becomes. Nothing: privileges are not dropped.
  std::optional<DaemonUser> user_;
  std::unique_ptr<GivenFiles> given_;
  std::string broker_program_;
  std::string broker_socket_path_;
  BrokerChild broker_;
  Confinement state_;
};

}  // namespace planecast
