// When to leave the GPU for the CPU.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "vfio/frame.h"

namespace planecast {

/// Pictures that a GPU coded for so long without an error make up for the error before.
inline constexpr int64_t kHardwareProvenNs = 10'000'000'000;
/// Failures of the GPU that are answered by building its encoder anew; the next one by software.
inline constexpr int kHardwareRebuilds = 1;
/// So long after it failed, the GPU is tried again when an encoder is made the next time. A stream
/// that runs is not disturbed for that.
inline constexpr int64_t kHardwareRetryNs = 60'000'000'000;

/// Decides for one rendition whether encoders on a GPU may be used. Pure; thread-compatible.
class EncoderChoice {
 public:
  /// `may_fall_back`: an encoder on the CPU may take over.
  explicit EncoderChoice(bool may_fall_back) : may_fall_back_(may_fall_back) {}

  /// Whether an encoder that is made now for this plane has to be one on the CPU.
  bool SoftwareOnly(const PlaneLayout& layout, int64_t now_ns);

  enum class Verdict {
    /// Wait and try again as before: nothing changes.
    kWait,
    /// Make a new encoder at once; SoftwareOnly tells which.
    kRebuild,
  };
  /// The GPU's encoder failed.
  Verdict HardwareFailed(const absl::Status& error, int64_t now_ns);
  /// The GPU's encoder can't take this plane.
  Verdict HardwareRefused(const absl::Status& error, const PlaneLayout& layout, int64_t now_ns);
  /// Software, in the GPU's place, can't take this plane either: the next encoder is one on the GPU
  /// again. Returns why the GPU was left; empty if it was not.
  std::string SoftwareRefused();
  /// The GPU coded a picture.
  void HardwareCoded(int64_t now_ns);

  /// One sentence while software encodes in the GPU's place, else empty.
  const std::string& reason() const { return reason_; }

 private:
  void FallBack(const char* what, const absl::Status& error, int64_t now_ns);
  void ReturnToHardware();

  const bool may_fall_back_;
  bool software_ = false;
  int64_t software_since_ns_ = 0;
  std::string reason_;
  /// The GPU's own words.
  std::string error_;
  /// The plane that the GPU refused.
  std::optional<PlaneLayout> refused_;
  int failures_ = 0;
  int64_t coded_since_ns_ = 0;
};

}  // namespace planecast
