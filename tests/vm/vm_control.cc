#include "tests/vm/vm_control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>

#include "absl/strings/str_cat.h"

namespace planecast::vmtest {
namespace {

/// Longest wait for the VM's next byte: for its boot, or for a command's end.
constexpr int kAnswerTimeoutS = 90;
constexpr size_t kReadBytes = 4096;
constexpr size_t kHeaderMaxBytes = 40;

}  // namespace

absl::StatusOr<std::unique_ptr<VmControl>> VmControl::Connect(const std::string& socket_path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::unique_ptr<VmControl> control(new VmControl(fd));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, socket_path.c_str(), sizeof(address.sun_path) - 1);
  const timeval timeout{.tv_sec = kAnswerTimeoutS, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::UnavailableError(absl::StrCat(socket_path, ": ", strerror(errno)));
  }
  const auto hello = control->ReadAnswer();
  if (!hello.ok()) return hello.status();
  return control;
}

VmControl::~VmControl() {
  if (socket_ >= 0) close(socket_);
}

absl::StatusOr<char> VmControl::ReadByte() {
  if (consumed_bytes_ == buffer_.size()) {
    buffer_.resize(kReadBytes);
    consumed_bytes_ = 0;
    const ssize_t size = recv(socket_, buffer_.data(), buffer_.size(), 0);
    buffer_.resize(size > 0 ? static_cast<size_t>(size) : 0);
    if (size <= 0) {
      broken_ = true;
      return absl::UnavailableError(size == 0 ? "the VM is gone" : "the VM does not answer");
    }
  }
  return buffer_[consumed_bytes_++];
}

absl::StatusOr<CommandResult> VmControl::ReadAnswer() {
  std::string header;
  while (header.size() < kHeaderMaxBytes) {
    const auto byte = ReadByte();
    if (!byte.ok()) return byte.status();
    if (*byte == '\n') break;
    header += *byte;
  }
  const size_t space = header.find(' ');
  CommandResult result;
  size_t size_bytes = 0;
  if (header.empty() || header[0] != '=' || space == std::string::npos) {
    broken_ = true;
    return absl::InternalError(absl::StrCat("the VM talks nonsense: ", header));
  }
  std::from_chars(header.data() + 1, header.data() + space, result.status);
  std::from_chars(header.data() + space + 1, header.data() + header.size(), size_bytes);
  while (result.output.size() < size_bytes) {
    const auto byte = ReadByte();
    if (!byte.ok()) return byte.status();
    result.output += *byte;
  }
  return result;
}

absl::StatusOr<CommandResult> VmControl::Run(std::string_view line) {
  if (broken_) return absl::UnavailableError("the VM no longer answers");
  std::string text(line);
  text += '\n';
  if (send(socket_, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) {
    broken_ = true;
    return absl::UnavailableError("the VM is gone");
  }
  return ReadAnswer();
}

void VmControl::Stop(int status) {
  const std::string line = absl::StrCat("stop ", status, "\n");
  if (send(socket_, line.data(), line.size(), MSG_NOSIGNAL) < 0) broken_ = true;
}

}  // namespace planecast::vmtest
