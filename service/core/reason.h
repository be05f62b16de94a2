// Why something failed, for programs, and what to do.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/cord.h"

namespace planecast {

/// Says why a status is what it is: a name of planecast.v1.ErrorReason without `ERROR_REASON_`,
/// which a test checks. The core knows no proto, so it travels as text. A status without one gets
/// what its code means most often (service/rpc/status.h).
inline constexpr std::string_view kReasonPayload = "planecast/reason";

inline absl::Status WithReason(absl::Status status, std::string_view reason) {
  status.SetPayload({kReasonPayload.data(), kReasonPayload.size()},
                    absl::Cord(absl::string_view(reason.data(), reason.size())));
  return status;
}

/// Empty without one.
inline std::string ReasonOf(const absl::Status& status) {
  const auto payload = status.GetPayload({kReasonPayload.data(), kReasonPayload.size()});
  return payload.has_value() ? std::string(*payload) : std::string();
}

/// Says what to do about a status, for a display's state, where its code does not say it.
inline constexpr std::string_view kRemedyPayload = "planecast/remedy";

inline absl::Status WithRemedy(absl::Status status, std::string_view remedy) {
  status.SetPayload({kRemedyPayload.data(), kRemedyPayload.size()},
                    absl::Cord(absl::string_view(remedy.data(), remedy.size())));
  return status;
}

/// Empty without one.
inline std::string RemedyOf(const absl::Status& status) {
  const auto payload = status.GetPayload({kRemedyPayload.data(), kRemedyPayload.size()});
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace planecast
