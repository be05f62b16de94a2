#include "service/rpc/status.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "planecast/rpc/v1/status.pb.h"
#include "service/core/reason.h"

namespace planecast {
namespace {

constexpr char kErrorInfoType[] = "type.googleapis.com/google.rpc.ErrorInfo";
constexpr char kDomain[] = "planecast";

/// Empty where the code says all there is.
std::string UsualReason(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return "FIELD_INVALID";
    case absl::StatusCode::kNotFound:
      return "DEVICE_NOT_FOUND";
    case absl::StatusCode::kPermissionDenied:
      return "DEVICE_FORBIDDEN";
    case absl::StatusCode::kFailedPrecondition:
      return "DEVICE_UNSUITABLE";
    case absl::StatusCode::kResourceExhausted:
      return "LIMIT_REACHED";
    case absl::StatusCode::kUnimplemented:
      return "NOT_BUILT";
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
      return "TRY_AGAIN";
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDataLoss:
      return "SERVER_FAULT";
    default:
      return "";
  }
}

}  // namespace

absl::Status NotBuilt(std::string_view what) {
  return WithReason(
      absl::UnimplementedError(absl::StrCat(std::string(what), " is declared, and not built yet")),
      "NOT_BUILT");
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const std::string message(status.message());
  std::string reason = ReasonOf(status);
  if (reason.empty()) reason = UsualReason(status.code());
  const auto code = static_cast<grpc::StatusCode>(status.raw_code());
  if (reason.empty()) return {code, message};
  rpc::v1::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain(kDomain);
  rpc::v1::Status details;
  details.set_code(status.raw_code());
  details.set_message(message);
  google::protobuf::Any& any = *details.add_details();
  any.set_type_url(kErrorInfoType);
  any.set_value(info.SerializeAsString());
  return {code, message, details.SerializeAsString()};
}

}  // namespace planecast
