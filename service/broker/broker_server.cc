#include "service/broker/broker_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "planecast/broker/v1/broker.pb.h"
#include "service/broker/request.h"
#include "service/sockets/fd_packet.h"
#include "service/sockets/token_bucket.h"
#include "service/sockets/unix_socket.h"

namespace planecast {

/// "refused:" lines of the log: so many at once, and so many a second.
constexpr double kRefusalLinesMax = 10;
constexpr double kRefusalLinesPerS = 1;

/// What threads of requests share with the server, and may outlive it with.
struct BrokerServer::State {
  State(DeviceOpener& device_opener, BrokerOptions server_options)
      : opener(device_opener), options(std::move(server_options)) {}

  /// False if too many are under way.
  bool Enter() {
    const std::lock_guard lock(mutex);
    if (under_way >= kBrokerRequestsMax) return false;
    ++under_way;
    return true;
  }
  void Leave() {
    const std::lock_guard lock(mutex);
    --under_way;
    // Under the lock: behind it the waiter, and the opener with it, may be gone.
    left.notify_all();
  }
  void AwaitNone() {
    std::unique_lock lock(mutex);
    left.wait(lock, [this] { return under_way == 0; });
  }
  void Log(const std::string& line) const {
    if (options.log != nullptr) options.log(line);
  }
  /// A line that a peer can have written as often as it likes. The next one says how many were left
  /// out.
  void LogRefusal(const std::string& line) {
    int left_out = 0;
    {
      const std::lock_guard lock(mutex);
      if (!refusals.Take(1, options.clock->NowNs())) {
        ++refusals_left_out;
        return;
      }
      left_out = std::exchange(refusals_left_out, 0);
    }
    Log(left_out == 0 ? line : absl::StrCat(line, " (", left_out, " more were left out before)"));
  }

  DeviceOpener& opener;
  const BrokerOptions options;
  std::mutex mutex;
  std::condition_variable left;
  int under_way = 0;
  TokenBucket refusals{kRefusalLinesPerS, kRefusalLinesMax};
  int refusals_left_out = 0;
};

namespace {

using broker::v1::FdRole;
using broker::v1::OpenReply;

/// A refused peer's request is taken so that its answer can be read; it was sent by now.
constexpr int kRefusedReceiveTimeoutMs = 100;
/// After an accept that failed: most likely the process is out of fds.
constexpr int kAcceptRetryMs = 100;
/// Of one text: two of them and the rest fit into a packet.
constexpr size_t kTextMaxBytes = 1500;

/// Names in sysfs are bytes; a text of protobuf is not.
std::string Printable(absl::string_view text) {
  std::string result(text.substr(0, kTextMaxBytes));
  std::replace_if(
      result.begin(), result.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return result;
}

/// A reply and the fds that go with it.
struct Answer {
  OpenReply reply;
  OpenedDevice device;
};

Answer Refusal(const absl::Status& status) {
  Answer answer;
  answer.reply.set_code(static_cast<int>(status.code()));
  answer.reply.set_message(Printable(status.message()));
  return answer;
}

std::string Describe(const BrokerRequest& request) {
  if (const auto* group = std::get_if<GroupRequest>(&request)) {
    return absl::StrCat("group ", group->group, ", device ", group->device);
  }
  if (const auto* cdev = std::get_if<CdevRequest>(&request)) {
    return absl::StrCat("/dev/vfio/devices/vfio", cdev->number);
  }
  if (const auto* borrow = std::get_if<BorrowRequest>(&request)) {
    return absl::StrCat("of process ", borrow->vmm.pid, " started at ",
                        borrow->vmm.start_time_ticks, ", device ",
                        borrow->device.empty() ? "any" : borrow->device);
  }
  return "a probe";
}

absl::StatusOr<OpenedDevice> Open(DeviceOpener& opener, const BrokerRequest& request) {
  if (const auto* group = std::get_if<GroupRequest>(&request)) {
    return opener.OpenGroup(group->group, group->device);
  }
  if (const auto* cdev = std::get_if<CdevRequest>(&request)) {
    return opener.OpenCdev(absl::StrCat("/dev/vfio/devices/vfio", cdev->number));
  }
  const auto& borrow = std::get<BorrowRequest>(request);
  return opener.Borrow(borrow.vmm, borrow.device);
}

Answer ProbeAnswer(DeviceOpener& opener) {
  const OpenerProblems problems = opener.Problems();
  Answer answer;
  broker::v1::ProbeResult& result = *answer.reply.mutable_probe_result();
  constexpr size_t kPartMaxBytes = kTextMaxBytes / 2;
  result.set_group_problem(Printable(problems.group).substr(0, kPartMaxBytes));
  result.set_cdev_problem(Printable(problems.cdev).substr(0, kPartMaxBytes));
  result.set_vmm_problem(Printable(problems.vmm).substr(0, kPartMaxBytes));
  return answer;
}

Answer MakeAnswer(BrokerServer::State& state, const absl::StatusOr<std::string>& packet) {
  if (!packet.ok()) return Refusal(packet.status());
  const auto request = ParseBrokerRequest(*packet);
  if (!request.ok()) return Refusal(request.status());
  if (std::holds_alternative<ProbeRequest>(*request)) return ProbeAnswer(state.opener);
  auto device = Open(state.opener, *request);
  if (!device.ok()) {
    state.LogRefusal(
        absl::StrCat("refused: ", Describe(*request), ": ", Printable(device.status().message())));
    return Refusal(device.status());
  }
  state.Log(absl::StrCat("given: ", Printable(device->description)));
  Answer answer;
  answer.reply.set_description(Printable(device->description));
  answer.reply.set_borrowed(device->borrowed);
  answer.device = *std::move(device);
  return answer;
}

/// What is in the answer is closed with it, right after.
void Send(const Fd& peer, Answer answer) {
  std::vector<int> fds;
  const auto add = [&](const Fd& fd, FdRole role) {
    if (!fd.valid()) return;
    fds.push_back(fd.get());
    answer.reply.add_fd_roles(role);
  };
  add(answer.device.device, FdRole::FD_ROLE_DEVICE);
  for (const Fd& fd : answer.device.keep_alive) add(fd, FdRole::FD_ROLE_KEEP_ALIVE);
  add(answer.device.vmm_pidfd, FdRole::FD_ROLE_VMM_PIDFD);
  // A peer that is gone misses nothing that we keep.
  SendPacket(peer, answer.reply.SerializeAsString(), fds).IgnoreError();
}

void Serve(const std::shared_ptr<BrokerServer::State>& state, const Fd& peer) {
  if (!SetSocketTimeouts(peer, state->options.receive_timeout_ms).ok()) return;
  // It proves what it gives by itself, so there is nothing to hand to it.
  const auto packet = ReceiveBytes(peer, kBrokerPacketMaxBytes);
  // Who asked nothing gets no answer.
  if (absl::IsDeadlineExceeded(packet.status()) || absl::IsUnavailable(packet.status())) return;
  Send(peer, MakeAnswer(*state, packet));
}

/// With a packet unread, hanging up would take the answer back.
void Refuse(const Fd& peer) {
  if (!SetSocketTimeouts(peer, kRefusedReceiveTimeoutMs).ok()) return;
  if (!ReceiveBytes(peer, kBrokerPacketMaxBytes).ok()) return;
  Send(peer, Refusal(absl::ResourceExhaustedError(absl::StrCat(
                 "planecast-broker has ", kBrokerRequestsMax,
                 " requests under way, the most that it takes; does a device hang?"))));
}

}  // namespace

absl::StatusOr<std::unique_ptr<BrokerServer>> BrokerServer::Start(Fd listener, DeviceOpener& opener,
                                                                  BrokerOptions options) {
  Fd stop(KernelSys(), eventfd(0, EFD_CLOEXEC));
  if (!stop.valid()) return absl::ErrnoToStatus(errno, "can't make an eventfd");
  return std::make_unique<BrokerServer>(std::move(listener), std::move(stop),
                                        std::make_shared<State>(opener, std::move(options)));
}

BrokerServer::BrokerServer(Fd listener, Fd stop, std::shared_ptr<State> state)
    : listener_(std::move(listener)),
      stop_(std::move(stop)),
      state_(std::move(state)),
      thread_([this] { Run(); }) {}

BrokerServer::~BrokerServer() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof(one));
  thread_.join();
  state_->AwaitNone();
}

void BrokerServer::Run() {
  for (;;) {
    std::array<pollfd, 2> fds = {{{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    poll(fds.data(), fds.size(), -1);
    if (fds[1].revents != 0) return;
    if (fds[0].revents == 0) continue;
    Fd peer(KernelSys(), accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (peer.valid()) {
      Admit(std::move(peer));
    } else {
      poll(&fds[1], 1, kAcceptRetryMs);
    }
  }
}

void BrokerServer::Admit(Fd peer) {
  const auto credentials = PeerCredentials(peer);
  if (!credentials.ok()) return;
  const uid_t uid = credentials->uid;
  if (uid != 0 && uid != state_->options.streamer) {
    if (uid == refused_last_) return;
    refused_last_ = uid;
    return state_->Log(absl::StrCat("hung up on pid ", credentials->pid, " of uid ", uid,
                                    ": only root and uid ", state_->options.streamer, " may ask"));
  }
  if (!state_->Enter()) return Refuse(peer);
  std::thread([state = state_, peer = std::move(peer)]() mutable {
    Serve(state, peer);
    // Before it is said that this request is over.
    peer.Reset();
    state->Leave();
  }).detach();
}

}  // namespace planecast
