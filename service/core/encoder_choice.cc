#include "service/core/encoder_choice.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace planecast {

bool EncoderChoice::SoftwareOnly(const PlaneLayout& layout, int64_t now_ns) {
  if (!software_) return false;
  const bool another = refused_.has_value() && *refused_ != layout;
  if (another || now_ns - software_since_ns_ >= kHardwareRetryNs) {
    software_ = false;
    failures_ = 0;
    refused_.reset();
    reason_.clear();
    refusal_.clear();
  }
  return software_;
}

void EncoderChoice::FallBack(std::string reason, int64_t now_ns) {
  software_ = true;
  software_since_ns_ = now_ns;
  reason_ = std::move(reason);
}

EncoderChoice::Verdict EncoderChoice::HardwareFailed(const absl::Status& error, int64_t now_ns) {
  const bool proven = coded_since_ns_ != 0 && now_ns - coded_since_ns_ >= kHardwareProvenNs;
  coded_since_ns_ = 0;
  failures_ = proven ? 1 : failures_ + 1;
  if (failures_ <= kHardwareRebuilds) return Verdict::kRebuild;
  if (!may_fall_back_) return Verdict::kWait;
  FallBack(absl::StrCat("The GPU encoder failed (", error.message(),
                        "); software encodes in its place."),
           now_ns);
  return Verdict::kRebuild;
}

EncoderChoice::Verdict EncoderChoice::HardwareRefused(const absl::Status& error,
                                                      const PlaneLayout& layout, int64_t now_ns) {
  if (!may_fall_back_) return Verdict::kWait;
  FallBack(absl::StrCat("The GPU can't take this plane (", error.message(),
                        "); software encodes in its place."),
           now_ns);
  refused_ = layout;
  refusal_ = std::string(error.message());
  return Verdict::kRebuild;
}

void EncoderChoice::HardwareCoded(int64_t now_ns) {
  if (coded_since_ns_ == 0) coded_since_ns_ = now_ns;
}

}  // namespace planecast
