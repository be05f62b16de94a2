// What the broker is asked: bytes of a peer that is not trusted become numbers and names.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"
#include "vfio/open_device.h"

namespace planecast {

/// Longest packet, either way.
inline constexpr size_t kBrokerPacketMaxBytes = 4096;

struct GroupRequest {
  int group = 0;
  std::string device;
};

struct CdevRequest {
  int number = 0;
};

struct BorrowRequest {
  VmmProcess vmm;
  /// May be empty.
  std::string device;
};

struct ProbeRequest {};

using BrokerRequest = std::variant<GroupRequest, CdevRequest, BorrowRequest, ProbeRequest>;

/// Reads a planecast.broker.v1.OpenRequest. What it gives is in range: no number is negative, ids
/// and times are set, and a name is one in sysfs, never a path.
///
/// INVALID_ARGUMENT says what is wrong.
absl::StatusOr<BrokerRequest> ParseBrokerRequest(std::string_view bytes);

}  // namespace planecast
