// Files that appear under their name only when they are whole.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace planecast::cli {

/// A file that is written under another name beside `path` and renamed at the end, so that `path`
/// never holds half a picture. Thread-compatible.
class OutputFile {
 public:
  explicit OutputFile(std::string path);
  /// Removes what was not committed.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  /// Where to write until Commit.
  const std::string& partial_path() const { return partial_path_; }
  const std::string& path() const { return path_; }

  /// Renames the written file to `path`, replacing what is there.
  absl::Status Commit();

 private:
  const std::string path_;
  const std::string partial_path_;
  bool committed_ = false;
};

/// Writes a whole file that way.
absl::Status WriteFile(const std::string& path, std::string_view contents);

/// What follows the last dot of the last part of a path, in lower case: `mp4`. Empty if none.
std::string FileExtension(std::string_view path);

}  // namespace planecast::cli
