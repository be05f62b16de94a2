#include "service/core/encoder_choice.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace planecast {

bool EncoderChoice::SoftwareOnly(const PlaneLayout& layout, int64_t now_ns) {
  if (!software_) return false;
  const bool another = refused_.has_value() && *refused_ != layout;
  if (another || now_ns - software_since_ns_ >= kHardwareRetryNs) {
    failures_ = 0;
    ReturnToHardware();
  }
  return software_;
}

void EncoderChoice::FallBack(const char* what, const absl::Status& error, int64_t now_ns) {
  software_ = true;
  software_since_ns_ = now_ns;
  error_ = std::string(error.message());
  reason_ = absl::StrCat(what, " (", error_, "); software encodes in its place.");
}

void EncoderChoice::ReturnToHardware() {
  software_ = false;
  refused_.reset();
  reason_.clear();
  error_.clear();
}

std::string EncoderChoice::SoftwareRefused() {
  std::string error = std::exchange(error_, {});
  // Once more is once too often, as before: only pictures make up for a failure.
  ReturnToHardware();
  return error;
}

EncoderChoice::Verdict EncoderChoice::HardwareFailed(const absl::Status& error, int64_t now_ns) {
  const bool proven = coded_since_ns_ != 0 && now_ns - coded_since_ns_ >= kHardwareProvenNs;
  coded_since_ns_ = 0;
  failures_ = proven ? 1 : failures_ + 1;
  if (failures_ <= kHardwareRebuilds) return Verdict::kRebuild;
  if (!may_fall_back_) return Verdict::kWait;
  FallBack("The GPU encoder failed", error, now_ns);
  return Verdict::kRebuild;
}

EncoderChoice::Verdict EncoderChoice::HardwareRefused(const absl::Status& error,
                                                      const PlaneLayout& layout, int64_t now_ns) {
  if (!may_fall_back_) return Verdict::kWait;
  FallBack("The GPU can't take this plane", error, now_ns);
  refused_ = layout;
  return Verdict::kRebuild;
}

void EncoderChoice::HardwareCoded(int64_t now_ns) {
  if (coded_since_ns_ == 0) coded_since_ns_ = now_ns;
}

}  // namespace planecast
