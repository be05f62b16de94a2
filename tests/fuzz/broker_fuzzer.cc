// What a streamer sends to planecast-broker: any bytes give a request in range or an error that
// says what is wrong.
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>

#include "service/broker/request.h"

namespace {

using namespace planecast;  // NOLINT(google-build-using-namespace): nobody includes a fuzzer.

// A name of sysfs, and no way out of it.
void CheckName(const std::string& name) {
  if (name.empty() || name.size() > kDeviceNameMaxChars || name[0] == '.') abort();
  if (name.find('/') != std::string::npos || name.find('\0') != std::string::npos) abort();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto request =
      ParseBrokerRequest(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!request.ok()) {
    if (!absl::IsInvalidArgument(request.status()) || request.status().message().empty()) abort();
    return 0;
  }
  if (size > kBrokerPacketMaxBytes) abort();
  if (const auto* group = std::get_if<GroupRequest>(&*request)) {
    if (group->group < 0) abort();
    CheckName(group->device);
  } else if (const auto* cdev = std::get_if<CdevRequest>(&*request)) {
    if (cdev->number < 0) abort();
  } else if (const auto* borrow = std::get_if<BorrowRequest>(&*request)) {
    if (borrow->vmm.pid <= 0 || borrow->vmm.start_time_ticks <= 0) abort();
    if (!borrow->device.empty()) CheckName(borrow->device);
  }
  return 0;
}
