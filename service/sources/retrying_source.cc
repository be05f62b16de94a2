#include "service/sources/retrying_source.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace planecast {

RetryingSource::RetryingSource(Open open, Clock& clock) : open_(std::move(open)) {
  TryOpen(clock.NowNs());
}

void RetryingSource::TryOpen(int64_t now_ns) {
  auto source = open_();
  if (source.ok()) {
    source_ = *std::move(source);
    problem_ = absl::OkStatus();
    if (watched_) source_->SetWatched(true, now_ns);
    return;
  }
  // Whatever the code, for a display this is a device that does not answer.
  problem_ = absl::UnavailableError(absl::StrCat(
      "The device can't be opened and is tried again and again: ", source.status().message()));
  next_try_ns_ = now_ns + backoff_ns_;
  backoff_ns_ = std::min(backoff_ns_ * 2, kOpenRetryMaxNs);
}

const PlaneSourceInfo& RetryingSource::info() const {
  return source_ != nullptr ? source_->info() : no_info_;
}

std::vector<int> RetryingSource::wait_fds() const {
  return source_ != nullptr ? source_->wait_fds() : std::vector<int>();
}

PlaneSource::Events RetryingSource::HandleEvents(int64_t now_ns) {
  if (source_ != nullptr) return source_->HandleEvents(now_ns);
  if (now_ns < next_try_ns_) return {};
  TryOpen(now_ns);
  if (source_ == nullptr) return {};
  // "Gone" makes the display look even while nobody watches, and the look finds what is new.
  return {.flipped = true, .gone = true};
}

int64_t RetryingSource::NextLookNs() const {
  return source_ != nullptr ? source_->NextLookNs() : next_try_ns_;
}

int64_t RetryingSource::NextTimedWorkNs() const {
  return source_ != nullptr ? source_->NextTimedWorkNs() : next_try_ns_;
}

PlaneLook RetryingSource::Look(int64_t now_ns) {
  if (source_ != nullptr) return source_->Look(now_ns);
  PlaneLook look;
  look.primary = PlaneLook::Primary::kFailed;
  look.problem = problem_;
  return look;
}

Cursor RetryingSource::LookAtCursor(int64_t now_ns) {
  return source_ != nullptr ? source_->LookAtCursor(now_ns) : Cursor();
}

void RetryingSource::ReportContent(bool changed, int64_t now_ns) {
  if (source_ != nullptr) source_->ReportContent(changed, now_ns);
}

void RetryingSource::SetWatched(bool watched, int64_t now_ns) {
  watched_ = watched;
  if (source_ != nullptr) source_->SetWatched(watched, now_ns);
}

absl::Status RetryingSource::SetMode(uint32_t width_px, uint32_t height_px, int64_t now_ns) {
  if (source_ != nullptr) return source_->SetMode(width_px, height_px, now_ns);
  return absl::FailedPreconditionError(std::string(problem_.message()));
}

}  // namespace planecast
