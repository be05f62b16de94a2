// Why a call failed, for programs: never look at a message for that.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "planecast/rpc/v1/status.pb.h"
#include "planecast/v1/errors.pb.h"

namespace planecast {

/// What the server says of an error beside its code: UNSPECIFIED if it was not the server that
/// failed, if the code says all there is, or if the reason is newer than this program. Statuses of
/// Client and StreamHandler have it.
v1::ErrorReason ReasonOf(const absl::Status& status);

/// More of an error, by reason, e.g. `display` or `permission`; empty where there is none.
std::string ReasonDetail(const absl::Status& status, const std::string& key);

/// Attaches what ReasonOf and ReasonDetail find.
void SetErrorInfo(const rpc::v1::ErrorInfo& info, absl::Status& status);

/// Reads what `grpc-status-details-bin` holds. False if there is nothing of planecast's in it.
bool ParseErrorInfo(const std::string& error_details, rpc::v1::ErrorInfo& info);

}  // namespace planecast
