#include "service/core/display_watch.h"

#include <utility>

namespace planecast {
namespace {

/// No display has this id.
constexpr char kBookmarkId[] = "";

}  // namespace

DisplayWatch::DisplayWatch(const std::vector<DisplaySnapshot>& displays,
                           std::function<void()> on_close)
    : on_close_(std::move(on_close)) {
  for (const DisplaySnapshot& display : displays) {
    pending_[display.id].snapshot = display;
    order_.push_back(display.id);
  }
  order_.emplace_back(kBookmarkId);
}

void DisplayWatch::SetNotify(std::function<void()> notify) {
  Notify due;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    notify_ = std::make_shared<const std::function<void()>>(std::move(notify));
    due = DueNotifyLocked();
  }
  if (due != nullptr) (*due)();
}

std::optional<WatchEvent> DisplayWatch::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (closed_ || ended_) return std::nullopt;
  if (order_.empty()) {
    ended_ = ending_;
    if (ended_) return WatchEnd();
    notify_armed_ = true;
    return std::nullopt;
  }
  const std::string id = order_.front();
  const auto found = pending_.find(id);
  if (found == pending_.end()) {
    order_.pop_front();
    return WatchBookmark();
  }
  if (std::exchange(found->second.detached, false)) {
    known_.erase(id);
    // A new display of the same id stays in front.
    if (!found->second.snapshot.has_value()) {
      pending_.erase(found);
      order_.pop_front();
    }
    return DisplayDetached{id};
  }
  DisplaySnapshot snapshot = *std::move(found->second.snapshot);
  pending_.erase(found);
  order_.pop_front();
  known_.insert(id);
  return snapshot;
}

void DisplayWatch::Close() {
  Notify released;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return;
    closed_ = true;
    order_.clear();
    pending_.clear();
    known_.clear();
    released = std::move(notify_);
  }
  if (on_close_) on_close_();
}

bool DisplayWatch::closed() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return closed_;
}

DisplayWatch::Notify DisplayWatch::OnDisplay(const DisplaySnapshot& snapshot) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (closed_ || ending_) return nullptr;
  const auto [entry, inserted] = pending_.try_emplace(snapshot.id);
  if (inserted) order_.push_back(snapshot.id);
  entry->second.snapshot = snapshot;
  return DueNotifyLocked();
}

DisplayWatch::Notify DisplayWatch::OnDetached(const std::string& id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (closed_ || ending_) return nullptr;
  const bool known = known_.contains(id);
  const auto [entry, inserted] = pending_.try_emplace(id);
  entry->second.snapshot.reset();
  entry->second.detached = known;
  if (inserted && known) order_.push_back(id);
  if (!known) {
    // The watcher was never told of this display: nothing to take back.
    pending_.erase(entry);
    if (!inserted) std::erase(order_, id);
  }
  return DueNotifyLocked();
}

DisplayWatch::Notify DisplayWatch::OnEnd() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (closed_ || ending_) return nullptr;
  ending_ = true;
  return DueNotifyLocked();
}

DisplayWatch::Notify DisplayWatch::DueNotifyLocked() {
  if (!notify_armed_ || notify_ == nullptr) return nullptr;
  if (order_.empty() && !(ending_ && !ended_)) return nullptr;
  notify_armed_ = false;
  return notify_;
}

}  // namespace planecast
