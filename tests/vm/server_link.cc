#include "tests/vm/server_link.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "tests/h264/stream_check.h"

namespace planecast::vmtest {
namespace {

constexpr std::chrono::seconds kWaitMax{kWaitMaxS};

std::string NameOf(const std::string& id) {
  return "displays/" + id;
}

}  // namespace

DisplayWatch::DisplayWatch(const std::shared_ptr<grpc::Channel>& channel)
    : stub_(v1::DisplayService::NewStub(channel)), reader_([this] { Read(); }) {}

DisplayWatch::~DisplayWatch() {
  context_.TryCancel();
  reader_.join();
}

void DisplayWatch::Read() {
  const auto reader = stub_->WatchDisplays(&context_, v1::WatchDisplaysRequest());
  v1::WatchDisplaysResponse event;
  while (reader->Read(&event)) {
    const std::lock_guard lock(mutex_);
    if (event.has_display()) displays_[event.display().name()] = event.display();
    if (event.has_detached()) displays_.erase(event.detached().name());
    if (event.has_bookmark()) bookmark_ = true;
    changed_.notify_all();
  }
}

bool DisplayWatch::WaitForBookmark() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kWaitMax, [&] { return bookmark_; });
}

std::optional<v1::Display> DisplayWatch::WaitForState(const std::string& id,
                                                      v1::Display::State state) {
  std::unique_lock lock(mutex_);
  const bool reached = changed_.wait_for(lock, kWaitMax, [&] {
    const auto found = displays_.find(NameOf(id));
    return found != displays_.end() && found->second.state() == state;
  });
  if (!reached) return std::nullopt;
  return displays_[NameOf(id)];
}

std::string DisplayWatch::Describe(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = displays_.find(NameOf(id));
  if (found == displays_.end()) return "it is not attached";
  return absl::StrCat(v1::Display::State_Name(found->second.state()), " (",
                      found->second.state_reason(), ")");
}

Viewer::Viewer(const std::shared_ptr<grpc::Channel>& channel, const std::string& id)
    : stub_(v1::ViewerService::NewStub(channel)), stream_(stub_->StreamDisplay(&context_)) {
  v1::StreamDisplayRequest request;
  request.mutable_start()->set_name(NameOf(id));
  request.mutable_start()->set_acknowledges(true);
  stream_->Write(request);
  reader_ = std::thread([this] { Read(); });
}

Viewer::~Viewer() {
  context_.TryCancel();
  reader_.join();
}

void Viewer::Read() {
  v1::StreamDisplayResponse response;
  while (stream_->Read(&response)) {
    const v1::StreamEvent& event = response.event();
    if (event.has_access_unit()) {
      Take(event.access_unit());
      v1::StreamDisplayRequest request;
      request.mutable_acknowledgements()->add_acknowledgements()->set_sequence(
          event.access_unit().sequence());
      stream_->Write(request);
    }
    const std::lock_guard lock(mutex_);
    if (event.has_started()) {
      started_.push_back(event.started());
      runs_.emplace_back();
    }
    if (event.has_goodbye()) goodbye_ = event.goodbye();
    changed_.notify_all();
  }
  const grpc::Status status = stream_->Finish();
  const std::lock_guard lock(mutex_);
  if (!status.ok() && status.error_code() != grpc::StatusCode::CANCELLED && offence_.ok()) {
    offence_ = absl::UnavailableError(absl::StrCat("the stream broke: ", status.error_message()));
  }
  ended_ = true;
  changed_.notify_all();
}

void Viewer::Take(const v1::AccessUnit& unit) {
  auto picture = decoder_.Decode(unit.data());
  const std::lock_guard lock(mutex_);
  const bool gap = !last_sequence_.has_value() || unit.sequence() != *last_sequence_ + 1;
  if (offence_.ok() && gap && !unit.key_frame()) {
    offence_ =
        absl::DataLossError(absl::StrCat("unit ", unit.sequence(), " should be a key frame"));
  }
  if (offence_.ok() && !picture.ok()) offence_ = picture.status();
  last_sequence_ = unit.sequence();
  ++units_;
  if (runs_.empty()) runs_.emplace_back();
  runs_.back().emplace_back(unit.data().begin(), unit.data().end());
  if (picture.ok()) last_ = *std::move(picture);
}

absl::Status Viewer::WaitForPattern(uint16_t code, const Pattern& pattern) {
  std::unique_lock lock(mutex_);
  absl::Status difference = absl::DeadlineExceededError("no picture came");
  uint64_t compared = 0;
  const auto equal = [&] {
    if (!last_.has_value() || compared == units_) return false;
    compared = units_;
    const auto seen = last_->Code();
    if (seen == code) {
      difference = Compare(*last_, pattern);
      return difference.ok();
    }
    difference = absl::DataLossError(
        absl::StrCat("the last picture has code ", seen.has_value() ? *seen : -1, ", not ", code));
    return false;
  };
  const bool done = changed_.wait_for(lock, kWaitMax, [&] { return equal() || ended_; });
  if (done && ended_ && !difference.ok() && !offence_.ok()) return offence_;
  return difference;
}

bool Viewer::WaitForSize(uint32_t width_px, uint32_t height_px) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kWaitMax, [&] {
    return !started_.empty() &&
           started_.back().visible_width_px() == static_cast<int32_t>(width_px) &&
           started_.back().visible_height_px() == static_cast<int32_t>(height_px);
  });
}

std::optional<v1::Goodbye> Viewer::WaitForGoodbye() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kWaitMax, [&] { return goodbye_.has_value() || ended_; });
  return goodbye_;
}

absl::Status Viewer::Offence() {
  const std::lock_guard lock(mutex_);
  return offence_;
}

absl::Status Viewer::Judgement() {
  const std::lock_guard lock(mutex_);
  for (const auto& run : runs_) {
    if (run.empty()) continue;
    if (auto checked = testing::CheckStream(run); !checked.ok()) return checked.status();
  }
  return absl::OkStatus();
}

uint64_t Viewer::units() {
  const std::lock_guard lock(mutex_);
  return units_;
}

}  // namespace planecast::vmtest
