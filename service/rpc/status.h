// From our Status to gRPC's.
#pragma once

#include <grpcpp/support/status.h>

#include <string_view>

#include "absl/status/status.h"

namespace planecast {

/// The numeric codes of both are the same by design; the version of gRPC in use has no conversion.
/// The status's reason (core/reason.h), or what its code means most often, goes into the details as
/// errors.proto says.
grpc::Status ToGrpc(const absl::Status& status);

/// UNIMPLEMENTED for a method that is declared for later; `what` it would do.
absl::Status NotBuilt(std::string_view what);

static_assert(static_cast<int>(grpc::StatusCode::INVALID_ARGUMENT) ==
              static_cast<int>(absl::StatusCode::kInvalidArgument));
static_assert(static_cast<int>(grpc::StatusCode::UNAUTHENTICATED) ==
              static_cast<int>(absl::StatusCode::kUnauthenticated));

}  // namespace planecast
