#include "service/sockets/file_limit.h"

#include <sys/resource.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace planecast {

size_t FileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return limit.rlim_cur;
}

absl::Status RaiseFileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return absl::ErrnoToStatus(errno, "the limit of file descriptors can't be read");
  }
  if (limit.rlim_cur == limit.rlim_max) return absl::OkStatus();
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("the limit of file descriptors stays at ", before,
                                                 " instead of ", limit.rlim_max));
}

size_t CountOpenFiles() {
  std::error_code error;
  size_t count = 0;
  std::filesystem::directory_iterator entries("/proc/self/fd", error);
  while (!error && entries != std::filesystem::directory_iterator()) {
    ++count;
    entries.increment(error);
  }
  // One of them is the directory's own.
  return count > 0 ? count - 1 : 0;
}

}  // namespace planecast
