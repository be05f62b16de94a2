#include "service/sources/broker_client.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "planecast/broker/v1/broker.pb.h"
#include "service/sockets/fd_packet.h"
#include "vfio/fd_kind.h"

namespace planecast {
namespace {

using broker::v1::FdRole;
using broker::v1::OpenReply;
using broker::v1::OpenRequest;

constexpr size_t kPacketMaxBytes = 4096;
constexpr char kStartIt[] =
    "start it ('systemctl start planecast-broker.socket'), or have root start planecastd, which "
    "then "
    "brings a broker of its own";

absl::Status CantConnect(int error, const std::string& path) {
  if (error == EACCES || error == EPERM) {
    return absl::PermissionDeniedError(
        absl::StrCat("this user may not ask planecast-broker (", path,
                     "): its --user must name the user that planecastd runs as"));
  }
  if (error == EAGAIN || error == EINPROGRESS) {
    return absl::UnavailableError(
        absl::StrCat("planecast-broker (", path, ") is too busy to be asked; try again"));
  }
  return absl::UnavailableError(absl::StrCat("planecast-broker is not running (", path, ": ",
                                             absl::ErrnoToStatus(error, "").message(), "); ",
                                             kStartIt));
}

/// Hung up on, or left waiting.
absl::Status NoAnswer(const absl::Status& status, const std::string& path) {
  if (absl::IsUnavailable(status)) {
    return absl::PermissionDeniedError(absl::StrCat(
        "planecast-broker (", path,
        ") hung up without an answer: it answers root and the user of its --user, which "
        "must be the one that planecastd runs as"));
  }
  if (absl::IsDeadlineExceeded(status)) {
    return absl::DeadlineExceededError(
        absl::StrCat("planecast-broker (", path, ") did not answer within ",
                     kBrokerAnswerTimeoutMs / 1000, " s; does the device's driver hang?"));
  }
  return status;
}

absl::Status Nonsense(const char* what) {
  return absl::InternalError(
      absl::StrCat("planecast-broker answered nonsense (", what, "); is it of this release?"));
}

/// What the fds are, by the reply's word.
absl::StatusOr<OpenedDevice> Sort(const OpenReply& reply, std::vector<Fd> fds) {
  if (static_cast<size_t>(reply.fd_roles_size()) != fds.size())
    return Nonsense("fds without a role");
  OpenedDevice opened;
  opened.description = reply.description();
  opened.borrowed = reply.borrowed();
  for (size_t i = 0; i < fds.size(); ++i) {
    switch (reply.fd_roles(static_cast<int>(i))) {
      case FdRole::FD_ROLE_DEVICE:
        opened.device = std::move(fds[i]);
        break;
      case FdRole::FD_ROLE_VMM_PIDFD:
        opened.vmm_pidfd = std::move(fds[i]);
        break;
      case FdRole::FD_ROLE_KEEP_ALIVE:
        opened.keep_alive.push_back(std::move(fds[i]));
        break;
      default:
        return Nonsense("an fd of another role");
    }
  }
  return opened;
}

/// By what they are.
absl::Status CheckKinds(Sys& sys, const OpenedDevice& opened, const std::string& sys_root) {
  if (!opened.device.valid()) return Nonsense("no device");
  const int device = opened.device.get();
  if (!IsGroupDeviceFile(sys, device) &&
      !CharDeviceName(sys, device, kCdevClass, sys_root).has_value()) {
    return Nonsense("a device that is none of VFIO");
  }
  if (opened.borrowed != opened.vmm_pidfd.valid()) return Nonsense("a VMM without its pidfd");
  if (opened.borrowed && !IsPidfd(sys, opened.vmm_pidfd.get()))
    return Nonsense("a pidfd that is none");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Fd> BrokerClient::Connect() const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path_, " is too long for a unix socket"));
  }
  std::copy(path_.begin(), path_.end(), address.sun_path);
  Fd peer(KernelSys(), socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!peer.valid()) return absl::ErrnoToStatus(errno, "can't make a socket");
  if (auto status = SetSocketTimeouts(peer, kBrokerAnswerTimeoutMs); !status.ok()) return status;
  if (connect(peer.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return CantConnect(errno, path_);
  }
  return peer;
}

absl::StatusOr<std::vector<Fd>> BrokerClient::Exchange(const OpenRequest& request,
                                                       OpenReply& reply) const {
  const auto peer = Connect();
  if (!peer.ok()) return peer.status();
  const absl::Status sent = SendPacket(*peer, request.SerializeAsString(), {});
  // A broker that hung up may have said why before.
  if (!sent.ok() && !absl::IsUnavailable(sent)) return NoAnswer(sent, path_);
  auto packet = ReceivePacket(*peer, kPacketMaxBytes, sys_);
  if (!packet.ok()) return NoAnswer(packet.status(), path_);
  if (!reply.ParseFromString(packet->bytes)) return Nonsense("no reply");
  return std::move(packet->fds);
}

absl::StatusOr<OpenedDevice> BrokerClient::Open(const OpenRequest& request) const {
  OpenReply reply;
  auto fds = Exchange(request, reply);
  if (!fds.ok()) return fds.status();
  if (reply.code() != 0) {
    return absl::Status(static_cast<absl::StatusCode>(reply.code()), reply.message());
  }
  auto opened = Sort(reply, *std::move(fds));
  if (!opened.ok()) return opened.status();
  if (auto status = CheckKinds(sys_, *opened, paths_.sys_root); !status.ok()) return status;
  return opened;
}

absl::StatusOr<OpenedDevice> BrokerClient::OpenGroup(int group, std::string_view device) {
  OpenRequest request;
  request.mutable_group_device()->set_group(group);
  request.mutable_group_device()->set_device(std::string(device));
  return Open(request);
}

absl::StatusOr<OpenedDevice> BrokerClient::OpenCdev(std::string_view path) {
  const auto number = CdevNumber(path);
  if (!number.ok()) return number.status();
  OpenRequest request;
  request.mutable_cdev_device()->set_number(*number);
  return Open(request);
}

absl::StatusOr<OpenedDevice> BrokerClient::Borrow(const VmmProcess& vmm, std::string_view device) {
  OpenRequest request;
  request.mutable_vmm_device()->set_pid(vmm.pid);
  request.mutable_vmm_device()->set_start_time_ticks(vmm.start_time_ticks);
  request.mutable_vmm_device()->set_device(std::string(device));
  return Open(request);
}

OpenerProblems BrokerClient::Problems() {
  OpenRequest request;
  request.mutable_probe();
  OpenReply reply;
  const auto fds = Exchange(request, reply);
  absl::Status status = fds.status();
  if (status.ok() && reply.code() != 0) {
    status = absl::Status(static_cast<absl::StatusCode>(reply.code()), reply.message());
  }
  if (!status.ok()) {
    const std::string problem(status.message());
    return {problem, problem, problem};
  }
  const broker::v1::ProbeResult& result = reply.probe_result();
  return {result.group_problem(), result.cdev_problem(), result.vmm_problem()};
}

}  // namespace planecast
