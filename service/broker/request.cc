#include "service/broker/request.h"

#include "absl/status/status.h"
#include "planecast/broker/v1/broker.pb.h"

namespace planecast {
namespace {

absl::StatusOr<BrokerRequest> ToGroup(const broker::v1::GroupDevice& device) {
  if (device.group() < 0) return absl::InvalidArgumentError("the group is negative");
  if (!IsDeviceName(device.device())) {
    return absl::InvalidArgumentError("the device is not named by its UUID or PCI address");
  }
  return GroupRequest{device.group(), device.device()};
}

absl::StatusOr<BrokerRequest> ToCdev(const broker::v1::CdevDevice& device) {
  if (device.number() < 0) return absl::InvalidArgumentError("the cdev's number is negative");
  return CdevRequest{device.number()};
}

absl::StatusOr<BrokerRequest> ToBorrow(const broker::v1::VmmDevice& device) {
  if (device.pid() <= 0) return absl::InvalidArgumentError("the pid is no process's");
  if (device.start_time_ticks() <= 0) {
    return absl::InvalidArgumentError("the process's start time is missing");
  }
  if (!device.device().empty() && !IsDeviceName(device.device())) {
    return absl::InvalidArgumentError("the device is not named by its UUID or PCI address");
  }
  return BorrowRequest{{device.pid(), device.start_time_ticks()}, device.device()};
}

}  // namespace

absl::StatusOr<BrokerRequest> ParseBrokerRequest(std::string_view bytes) {
  broker::v1::OpenRequest request;
  if (bytes.size() > kBrokerPacketMaxBytes ||
      !request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("the packet is no request");
  }
  switch (request.what_case()) {
    case broker::v1::OpenRequest::kGroupDevice:
      return ToGroup(request.group_device());
    case broker::v1::OpenRequest::kCdevDevice:
      return ToCdev(request.cdev_device());
    case broker::v1::OpenRequest::kVmmDevice:
      return ToBorrow(request.vmm_device());
    case broker::v1::OpenRequest::kProbe:
      return ProbeRequest{};
    case broker::v1::OpenRequest::WHAT_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "the request asks for nothing that this broker knows; is it of the daemon's release?");
}

}  // namespace planecast
