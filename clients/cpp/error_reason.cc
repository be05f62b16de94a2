#include "clients/cpp/error_reason.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

// The name is Google's, so that programs with Google's libraries read it too.
constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";
constexpr char kDomain[] = "planecast";

bool FindErrorInfo(const absl::Status& status, rpc::v1::ErrorInfo& info) {
  const auto payload = status.GetPayload(kErrorInfoUrl);
  return payload.has_value() && info.ParseFromString(std::string(*payload));
}

}  // namespace

v1::ErrorReason ReasonOf(const absl::Status& status) {
  rpc::v1::ErrorInfo info;
  v1::ErrorReason reason = v1::ERROR_REASON_UNSPECIFIED;
  if (!FindErrorInfo(status, info)) return reason;
  v1::ErrorReason_Parse(absl::StrCat("ERROR_REASON_", info.reason()), &reason);
  return reason;
}

std::string ReasonDetail(const absl::Status& status, const std::string& key) {
  rpc::v1::ErrorInfo info;
  if (!FindErrorInfo(status, info)) return "";
  const auto found = info.metadata().find(key);
  return found == info.metadata().end() ? "" : found->second;
}

void SetErrorInfo(const rpc::v1::ErrorInfo& info, absl::Status& status) {
  status.SetPayload(kErrorInfoUrl, absl::Cord(info.SerializeAsString()));
}

bool ParseErrorInfo(const std::string& error_details, rpc::v1::ErrorInfo& info) {
  rpc::v1::Status status;
  if (!status.ParseFromString(error_details)) return false;
  for (const google::protobuf::Any& detail : status.details()) {
    if (detail.type_url() != kErrorInfoUrl) continue;
    if (info.ParseFromString(detail.value()) && info.domain() == kDomain) return true;
  }
  return false;
}

}  // namespace planecast
