#include "service/rpc/viewer_meter.h"

#include "absl/strings/str_cat.h"

namespace planecast {

absl::Status ViewerMeter::Note(int acknowledgements, int64_t now_ns) {
  if (!acknowledgements_.Take(acknowledgements, now_ns)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the viewer acknowledges more than ", kAcknowledgementsPerSecondMax,
                     " units a second: acknowledge each unit once"));
  }
  if (messages_.Take(1, now_ns)) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "the viewer sends more than ", kMessagesPerSecondMax, " messages a second: send fewer"));
}

}  // namespace planecast
