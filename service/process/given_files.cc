#include "service/process/given_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vfio/fd.h"

namespace planecast {
namespace {

std::string FolderOf(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

/// The file itself, never what a link at its end leads to. Nothing there: nothing to do.
absl::Status ChangeOwner(const std::string& path, uid_t uid, gid_t gid) {
  const Fd file(KernelSys(), open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid() && errno == ENOENT) return absl::OkStatus();
  if (!file.valid() || fchownat(file.get(), "", uid, gid, AT_EMPTY_PATH) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't give ", path, " to uid ", uid));
  }
  return absl::OkStatus();
}

}  // namespace

GivenFiles::~GivenFiles() {
  Give().IgnoreError();
}

bool GivenFiles::Remembers(const std::string& folder) const {
  return std::any_of(folders_.begin(), folders_.end(),
                     [&folder](const Folder& one) { return one.path == folder; });
}

absl::Status GivenFiles::TakeFolderOf(const std::string& path) {
  const std::string folder = FolderOf(path);
  if (folder.empty() || Remembers(folder)) return absl::OkStatus();
  struct stat info {};
  if (lstat(folder.c_str(), &info) != 0) {
    if (errno == ENOENT) folders_.push_back({folder, user_.gid});
    return absl::OkStatus();
  }
  if (!S_ISDIR(info.st_mode) || info.st_uid != user_.uid) return absl::OkStatus();
  folders_.push_back({folder, info.st_gid});
  return ChangeOwner(folder, 0, 0);
}

absl::Status GivenFiles::MakeFolderOf(const std::string& path, mode_t mode) {
  if (auto status = TakeFolderOf(path); !status.ok()) return status;
  const std::string folder = FolderOf(path);
  if (folder.empty() || mkdir(folder.c_str(), mode) == 0 || errno == EEXIST) {
    return absl::OkStatus();
  }
  return absl::ErrnoToStatus(errno, absl::StrCat("can't make the folder ", folder));
}

void GivenFiles::WillGive(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0 && errno == ENOENT) WillGiveNew(path);
}

void GivenFiles::WillGiveNew(const std::string& path) {
  if (IsRootsAlone(path)) files_.push_back(path);
}

bool GivenFiles::IsRootsAlone(const std::string& path) const {
  const std::string folder = FolderOf(path);
  struct stat info {};
  const bool is_there = lstat(folder.c_str(), &info) == 0;
  if (!is_there) return Remembers(folder);
  return info.st_uid == 0 && (info.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

absl::Status GivenFiles::Give() {
  absl::Status result;
  // Files first: who has a folder can exchange what is in it.
  for (const std::string& file : files_) result.Update(ChangeOwner(file, user_.uid, user_.gid));
  for (const Folder& folder : folders_) {
    result.Update(ChangeOwner(folder.path, user_.uid, folder.gid));
  }
  files_.clear();
  folders_.clear();
  return result;
}

}  // namespace planecast
