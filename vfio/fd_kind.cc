#include "vfio/fd_kind.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <fstream>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "vfio/abi.h"

namespace planecast {
namespace {

constexpr std::string_view kGroupDeviceLink = "anon_inode:[vfio-device]";
// Before Linux 5.3.
constexpr std::string_view kOldDmabufLink = "anon_inode:dmabuf";

bool IsAnonymous(Sys& sys, int fd, std::string_view link) {
  uint64_t type = 0;
  std::string target;
  return sys.FileSystemType(fd, &type) == 0 && type == abi::kAnonymousFileSystem &&
         sys.ReadFdLink(fd, &target) == 0 && target == link;
}

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

bool IsDmabuf(Sys& sys, int fd) {
  uint64_t type = 0;
  if (sys.FileSystemType(fd, &type) != 0) return false;
  return type == abi::kDmabufFileSystem || IsAnonymous(sys, fd, kOldDmabufLink);
}

bool IsGroupDeviceFile(Sys& sys, int fd) {
  struct stat info {};
  if (sys.Fstat(fd, &info) != 0 || (info.st_mode & S_IFMT) != 0) return false;
  return IsAnonymous(sys, fd, kGroupDeviceLink);
}

bool IsPidfd(Sys& sys, int fd) {
  std::string info;
  if (sys.ReadFdInfo(fd, &info) != 0) return false;
  return absl::StartsWith(info, "Pid:") || absl::StrContains(info, "\nPid:");
}

std::optional<std::string> CharDeviceName(Sys& sys, int fd, const std::string& device_class,
                                          const std::string& sys_root) {
  const int flags = sys.GetFileFlags(fd);
  if (flags < 0 || (flags & O_PATH) != 0) return std::nullopt;
  struct stat info {};
  if (sys.Fstat(fd, &info) != 0 || !S_ISCHR(info.st_mode)) return std::nullopt;
  std::string path;
  if (sys.ReadFdLink(fd, &path) != 0) return std::nullopt;
  // What is behind the last slash has none, so that it names nothing outside of the class.
  const std::string name = path.substr(path.rfind('/') + 1);
  const std::string numbers =
      FirstLine(absl::StrCat(sys_root, "/class/", device_class, "/", name, "/dev"));
  if (numbers != absl::StrCat(major(info.st_rdev), ":", minor(info.st_rdev))) return std::nullopt;
  return name;
}

}  // namespace planecast
