#include "service/core/display.h"

#include <poll.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr int64_t kNsPerMs = 1'000'000;
/// poll(2) takes an int; a longer wait is cut to this and simply taken up again.
constexpr int64_t kWaitMaxMs = 60'000;
/// Without an eventfd (the process ran out of fds) nobody can wake the thread: it looks itself.
constexpr int64_t kWaitWithoutSignalMs = 50;

DisplaySnapshot FirstSnapshot(const DisplayIdentity& identity) {
  DisplaySnapshot snapshot;
  snapshot.id = identity.id;
  snapshot.spec = identity.spec;
  snapshot.configured = identity.configured;
  return snapshot;
}

bool StillCounts(const std::weak_ptr<Viewer>& weak) {
  const std::shared_ptr<Viewer> viewer = weak.lock();
  return viewer != nullptr && !viewer->closed() && !viewer->ending();
}

/// Counts one up, and down again with the last copy of what it returns.
std::shared_ptr<const void> TakeSlot(const std::shared_ptr<std::atomic<size_t>>& taken) {
  ++*taken;
  return {taken.get(), [taken](const void*) { --*taken; }};
}

}  // namespace

Display::Display(DisplayIdentity identity, std::unique_ptr<PlaneSource> source,
                 DisplayOptions options, SnapshotCallback on_change)
    : identity_(std::move(identity)),
      clock_(*options.clock),
      viewers_max_(options.viewers_max),
      signal_(std::make_shared<WakeSignal>()),
      on_change_(std::move(on_change)),
      snapshot_(FirstSnapshot(identity_)) {
  loop_ =
      std::make_unique<DisplayLoop>(snapshot_, std::move(source), std::move(options), signal_,
                                    [this](const DisplaySnapshot& snapshot) { Publish(snapshot); });
  snapshot_ = loop_->snapshot();
  metrics_ = loop_->metrics();
  thread_ = std::thread([this] { Run(); });
}

Display::~Display() {
  Stop(Goodbye{Goodbye::Reason::kDetached, "The display was detached.", -1});
}

DisplaySnapshot Display::Snapshot() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return snapshot_;
}

void Display::Refresh(SnapshotCallback done) {
  DisplaySnapshot snapshot;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool fresh = snapshot_.state.state != DisplayState::kAttaching &&
                       clock_.NowNs() - last_look_ns_ < kStateFreshNs;
    const bool gone = snapshot_.state.state == DisplayState::kDeviceGone;
    const bool room = inbox_.refreshes.size() < kWaitersMax;
    if (!fresh && !gone && !stopping_ && room) {
      inbox_.refreshes.push_back(std::move(done));
      signal_->Wake();
      return;
    }
    snapshot = snapshot_;
  }
  done(snapshot);
}

absl::StatusOr<std::shared_ptr<Viewer>> Display::AddViewer(std::string viewer_id,
                                                           const ViewerOptions& options) {
  absl::Status valid = ValidateViewerLimits(options.limits);
  if (!valid.ok()) return valid;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_ || !accepting_) {
    return absl::UnavailableError(absl::StrCat("display ", id(), " takes no new viewers now"));
  }
  std::erase_if(viewers_, [](const std::weak_ptr<Viewer>& weak) { return !StillCounts(weak); });
  const int room = viewers_max_ + (options.by_operator_socket ? kViewersReserved : 0);
  if (viewers_.size() >= static_cast<size_t>(room)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("display ", id(), " has its limit of ", room,
                     " viewers: end one, or raise viewers_per_display_max in the config"));
  }
  auto viewer = std::make_shared<Viewer>(std::move(viewer_id), options, signal_, metrics_, clock_);
  viewers_.push_back(viewer);
  inbox_.viewers.push_back(viewer);
  signal_->Wake();
  return viewer;
}

absl::Status Display::RequestErrorLocked(size_t pending) const {
  if (stopping_)
    return absl::UnavailableError(absl::StrCat("display ", id(), " is being detached"));
  if (pending < kRequestsPendingMax) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("display ", id(), " has too many requests waiting: try again later"));
}

void Display::GetPicture(bool exclude_cursor, int64_t deadline_ns, PictureCallback done) {
  absl::Status error;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    error = RequestErrorLocked(*pictures_pending_);
    if (error.ok()) {
      auto counted = [slot = TakeSlot(pictures_pending_),
                      done = std::move(done)](absl::StatusOr<Picture> picture) mutable {
        std::shared_ptr<const void> taken = std::move(slot);
        if (picture.ok()) picture->slot = std::move(taken);
        taken.reset();
        done(std::move(picture));
      };
      inbox_.pictures.push_back({exclude_cursor, deadline_ns, std::move(counted)});
      signal_->Wake();
      return;
    }
  }
  done(std::move(error));
}

void Display::SetMode(uint32_t width_px, uint32_t height_px, StatusCallback done) {
  absl::Status error;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    error = RequestErrorLocked(inbox_.modes.size());
    if (error.ok()) {
      inbox_.modes.push_back({width_px, height_px, std::move(done)});
      signal_->Wake();
      return;
    }
  }
  done(std::move(error));
}

void Display::SetStateWatched(bool watched) {
  const std::lock_guard<std::mutex> lock(mutex_);
  inbox_.state_watched = watched;
  signal_->Wake();
}

void Display::Drain(const Goodbye& goodbye) {
  const std::lock_guard<std::mutex> lock(mutex_);
  accepting_ = false;
  inbox_.goodbye = goodbye;
  signal_->Wake();
}

absl::Status Display::BeginStop(const Goodbye& goodbye, std::function<void()> ended) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!stopping_) stop_goodbye_ = goodbye;
    stopping_ = true;
    if (!ended_) {
      if (end_waiters_.size() >= kWaitersMax) {
        return absl::ResourceExhaustedError(
            absl::StrCat("too many calls wait for display ", id(), " to end: try again later"));
      }
      end_waiters_.push_back(std::move(ended));
      signal_->Wake();
      return absl::OkStatus();
    }
  }
  ended();
  return absl::OkStatus();
}

void Display::Stop(const Goodbye& goodbye) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!stopping_) stop_goodbye_ = goodbye;
    stopping_ = true;
  }
  signal_->Wake();
  const std::lock_guard<std::mutex> joining(join_mutex_);
  if (thread_.joinable()) thread_.join();
}

void Display::Run() {
  while (true) {
    signal_->Clear();
    if (!TakeInbox()) break;
    const int64_t wake_ns = loop_->Step(clock_.NowNs());
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      last_look_ns_ = loop_->last_look_ns();
    }
    WaitForWork(wake_ns);
  }
  loop_->Close(stop_goodbye_);
  TellEnded();
}

void Display::TellEnded() {
  std::vector<std::function<void()>> waiters;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ended_ = true;
    waiters.swap(end_waiters_);
  }
  for (const auto& ended : waiters) ended();
}

bool Display::TakeInbox() {
  Inbox taken;
  bool stopping = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    taken = std::exchange(inbox_, {});
    inbox_.state_watched = taken.state_watched;
    stopping = stopping_;
  }
  for (std::shared_ptr<Viewer>& viewer : taken.viewers) loop_->AddViewer(std::move(viewer));
  for (SnapshotCallback& refresh : taken.refreshes) loop_->AddRefresh(std::move(refresh));
  for (PictureRequest& picture : taken.pictures) loop_->AddPicture(std::move(picture));
  for (ModeRequest& mode : taken.modes) loop_->AddMode(std::move(mode));
  loop_->SetStateWatched(taken.state_watched);
  if (taken.goodbye.has_value()) loop_->EndViewers(*taken.goodbye);
  return !stopping;
}

void Display::WaitForWork(int64_t wake_ns) {
  std::vector<pollfd> fds;
  for (const int fd : loop_->wait_fds()) fds.push_back({fd, POLLIN, 0});
  fds.push_back({signal_->fd(), POLLIN, 0});
  timespec timeout = {};
  const int64_t wait_ns =
      wake_ns == kNever ? kWaitMaxMs * kNsPerMs
                        : std::clamp<int64_t>(wake_ns - clock_.NowNs(), 0, kWaitMaxMs * kNsPerMs);
  const int64_t bounded_ns =
      signal_->valid() ? wait_ns : std::min(wait_ns, kWaitWithoutSignalMs * kNsPerMs);
  timeout.tv_sec = bounded_ns / (1000 * kNsPerMs);
  timeout.tv_nsec = bounded_ns % (1000 * kNsPerMs);
  // Whatever ended the wait, an error included, the next step finds out what there is to do.
  ppoll(fds.data(), fds.size(), &timeout, nullptr);
}

void Display::Publish(const DisplaySnapshot& snapshot) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    snapshot_ = snapshot;
  }
  if (on_change_) on_change_(snapshot);
}

}  // namespace planecast
