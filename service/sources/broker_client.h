// Has planecast-broker open devices.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "vfio/device_opener.h"
#include "vfio/fd.h"

namespace planecast::broker::v1 {
class OpenReply;
class OpenRequest;
}  // namespace planecast::broker::v1

namespace planecast {

/// How long the broker may take to answer: to open a device is a handful of system calls.
inline constexpr int kBrokerAnswerTimeoutMs = 10'000;

/// A connection per request to the broker at a path. Errors are the broker's; those of the way
/// there name the broker and what to do: UNAVAILABLE if it does not run, PERMISSION_DENIED if this
/// user may not ask, DEADLINE_EXCEEDED if it does not answer in time. Thread-safe.
class BrokerClient final : public DeviceOpener {
 public:
  /// `sys`, through which the fds are used and closed, must outlive the client and what it opens.
  explicit BrokerClient(std::string path, Sys& sys = KernelSys(), BorrowPaths paths = {})
      : path_(std::move(path)), sys_(sys), paths_(std::move(paths)) {}

  absl::StatusOr<OpenedDevice> OpenGroup(int group, std::string_view device) override;
  absl::StatusOr<OpenedDevice> OpenCdev(std::string_view path) override;
  absl::StatusOr<OpenedDevice> Borrow(const VmmProcess& vmm, std::string_view device) override;
  OpenerProblems Problems() override;

 private:
  absl::StatusOr<Fd> Connect() const;
  /// The reply, of whatever code, and its fds.
  absl::StatusOr<std::vector<Fd>> Exchange(const broker::v1::OpenRequest& request,
                                           broker::v1::OpenReply& reply) const;
  absl::StatusOr<OpenedDevice> Open(const broker::v1::OpenRequest& request) const;

  const std::string path_;
  Sys& sys_;
  const BorrowPaths paths_;
};

}  // namespace planecast
