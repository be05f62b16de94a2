// Files and folders that root makes and the daemon's user has.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "service/process/user.h"

namespace planecast {

/// While root opens what the daemon needs, the folders of its sockets and of its audit log are
/// root's, so that nobody can put another file in the place of one that root makes there. Then they
/// are given to the daemon's user, who removes his sockets and rotates his log.
///
/// Given are folders and files that were not there at the start, or were the user's already, from a
/// run before; what is somebody else's is left alone. Thread-compatible.
class GivenFiles {
 public:
  explicit GivenFiles(DaemonUser user) : user_(std::move(user)) {}
  /// Gives what Give has not, so that a start that fails leaves all as it was.
  ~GivenFiles();
  GivenFiles(const GivenFiles&) = delete;
  GivenFiles& operator=(const GivenFiles&) = delete;

  /// Takes the folder of `path` if it is the user's, and remembers to give it; also if it is not
  /// there yet. An error of the system.
  absl::Status TakeFolderOf(const std::string& path);
  /// As TakeFolderOf, and makes the folder (`mode`) if it is not there.
  absl::Status MakeFolderOf(const std::string& path, mode_t mode);
  /// Remembers to give the file, if it is not there yet and nobody else may write its folder.
  void WillGive(const std::string& path);

  /// As WillGive, for a file that is made anew if it is there.
  void WillGiveNew(const std::string& path);

  /// Gives all that is there by now. An error of the system.
  absl::Status Give();

 private:
  struct Folder {
    std::string path;
    /// The group that it had.
    gid_t gid = 0;
  };

  bool Remembers(const std::string& folder) const;
  /// Nobody but root can put anything into the folder of `path` before Give.
  bool IsRootsAlone(const std::string& path) const;

  const DaemonUser user_;
  std::vector<std::string> files_;
  std::vector<Folder> folders_;
};

}  // namespace planecast
