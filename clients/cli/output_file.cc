#include "clients/cli/output_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace planecast::cli {

OutputFile::OutputFile(std::string path)
    : path_(std::move(path)), partial_path_(absl::StrCat(path_, ".", getpid(), ".partial")) {}

OutputFile::~OutputFile() {
  if (committed_) return;
  std::error_code ignored;  // It may never have been made.
  std::filesystem::remove(partial_path_, ignored);
}

absl::Status OutputFile::Commit() {
  if (std::rename(partial_path_.c_str(), path_.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't rename ", partial_path_, " to ", path_));
  }
  committed_ = true;
  return absl::OkStatus();
}

absl::Status WriteFile(const std::string& path, std::string_view contents) {
  OutputFile output(path);
  errno = 0;
  std::ofstream file(output.partial_path(), std::ios::binary);
  file.write(contents.data(), static_cast<std::streamsize>(contents.size()));
  file.close();
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat("can't write ", path));
  return output.Commit();
}

std::string FileExtension(std::string_view path) {
  std::string extension = std::filesystem::path(path).extension().string();
  if (!extension.empty()) extension.erase(0, 1);
  return absl::AsciiStrToLower(extension);
}

}  // namespace planecast::cli
