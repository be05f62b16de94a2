// Plays the guest on a real sample device, told what to do over a unix socket.
//
//   vm_guest_role serve SOCKET --group N --device UUID      opens the device
//   vm_guest_role serve SOCKET --borrow PID --kind region|dmabuf --memory-mib N
//                                                           copies the fd of a process that has it
//   vm_guest_role send SOCKET COMMAND...                    prints the answer; exit 1 on `error`
//
// `serve` goes to the background once it serves and prints its pid. Commands: mode W H [BPP], paint
// SEED CODE, flip SEED CODE, pan LINE, off, on, reset, read REGISTER, edid, quit. A client that
// sends `fd` is answered with a copy of the device fd (SCM_RIGHTS).
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/vm/guest_device.h"
#include "vfio/sys.h"

namespace planecast::vmtest {
namespace {

constexpr size_t kCommandMaxBytes = 400;

sockaddr_un Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return address;
}

uint32_t ToNumber(const std::string& text) {
  uint32_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string Answer(const absl::Status& status) {
  return status.ok() ? "ok" : absl::StrCat("error ", std::string(status.message()));
}

/// A connection to a listener of ours or the daemon's.
Fd Connect(const std::string& path) {
  Fd server(KernelSys(), socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const sockaddr_un address = Address(path);
  if (connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return Fd();
  }
  return server;
}

std::string Receive(int socket) {
  char buffer[kCommandMaxBytes];
  const ssize_t size = recv(socket, buffer, sizeof(buffer), 0);
  return std::string(buffer, static_cast<size_t>(size > 0 ? size : 0));
}

/// Hands a copy of `device` to the daemon; its answer.
std::string HandOver(const std::string& path, int device) {
  const Fd daemon = Connect(path);
  if (!daemon.valid()) return absl::StrCat("ERROR nobody listens on ", path);
  std::string hello = "PLANECAST 1";
  iovec data{hello.data(), hello.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &device, sizeof(device));
  if (sendmsg(daemon.get(), &message, MSG_NOSIGNAL) < 0) return "ERROR the fd can't be sent";
  return Receive(daemon.get());
}

/// Carries out one command of the guest's.
std::string Obey(GuestDevice& guest, const std::string& line) {
  std::istringstream words(line);
  std::string verb;
  words >> verb;
  if (verb == "handover") {
    std::string path;
    words >> path;
    const std::string answer = HandOver(path, guest.fd());
    return answer.starts_with("OK ") ? absl::StrCat("ok ", answer.substr(3))
                                     : absl::StrCat("error ", answer);
  }
  std::vector<uint32_t> numbers;
  for (std::string word; words >> word;) numbers.push_back(ToNumber(word));
  const size_t count = numbers.size();
  if (verb == "mode" && count == 2) return Answer(guest.SetMode(numbers[0], numbers[1]));
  if (verb == "mode" && count == 3)
    return Answer(guest.SetMode(numbers[0], numbers[1], numbers[2]));
  if (verb == "paint" && count == 2) {
    return Answer(guest.Paint(numbers[0], static_cast<uint16_t>(numbers[1])));
  }
  if (verb == "flip" && count == 2) {
    return Answer(guest.Flip(numbers[0], static_cast<uint16_t>(numbers[1])));
  }
  if (verb == "pan" && count == 1) return Answer(guest.Pan(numbers[0]));
  if (verb == "off") return Answer(guest.SetEnabled(false));
  if (verb == "on") return Answer(guest.SetEnabled(true));
  if (verb == "reset") return Answer(guest.Reset());
  if (verb == "read" && count == 1) {
    const auto value = guest.ReadRegister(numbers[0]);
    return value.ok() ? absl::StrCat("ok ", *value) : Answer(value.status());
  }
  if (verb == "edid") {
    const auto edid = guest.ReadEdid();
    if (!edid.ok()) return Answer(edid.status());
    std::string answer = "ok ";
    for (const uint8_t byte : *edid) absl::StrAppend(&answer, absl::Hex(byte, absl::kZeroPad2));
    return answer;
  }
  if (verb == "quit") return "ok";
  return absl::StrCat("error no such command: ", line);
}

absl::StatusOr<Fd> OpenDevice(const std::map<std::string, std::string>& options, Fd& group) {
  const auto option = [&](const char* name) {
    const auto found = options.find(name);
    return found == options.end() ? std::string() : found->second;
  };
  if (options.contains("--group")) {
    return OpenByGroup(static_cast<int>(ToNumber(option("--group"))), option("--device"), &group);
  }
  const DeviceKind kind{.region = option("--kind") == "region",
                        .memory_bytes = uint64_t{ToNumber(option("--memory-mib"))} << 20};
  return CopyFromProcess(static_cast<pid_t>(ToNumber(option("--borrow"))), kind);
}

/// Serves until `quit`; one client and one command at a time.
void ServeCommands(int listener, GuestDevice& guest) {
  for (;;) {
    Fd client(KernelSys(), accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!client.valid()) return;
    const std::string command = Receive(client.get());
    if (command.empty()) continue;
    const std::string answer = Obey(guest, command);
    send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    if (command == "quit") return;
  }
}

int Serve(const std::string& path, const std::map<std::string, std::string>& options) {
  // Kept open, as QEMU does.
  Fd group;
  auto device = OpenDevice(options, group);
  if (!device.ok()) {
    std::cerr << "error " << device.status().message() << "\n";
    return 1;
  }
  Fd listener(KernelSys(), socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const sockaddr_un address = Address(path);
  unlink(path.c_str());
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener.get(), 8) != 0) {
    std::cerr << "error " << path << " can't be listened on: " << strerror(errno) << "\n";
    return 1;
  }
  const pid_t child = fork();
  if (child > 0) {
    std::cout << child << std::endl;
    _exit(0);
  }
  setsid();
  // Mapped after the fork, so that only this process has the memory mapped.
  auto guest = GuestDevice::Create(*std::move(device));
  if (!guest.ok()) {
    std::cerr << "error " << guest.status().message() << "\n";
    return 1;
  }
  ServeCommands(listener.get(), **guest);
  return 0;
}

int Send(const std::string& path, const std::string& command) {
  const Fd server = Connect(path);
  if (!server.valid()) {
    std::cout << "error no guest role at " << path << "\n";
    return 1;
  }
  send(server.get(), command.data(), command.size(), MSG_NOSIGNAL);
  const std::string answer = Receive(server.get());
  std::cout << (answer.empty() ? "error no answer" : answer) << "\n";
  return answer.starts_with("ok") ? 0 : 1;
}

int Main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() >= 3 && words[0] == "send") {
    std::string command = words[2];
    for (size_t i = 3; i < words.size(); ++i) absl::StrAppend(&command, " ", words[i]);
    return Send(words[1], command);
  }
  if (words.size() >= 2 && words[0] == "serve") {
    std::map<std::string, std::string> options;
    for (size_t i = 2; i + 1 < words.size(); i += 2) options[words[i]] = words[i + 1];
    return Serve(words[1], options);
  }
  std::cerr << "usage: vm_guest_role serve SOCKET OPTION... | send SOCKET COMMAND...\n";
  return 2;
}

}  // namespace
}  // namespace planecast::vmtest

int main(int argc, char** argv) {
  return planecast::vmtest::Main(argc, argv);
}
