// gRPC's statuses as absl's, with a remedy where the connection or the caller's right is at fault.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "clients/cpp/address.h"
#include "clients/cpp/error_reason.h"

namespace planecast {

/// Keeps the code and the reason, see ReasonOf. A server's own message is kept as it is, but for
/// what to do where the caller's right is at fault; gRPC's messages about a connection that did not
/// come about, and those that are no more than the code, are replaced by what happened and what to
/// do about it.
absl::Status FromGrpc(const grpc::Status& status, const ServerAddress& server, bool use_tls);

}  // namespace planecast
