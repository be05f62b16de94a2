#include "service/core/registry.h"

#include <algorithm>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/core/display_name.h"
#include "service/core/reason.h"
#include "service/core/viewer_id.h"

namespace planecast {
namespace {

/// Page tokens begin with this, so that a token of another method is told apart.
constexpr std::string_view kPageTokenPrefix = "displays-after:";
/// Viewers by id are cleared of dead ones not before there are so many.
constexpr size_t kViewersPruneMin = 64;

std::string Text(std::string_view text) {
  return std::string(text);
}

absl::Status NotFound(std::string_view id) {
  return WithReason(absl::NotFoundError(absl::StrCat("no display ", Text(id), " is attached")),
                    "DISPLAY_NOT_FOUND");
}

absl::Status Draining() {
  return WithReason(absl::UnavailableError("the server is shutting down"), "DRAINING");
}

absl::Status Attaching(std::string_view id) {
  return WithReason(absl::UnavailableError(
                        absl::StrCat("display ", Text(id), " is still being attached: try again")),
                    "DISPLAY_ATTACHING");
}

Goodbye DetachedGoodbye() {
  return {Goodbye::Reason::kDetached, "The display was detached.", -1};
}

bool SameRequest(const AttachRequest& a, const AttachRequest& b) {
  return a.display_id == b.display_id && a.spec == b.spec && a.labels == b.labels;
}

/// What the registry knows of a display beside what the display tells of itself.
void CopyTags(const DisplaySnapshot& from, DisplaySnapshot& to) {
  to.uid = from.uid;
  to.labels = from.labels;
  to.revision = from.revision;
}

template <typename Notifies>
void CallAll(const Notifies& notifies) {
  for (const auto& notify : notifies) {
    if (notify != nullptr && *notify) (*notify)();
  }
}

}  // namespace

Registry::Registry(RegistryOptions options)
    : options_(std::move(options)), lifeline_(std::make_shared<Lifeline>()) {
  lifeline_->registry = this;
}

Registry::~Registry() {
  {
    const std::lock_guard<std::mutex> lock(lifeline_->mutex);
    lifeline_->registry = nullptr;
  }
  Drain(Goodbye{Goodbye::Reason::kDraining, "The server is shutting down.", -1});
  std::vector<std::shared_ptr<Display>> displays;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [id, entry] : entries_) displays.push_back(entry.display);
  }
  // The last changes that the displays tell still find this registry whole.
  for (const std::shared_ptr<Display>& display : displays) {
    if (display != nullptr) display->Stop(drain_goodbye_);
  }
}

absl::StatusOr<DisplaySnapshot> Registry::Attach(const AttachRequest& request) {
  absl::Status valid = ValidateDisplayId(request.display_id);
  valid.Update(ValidateRequestId(request.request_id));
  valid.Update(ValidateLabels(request.labels));
  if (!valid.ok()) return valid;
  absl::StatusOr<std::string> uid = MakeViewerId();
  if (!uid.ok()) return uid.status();
  uint64_t generation = 0;
  Notifies notifies;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    std::optional<absl::StatusOr<DisplaySnapshot>> answer = AnswerTwin(lock, request);
    if (answer.has_value()) return *std::move(answer);
    absl::Status room = CheckRoomLocked(request);
    if (!room.ok()) return room;
    generation = next_generation_++;
    if (!request.request_id.empty()) {
      requests_[request.request_id] =
          std::make_shared<Remembered>(Remembered{request, generation, false, absl::OkStatus()});
    }
    Entry& entry = entries_[request.display_id];
    entry.generation = generation;
    entry.snapshot.id = request.display_id;
    entry.snapshot.spec = request.spec;
    entry.snapshot.configured = request.configured;
    entry.snapshot.uid = *std::move(uid);
    entry.snapshot.labels = request.labels;
    entry.snapshot.attach_time_ns = options_.display.clock->NowNs();
    entry.snapshot.state.since_ns = entry.snapshot.attach_time_ns;
    entry.snapshot.state.reason = "The device is being opened and probed.";
    for (const auto& watch : watches_) notifies.push_back(watch->OnDisplay(entry.snapshot));
  }
  CallAll(notifies);
  absl::StatusOr<DisplaySnapshot> attached = AttachNew(request, generation);
  if (!attached.ok()) RemoveEntry(request.display_id, generation);
  FinishRequest(request, attached.status());
  return attached;
}

std::optional<absl::StatusOr<DisplaySnapshot>> Registry::AnswerTwin(
    std::unique_lock<std::mutex>& lock, const AttachRequest& request) {
  const auto found = requests_.find(request.request_id);
  if (request.request_id.empty() || found == requests_.end()) return std::nullopt;
  const std::shared_ptr<Remembered> twin = found->second;
  if (!SameRequest(twin->request, request)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "request_id ", request.request_id, " was used for another request: choose a new one"));
  }
  request_done_.wait(lock, [&twin] { return twin->done; });
  if (!twin->status.ok()) return twin->status;
  const auto entry = entries_.find(request.display_id);
  if (entry != entries_.end() && entry->second.generation == twin->generation) {
    return entry->second.snapshot;
  }
  return WithReason(absl::AlreadyExistsError(absl::StrCat(
                        "request ", request.request_id, " attached display ", request.display_id,
                        " before and it was detached since: choose a new request_id")),
                    "REQUEST_ID_USED");
}

absl::Status Registry::CheckRoomLocked(const AttachRequest& request) const {
  if (draining_) return Draining();
  if (entries_.contains(request.display_id)) {
    return WithReason(absl::AlreadyExistsError(absl::StrCat(
                          "display ", request.display_id,
                          " is attached already: detach it first, or choose another id")),
                      "DISPLAY_EXISTS");
  }
  if (entries_.size() < static_cast<size_t>(options_.displays_max)) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the limit of ", options_.displays_max,
                   " displays is reached: detach one, or raise displays_max in the config"));
}

absl::StatusOr<DisplaySnapshot> Registry::AttachNew(const AttachRequest& request,
                                                    uint64_t generation) {
  absl::StatusOr<std::unique_ptr<PlaneSource>> source = options_.open_source(request.spec);
  if (!source.ok()) return source.status();
  auto display = std::make_shared<Display>(
      DisplayIdentity{request.display_id, request.spec, request.configured}, *std::move(source),
      options_.display,
      [this, generation](const DisplaySnapshot& snapshot) { OnChange(generation, snapshot); });
  const absl::Status installed = Install(request, generation, display);
  if (!installed.ok()) {
    display->Stop(drain_goodbye_);
    return installed;
  }
  auto first_look = std::make_shared<std::promise<DisplaySnapshot>>();
  std::future<DisplaySnapshot> looked = first_look->get_future();
  display->Refresh([first_look](const DisplaySnapshot& fresh) { first_look->set_value(fresh); });
  DisplaySnapshot snapshot = looked.get();
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto entry = entries_.find(request.display_id);
  if (entry != entries_.end()) CopyTags(entry->second.snapshot, snapshot);
  return snapshot;
}

absl::Status Registry::Install(const AttachRequest& request, uint64_t generation,
                               const std::shared_ptr<Display>& display) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (draining_) return Draining();
  Entry& entry = entries_.find(request.display_id)->second;
  if (entry.generation != generation) return absl::InternalError("attach lost its entry");
  entry.display = display;
  display->SetStateWatched(!watches_.empty());
  return absl::OkStatus();
}

void Registry::FinishRequest(const AttachRequest& request, const absl::Status& status) {
  if (request.request_id.empty()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = requests_.find(request.request_id);
    found->second->status = status;
    found->second->done = true;
    if (!status.ok()) {
      // A retry of what failed tries again.
      requests_.erase(found);
    } else {
      finished_requests_.push_back(request.request_id);
    }
    if (finished_requests_.size() > kRequestIdsRememberedMax) {
      requests_.erase(finished_requests_.front());
      finished_requests_.pop_front();
    }
  }
  request_done_.notify_all();
}

absl::Status Registry::Detach(std::string_view id) {
  uint64_t generation = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto entry = entries_.find(id);
    if (entry == entries_.end()) return NotFound(id);
    if (entry->second.display == nullptr) return Attaching(id);
    generation = entry->second.generation;
  }
  FinishDetach(id, generation);
  return absl::OkStatus();
}

absl::Status Registry::BeginDetach(std::string_view id,
                                   std::function<void(uint64_t generation)> ended) {
  std::shared_ptr<Display> display;
  uint64_t generation = 0;
  Notifies notifies;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = entries_.find(id);
    if (found == entries_.end()) return NotFound(id);
    Entry& entry = found->second;
    if (entry.display == nullptr) return Attaching(id);
    display = entry.display;
    generation = entry.generation;
    if (!entry.detaching.has_value()) {
      entry.detaching = StateReport();
      entry.detaching->state = DisplayState::kDetaching;
      entry.detaching->reason = "The display is being detached: its device is being closed.";
      entry.detaching->since_ns = options_.display.clock->NowNs();
      entry.snapshot.state = *entry.detaching;
      for (const auto& watch : watches_) notifies.push_back(watch->OnDisplay(entry.snapshot));
    }
  }
  CallAll(notifies);
  return display->BeginStop(DetachedGoodbye(),
                            [ended = std::move(ended), generation] { ended(generation); });
}

bool Registry::FinishDetach(std::string_view id, uint64_t generation) {
  std::shared_ptr<Display> display;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto entry = entries_.find(id);
    if (entry == entries_.end() || entry->second.generation != generation) return false;
    display = entry->second.display;
  }
  if (display != nullptr) display->Stop(DetachedGoodbye());
  return RemoveEntry(id, generation);
}

absl::StatusOr<DisplayPage> Registry::List(int page_size, std::string_view page_token,
                                           const DisplayFilter& visible) const {
  if (page_size < 0) {
    return absl::InvalidArgumentError("page_size is negative: use 0 for the default");
  }
  const size_t size =
      page_size == 0 ? kPageSizeDefault : static_cast<size_t>(std::min(page_size, kPageSizeMax));
  std::string after;
  if (!page_token.empty()) {
    after = Text(page_token.substr(std::min(kPageTokenPrefix.size(), page_token.size())));
    if (page_token.substr(0, kPageTokenPrefix.size()) != kPageTokenPrefix ||
        !ValidateDisplayId(after).ok()) {
      return absl::InvalidArgumentError("page_token is not one that a list of displays gave");
    }
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  DisplayPage page;
  auto entry = page_token.empty() ? entries_.begin() : entries_.upper_bound(after);
  for (; entry != entries_.end(); ++entry) {
    if (visible != nullptr && !visible(entry->first)) continue;
    if (page.displays.size() == size) {
      page.next_page_token = Text(kPageTokenPrefix).append(page.displays.back().id);
      break;
    }
    page.displays.push_back(entry->second.snapshot);
  }
  return page;
}

std::optional<DisplaySnapshot> Registry::Last(std::string_view id) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return std::nullopt;
  return entry->second.snapshot;
}

absl::StatusOr<DisplaySnapshot> Registry::SetLabels(std::string_view id,
                                                    std::map<std::string, std::string> labels,
                                                    std::optional<EtagParts> expected) {
  if (auto status = ValidateLabels(labels); !status.ok()) return status;
  Notifies notifies;
  DisplaySnapshot changed;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto entry = entries_.find(id);
    if (entry == entries_.end()) return NotFound(id);
    DisplaySnapshot& snapshot = entry->second.snapshot;
    if (expected.has_value() &&
        (expected->uid != snapshot.uid || expected->revision != snapshot.revision)) {
      return WithReason(
          absl::AbortedError(absl::StrCat("display ", Text(id),
                                          " has changed since its etag was read: get it again")),
          "ETAG_MISMATCH");
    }
    if (snapshot.labels != labels) {
      snapshot.labels = std::move(labels);
      ++snapshot.revision;
      for (const auto& watch : watches_) notifies.push_back(watch->OnDisplay(snapshot));
    }
    changed = snapshot;
  }
  CallAll(notifies);
  return changed;
}

std::vector<DisplayReading> Registry::ReadDisplays() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<DisplayReading> readings;
  readings.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) {
    readings.push_back({entry.snapshot, nullptr});
    if (entry.display != nullptr) readings.back().metrics = entry.display->metrics();
  }
  return readings;
}

void Registry::Get(std::string_view id, std::function<void(absl::StatusOr<DisplaySnapshot>)> done) {
  std::shared_ptr<Display> display;
  absl::StatusOr<DisplaySnapshot> answer = NotFound(id);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto entry = entries_.find(id);
    if (entry != entries_.end()) {
      // One that ends has nothing new to tell, and its thread may hang.
      if (!entry->second.detaching.has_value()) display = entry->second.display;
      answer = entry->second.snapshot;
    }
  }
  if (display == nullptr) {
    done(std::move(answer));
    return;
  }
  display->Refresh([done = std::move(done), tags = *std::move(answer)](DisplaySnapshot fresh) {
    CopyTags(tags, fresh);
    done(std::move(fresh));
  });
}

void Registry::GetPicture(std::string_view id, bool exclude_cursor, int64_t deadline_ns,
                          Display::PictureCallback done) {
  const absl::StatusOr<std::shared_ptr<Display>> display = FindDisplay(id);
  if (!display.ok()) {
    done(display.status());
    return;
  }
  (*display)->GetPicture(exclude_cursor, deadline_ns, std::move(done));
}

void Registry::SetMode(std::string_view id, uint32_t width_px, uint32_t height_px,
                       Display::StatusCallback done) {
  const absl::StatusOr<std::shared_ptr<Display>> display = FindDisplay(id);
  if (!display.ok()) {
    done(display.status());
    return;
  }
  (*display)->SetMode(width_px, height_px, std::move(done));
}

absl::StatusOr<std::shared_ptr<DisplayWatch>> Registry::Watch() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (draining_) return Draining();
  if (watches_.size() >= kDisplayWatchesMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the limit of ", kDisplayWatchesMax, " watches is reached: end one"));
  }
  std::vector<DisplaySnapshot> displays;
  displays.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) displays.push_back(entry.snapshot);
  auto watch = std::make_shared<DisplayWatch>(displays, [lifeline = lifeline_] {
    const std::lock_guard<std::mutex> alive(lifeline->mutex);
    if (lifeline->registry != nullptr) lifeline->registry->OnWatchClosed();
  });
  watches_.push_back(watch);
  for (const auto& [id, entry] : entries_) {
    if (entry.display != nullptr) entry.display->SetStateWatched(true);
  }
  return watch;
}

void Registry::OnWatchClosed() {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::erase_if(watches_, [](const auto& watch) { return watch->closed(); });
  if (!watches_.empty()) return;
  for (const auto& [id, entry] : entries_) {
    if (entry.display != nullptr) entry.display->SetStateWatched(false);
  }
}

absl::StatusOr<JoinedViewer> Registry::AddViewer(std::string_view id,
                                                 const ViewerOptions& options) {
  std::string uid;
  absl::StatusOr<std::shared_ptr<Display>> display = FindDisplay(id, &uid);
  if (!display.ok()) return display.status();
  absl::StatusOr<std::string> viewer_id = options.resumed_id;
  ViewerOptions resumed = options;
  if (options.resumed_id.empty()) {
    viewer_id = MakeViewerId();
  } else if (!IsViewerId(options.resumed_id)) {
    return absl::InvalidArgumentError(
        "resumed_viewer_id is no viewer's: use the viewer_id of the last StreamStarted, or none");
  } else if (const std::shared_ptr<Viewer> before = FindViewer(options.resumed_id)) {
    // The server may not have noticed that its connection is gone. Makes room for the new one.
    resumed.link = before->link();
    before->OfferGoodbye(
        MakeEvent(Goodbye{Goodbye::Reason::kResumed, "The viewer goes on with another stream.", -1},
                  options_.display.codec));
  }
  if (!viewer_id.ok()) return viewer_id.status();
  absl::StatusOr<std::shared_ptr<Viewer>> viewer = (*display)->AddViewer(*viewer_id, resumed);
  if (!viewer.ok()) return viewer.status();
  const std::lock_guard<std::mutex> lock(mutex_);
  if (viewers_.size() >= std::max(viewers_prune_size_, kViewersPruneMin)) {
    std::erase_if(viewers_, [](const auto& item) { return item.second.expired(); });
    viewers_prune_size_ = viewers_.size() * 2;
  }
  viewers_[*viewer_id] = *viewer;
  return JoinedViewer{*std::move(viewer), std::move(uid), *std::move(display)};
}

std::shared_ptr<Viewer> Registry::FindViewer(std::string_view viewer_id) const {
  std::shared_ptr<Viewer> viewer;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = viewers_.find(viewer_id);
    if (found != viewers_.end()) viewer = found->second.lock();
  }
  return viewer != nullptr && !viewer->closed() ? viewer : nullptr;
}

void Registry::Drain(const Goodbye& goodbye) {
  Notifies notifies;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (draining_) return;
    draining_ = true;
    drain_goodbye_ = goodbye;
    for (const auto& watch : watches_) notifies.push_back(watch->OnEnd());
    for (const auto& [id, entry] : entries_) {
      if (entry.display != nullptr) entry.display->Drain(goodbye);
    }
  }
  CallAll(notifies);
}

void Registry::OnChange(uint64_t generation, DisplaySnapshot snapshot) {
  Notifies notifies;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto entry = entries_.find(snapshot.id);
    if (entry == entries_.end() || entry->second.generation != generation) return;
    CopyTags(entry->second.snapshot, snapshot);
    if (entry->second.detaching.has_value()) snapshot.state = *entry->second.detaching;
    entry->second.snapshot = snapshot;
    for (const auto& watch : watches_) notifies.push_back(watch->OnDisplay(snapshot));
  }
  CallAll(notifies);
  if (options_.on_display != nullptr) options_.on_display(snapshot);
}

bool Registry::RemoveEntry(std::string_view id, uint64_t generation) {
  std::string uid;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto entry = entries_.find(id);
    if (entry == entries_.end() || entry->second.generation != generation) return false;
    uid = entry->second.snapshot.uid;
  }
  const auto tell = [&] {
    if (options_.on_removed != nullptr) options_.on_removed(Text(id), uid);
  };
  tell();
  Notifies notifies;
  std::shared_ptr<Display> removed;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto entry = entries_.find(id);
    if (entry == entries_.end() || entry->second.generation != generation) return false;
    removed = std::move(entry->second.display);
    entries_.erase(entry);
    for (const auto& watch : watches_) notifies.push_back(watch->OnDetached(Text(id)));
  }
  tell();
  CallAll(notifies);
  return true;
}

absl::StatusOr<std::shared_ptr<Display>> Registry::FindDisplay(std::string_view id,
                                                               std::string* uid) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return NotFound(id);
  if (draining_) return Draining();
  if (uid != nullptr) *uid = entry->second.snapshot.uid;
  if (entry->second.display != nullptr) return entry->second.display;
  return Attaching(id);
}

}  // namespace planecast
