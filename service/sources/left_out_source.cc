#include "service/sources/left_out_source.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "service/core/reason.h"

namespace planecast {
namespace {

class LeftOutSource final : public PlaneSource {
 public:
  explicit LeftOutSource(absl::Status problem) : problem_(std::move(problem)) {}

  const PlaneSourceInfo& info() const override { return info_; }
  std::vector<int> wait_fds() const override { return {}; }
  Events HandleEvents(int64_t /*now_ns*/) override { return {}; }
  int64_t NextLookNs() const override { return INT64_MAX; }
  int64_t NextTimedWorkNs() const override { return INT64_MAX; }
  PlaneLook Look(int64_t /*now_ns*/) override {
    PlaneLook look;
    look.primary = PlaneLook::Primary::kFailed;
    look.problem = problem_;
    return look;
  }
  Cursor LookAtCursor(int64_t /*now_ns*/) override { return {}; }
  void ReportContent(bool /*changed*/, int64_t /*now_ns*/) override {}
  void SetWatched(bool /*watched*/, int64_t /*now_ns*/) override {}
  absl::Status SetMode(uint32_t /*width_px*/, uint32_t /*height_px*/, int64_t /*now_ns*/) override {
    return absl::FailedPreconditionError(problem_.message());
  }

 private:
  const absl::Status problem_;
  const PlaneSourceInfo info_;
};

}  // namespace

std::unique_ptr<PlaneSource> MakeLeftOutSource(absl::Status problem) {
  return std::make_unique<LeftOutSource>(std::move(problem));
}

absl::Status VmmInConfig() {
  return WithRemedy(
      absl::UnavailableError("the config names a VMM by its pid, which is another process's "
                             "tomorrow, and so another VM's screen: it was left out"),
      "Take the display out of the config and attach it once the VM runs ('planecast attach "
      "NAME --vmm-pid PID'), or name the device by its group or cdev.");
}

}  // namespace planecast
