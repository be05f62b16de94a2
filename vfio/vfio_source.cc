#include "vfio/vfio_source.h"

#include <errno.h>
#include <poll.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vfio/cursor_tracker.h"
#include "vfio/dmabuf_cache.h"
#include "vfio/edid.h"
#include "vfio/flip_events.h"
#include "vfio/gfx_device.h"
#include "vfio/line_sampler.h"
#include "vfio/pacer.h"
#include "vfio/region_planes.h"

namespace planecast {
namespace {

constexpr int64_t kNeverNs = std::numeric_limits<int64_t>::max();
// Errors that a mode change explains pass within some hundred ms.
constexpr int64_t kTransientMaxNs = 2'000'000'000;
// Between looks after an error that should pass: first, and at most.
constexpr int64_t kRetryMinNs = 4'000'000;
constexpr int64_t kRetryMaxNs = 64'000'000;
// Between looks at a plane that can't be used, and at one that is not there.
constexpr int64_t kFailedRetryNs = 250'000'000;
constexpr int64_t kEmptyRetryNs = 100'000'000;
// Between looks at a guest that flips, in case that it also paints in place.
constexpr int64_t kFlippingLookNs = 100'000'000;
// The same with events: first, and at most while nothing changes. The checks between them see every
// line within as long.
constexpr int64_t kSafetyLookNs = 250'000'000;
constexpr int64_t kSafetyLookMaxNs = 8'000'000'000;
// Between two cheap checks that no event was lost, and that nothing was painted without one.
constexpr int64_t kCheckNs = 250'000'000;
// After a guest painted in place, safety looks stay frequent for so long: no event tells of it.
constexpr int64_t kMayPaintAgainNs = 2'000'000'000;
// How long a guest counts as one that paints in place.
constexpr int64_t kPaintsInPlaceNs = 1'000'000'000;
// How long events without a flip are believed after one that was found to be right.
constexpr int64_t kPaintsNowNs = 100'000'000;
// A guest may flip between query and get, but not for ever.
constexpr int kGetAttemptsMax = 3;

// Asking for ids costs 3 us.
constexpr Pacer::Options kProbePacing = {};
// Looking at pixels costs about 1 ms.
constexpr Pacer::Options kLookPacing = {.window_step_ns = 3'000'000,
                                        .active_ns = 8'300'000,
                                        .idle_max_ns = 100'000'000,
                                        .coarse_ns = 16'600'000};

bool IsReadable(int fd) {
  pollfd entry = {.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&entry, 1, 0) == 1;
}

// What a query said, to compare with what it says next.
struct Answer {
  int result = 0;
  PlaneInfo info;
  friend bool operator==(const Answer&, const Answer&) = default;
};

class VfioPlaneSource : public PlaneSource {
 public:
  VfioPlaneSource(OpenedDevice opened, const VfioSourceOptions& options)
      : opened_(std::move(opened)),
        device_(opened_.device.sys(), opened_.device.get(), options.dialect),
        cache_(device_, opened_.fds),
        regions_(device_),
        cursor_(cache_),
        probe_pacer_(kProbePacing),
        look_pacer_(kLookPacing) {
    info_.description = opened_.description;
  }
  ~VfioPlaneSource() override;

  absl::Status Init(FlipEventChoice choice);

  const PlaneSourceInfo& info() const override { return info_; }
  std::vector<int> wait_fds() const override;
  Events HandleEvents(int64_t now_ns) override;
  int64_t NextLookNs() const override;
  int64_t NextTimedWorkNs() const override;
  PlaneLook Look(int64_t now_ns) override;
  Cursor LookAtCursor(int64_t now_ns) override;
  void ReportContent(bool changed, int64_t now_ns) override;
  void SetWatched(bool watched, int64_t now_ns) override;
  absl::Status SetMode(uint32_t width_px, uint32_t height_px, int64_t now_ns) override;

 private:
  PlaneLook Gone() const;
  bool is_dmabuf() const { return info_.plane_kind == PlaneKind::kDmabuf; }
  bool is_probing() const {
    const bool has_all_events = events_ != nullptr && events_->covers_cursor();
    return is_watched_ && is_dmabuf() && !has_all_events && !is_gone_;
  }

  bool is_checking() const {
    return is_watched_ && events_ != nullptr && shows_frame_ && shown_ != nullptr && !is_gone_;
  }

  void InitEdid();
  void InitFlipEvents(FlipEventChoice choice);
  void Degrade(absl::Status reason);
  void NoteProblems();
  Answer Query(uint32_t plane_type);
  /// What HandleEvents was told a moment ago, in the same step; else as Query.
  Answer QueryOnce(uint32_t plane_type, std::optional<Answer>& asked);
  /// Each tells whether the plane's answer is another one than before.
  bool AskForFlip(int64_t now_ns);
  bool AskForCursor();
  void Probe(int64_t now_ns, Events& events);
  bool Check(int64_t now_ns);
  void NoteFlips(const FlippedPlanes& planes, int64_t now_ns, Events& events);
  void LookAtPrimary(int64_t now_ns, PlaneLook& look);
  void UpdateCursor(int64_t now_ns);
  absl::StatusOr<std::shared_ptr<const PlaneBuffer>> Fetch(Answer& answer);
  void Fail(absl::Status problem, PlaneLook& look) const;
  void Transient(absl::Status problem, int64_t now_ns, PlaneLook& look);
  void Show(std::shared_ptr<const PlaneBuffer> buffer, int64_t now_ns, PlaneLook& look);
  void NoteAnswer(const Answer& answer, int64_t now_ns);
  void NoteSafetyLook(bool found, int64_t now_ns);
  void SetNextLook(PlaneLook::Primary primary, int64_t now_ns);

  // First, so that it is closed last.
  OpenedDevice opened_;
  GfxDevice device_;
  DmabufCache cache_;
  RegionPlanes regions_;
  CursorTracker cursor_;
  std::optional<EdidWriter> edid_;
  std::unique_ptr<FlipEvents> events_;
  PlaneSourceInfo info_;
  /// What works less well than it could, for as long as it does.
  absl::Status flip_problem_;
  absl::Status edid_problem_;

  bool is_watched_ = false;
  bool is_gone_ = false;
  /// The kernel took the device away: even its description can't be had.
  bool is_removed_ = false;
  bool had_framebuffer_ = false;
  Answer primary_;
  Answer cursor_answer_;
  /// Answers that HandleEvents had and that the look after it need not ask for again.
  std::optional<Answer> asked_primary_;
  std::optional<Answer> asked_cursor_;
  std::shared_ptr<const PlaneBuffer> shown_;
  /// When a flip was learned of that no look has shown yet; 0 if there is none.
  int64_t flip_pending_ns_ = 0;

  int64_t transient_since_ns_ = 0;
  int64_t retry_ns_ = kRetryMinNs;

  Pacer probe_pacer_;
  Pacer look_pacer_;
  /// Earliest time of the next look that no flip asks for.
  int64_t look_not_before_ns_ = 0;
  /// From one look that no event asks for to the next.
  int64_t safety_look_ns_ = kSafetyLookNs;
  /// Next check that needs no look.
  int64_t check_ns_ = 0;
  LineSampler sampler_;
  /// The last look shows a buffer that was shown before: did its pixels change since?
  bool awaits_report_ = false;
  int64_t look_last_ns_ = 0;
  /// The last look had a frame.
  bool shows_frame_ = false;
  int64_t painted_in_place_ns_ = std::numeric_limits<int64_t>::min() / 2;
};

// A guest whose mode was under way is not left without a display.
VfioPlaneSource::~VfioPlaneSource() {
  const bool is_vmm_gone = opened_.vmm_pidfd.valid() && IsReadable(opened_.vmm_pidfd.get());
  if (is_gone_ || is_vmm_gone || !edid_.has_value()) return;
  if (edid_->NextTimedWorkNs() != kNeverNs) edid_->DoTimedWork(kNeverNs).IgnoreError();
}

absl::Status VfioPlaneSource::Init(FlipEventChoice choice) {
  const auto kind = device_.Probe();
  if (!kind.ok()) return kind.status();
  info_.plane_kind = *kind;
  if (!is_dmabuf()) opened_.fds.ReleaseBuffers();
  cache_.SetIdle(true);
  InitEdid();
  InitFlipEvents(choice);
  return absl::OkStatus();
}

void VfioPlaneSource::InitEdid() {
  auto edid = EdidWriter::Find(device_, opened_.borrowed);
  if (!edid.ok()) return;
  edid_.emplace(*std::move(edid));
  info_.mode_settable = edid_->MayWrite().ok();
}

void VfioPlaneSource::InitFlipEvents(FlipEventChoice choice) {
  if (choice == FlipEventChoice::kNone) return;
  auto events = choice == FlipEventChoice::kAuto ? FlipEvents::ArmIrqs(device_)
                                                 : FlipEvents::ArmEventfdIoctl(device_);
  if (!events.ok()) {
    const bool is_expected = choice == FlipEventChoice::kAuto && absl::IsNotFound(events.status());
    if (!is_expected) Degrade(events.status());
    return;
  }
  events_ = *std::move(events);
  info_.flip_regime = events_->regime();
  if (absl::Status masked = events_->SetEnabled(false); !masked.ok()) Degrade(masked);
}

void VfioPlaneSource::Degrade(absl::Status reason) {
  events_.reset();
  info_.flip_regime = FlipRegime::kPolling;
  flip_problem_ = std::move(reason);
  NoteProblems();
}

// All that holds now, and nothing else.
void VfioPlaneSource::NoteProblems() {
  info_.degraded_reason.clear();
  const auto note = [this](absl::string_view what, const absl::Status& problem) {
    if (problem.ok()) return;
    const absl::string_view separator = info_.degraded_reason.empty() ? "" : "; ";
    absl::StrAppend(&info_.degraded_reason, separator, what, problem.message());
  };
  note("no flip events, polling instead: ", flip_problem_);
  note("the guest was not offered the mode: ", edid_problem_);
  note("the cursor's image, which only the CPU reads, is not known: ", cursor_.problem());
  note("fewer of the guest's framebuffers are kept open: ", cache_.problem());
}

std::vector<int> VfioPlaneSource::wait_fds() const {
  std::vector<int> fds;
  if (events_ != nullptr) fds = events_->fds();
  if (opened_.vmm_pidfd.valid()) fds.push_back(opened_.vmm_pidfd.get());
  return fds;
}

PlaneSource::Events VfioPlaneSource::HandleEvents(int64_t now_ns) {
  Events events;
  asked_primary_.reset();
  asked_cursor_.reset();
  if (opened_.vmm_pidfd.valid() && IsReadable(opened_.vmm_pidfd.get())) is_gone_ = true;
  events.gone = is_gone_;
  if (is_gone_) return events;
  if (cache_.Trim()) NoteProblems();
  if (events_ != nullptr) {
    const FlippedPlanes planes = events_->Drain();
    if (is_watched_) NoteFlips(planes, now_ns, events);
  }
  if (edid_.has_value() && now_ns >= edid_->NextTimedWorkNs()) {
    edid_problem_ = edid_->DoTimedWork(now_ns);
    NoteProblems();
  }
  if (is_probing() && now_ns >= probe_pacer_.NextNs()) Probe(now_ns, events);
  if (is_checking() && now_ns >= check_ns_ && Check(now_ns)) events.flipped = true;
  return events;
}

// An event that was lost shows in the id, what is painted in place in some lines at least.
bool VfioPlaneSource::Check(int64_t now_ns) {
  check_ns_ = now_ns + kCheckNs;
  const bool has_flipped = AskForFlip(now_ns);
  return has_flipped || sampler_.HasChanged(*shown_);
}

Answer VfioPlaneSource::Query(uint32_t plane_type) {
  Answer answer;
  answer.result = device_.Query(info_.plane_kind, plane_type, &answer.info);
  // mbochs answers so once for each new mode.
  if (answer.result == -ENOMEM) {
    answer.result = device_.Query(info_.plane_kind, plane_type, &answer.info);
  }
  // The draft v15 answers so while the device starts; a device that was removed answers so to
  // everything.
  if (answer.result == -ENODEV) {
    answer = {};
    is_removed_ = absl::IsNotFound(device_.GetDeviceInfo().status());
  }
  return answer;
}

void VfioPlaneSource::NoteAnswer(const Answer& answer, int64_t now_ns) {
  if (answer == primary_) return;
  primary_ = answer;
  // An event, if there was one, is nearer to the flip than this.
  if (flip_pending_ns_ == 0) flip_pending_ns_ = now_ns;
}

Answer VfioPlaneSource::QueryOnce(uint32_t plane_type, std::optional<Answer>& asked) {
  const std::optional<Answer> answer = std::exchange(asked, std::nullopt);
  return answer.has_value() ? *answer : Query(plane_type);
}

bool VfioPlaneSource::AskForFlip(int64_t now_ns) {
  const Answer before = primary_;
  asked_primary_ = Query(abi::kPlaneTypePrimary);
  NoteAnswer(*asked_primary_, now_ns);
  if (primary_ == before) return false;
  flip_pending_ns_ = now_ns;
  return true;
}

bool VfioPlaneSource::AskForCursor() {
  const Answer before = cursor_answer_;
  asked_cursor_ = Query(abi::kPlaneTypeCursor);
  cursor_answer_ = *asked_cursor_;
  return !(cursor_answer_ == before);
}

// Asks only for ids, which costs next to nothing, and only for those that no event tells of.
void VfioPlaneSource::Probe(int64_t now_ns, Events& events) {
  const bool has_cursor_changed = AskForCursor();
  const bool has_flipped = events_ == nullptr && AskForFlip(now_ns);
  probe_pacer_.OnSample(events_ == nullptr ? has_flipped : has_cursor_changed, now_ns);
  events.flipped = events.flipped || has_flipped;
  events.cursor_changed = events.cursor_changed || has_cursor_changed;
}

// Drafts signal each vertical blank, always (v3) or once the guest seems not to flip (v5, v6). An
// event without another id says no more than that the guest may have painted in place.
void VfioPlaneSource::NoteFlips(const FlippedPlanes& planes, int64_t now_ns, Events& events) {
  // One that tells of both at once may mean either.
  events.cursor_changed = planes.cursor && (!planes.primary || (is_dmabuf() && AskForCursor()));
  if (!planes.primary) return;
  const bool paints_now = now_ns - painted_in_place_ns_ <= kPaintsNowNs &&
                          now_ns - look_last_ns_ >= kLookPacing.window_step_ns;
  const bool may_be_painted = shows_frame_ && (paints_now || now_ns >= look_pacer_.NextNs());
  events.flipped = AskForFlip(now_ns) || may_be_painted;
}

int64_t VfioPlaneSource::NextLookNs() const {
  if (is_gone_) return 0;
  if (!is_watched_) return kNeverNs;
  return std::max(look_pacer_.NextNs(), look_not_before_ns_);
}

int64_t VfioPlaneSource::NextTimedWorkNs() const {
  if (is_gone_) return kNeverNs;
  const int64_t edid_ns = edid_.has_value() ? edid_->NextTimedWorkNs() : kNeverNs;
  const int64_t check_ns = is_checking() ? check_ns_ : kNeverNs;
  const int64_t probe_ns = is_probing() ? probe_pacer_.NextNs() : kNeverNs;
  return std::min({edid_ns, check_ns, probe_ns});
}

PlaneLook VfioPlaneSource::Gone() const {
  PlaneLook look;
  look.primary = PlaneLook::Primary::kGone;
  look.problem = absl::UnavailableError(
      is_removed_ ? "the device was removed from the host; attach again once it is back"
                  : "the VMM that owned the device has exited; attach again once it runs");
  return look;
}

PlaneLook VfioPlaneSource::Look(int64_t now_ns) {
  PlaneLook look;
  if (is_gone_) return Gone();
  if (awaits_report_) look_pacer_.OnSample(false, look_last_ns_);
  awaits_report_ = false;
  LookAtPrimary(now_ns, look);
  is_gone_ = is_gone_ || is_removed_;
  if (is_gone_) return Gone();
  if (look.primary != PlaneLook::Primary::kFrame) flip_pending_ns_ = 0;
  if (is_dmabuf()) UpdateCursor(now_ns);
  look.cursor = cursor_.cursor();
  look_last_ns_ = now_ns;
  shows_frame_ = look.primary == PlaneLook::Primary::kFrame;
  SetNextLook(look.primary, now_ns);
  return look;
}

Cursor VfioPlaneSource::LookAtCursor(int64_t now_ns) {
  if (is_dmabuf() && !is_gone_) UpdateCursor(now_ns);
  return cursor_.cursor();
}

void VfioPlaneSource::LookAtPrimary(int64_t now_ns, PlaneLook& look) {
  Answer answer = QueryOnce(abi::kPlaneTypePrimary, asked_primary_);
  const bool has_changed = !(answer == primary_);
  if (is_probing() && events_ == nullptr && (has_changed || now_ns >= probe_pacer_.NextNs())) {
    probe_pacer_.OnSample(has_changed, now_ns);
  }
  NoteAnswer(answer, now_ns);
  if (answer.result < 0) {
    const absl::Status problem = absl::UnavailableError(
        absl::StrCat("VFIO_DEVICE_QUERY_GFX_PLANE: ", std::strerror(-answer.result),
                     "; normal for a moment while the guest changes its mode"));
    return Transient(problem, now_ns, look);
  }
  if (answer.info.is_empty()) {
    transient_since_ns_ = 0;
    shown_ = nullptr;
    look.primary =
        had_framebuffer_ ? PlaneLook::Primary::kBlanked : PlaneLook::Primary::kNoFramebuffer;
    return;
  }
  had_framebuffer_ = true;
  auto buffer = Fetch(answer);
  NoteAnswer(answer, now_ns);
  if (buffer.ok()) {
    transient_since_ns_ = 0;
    return Show(*std::move(buffer), now_ns, look);
  }
  switch (buffer.status().code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kResourceExhausted:
      transient_since_ns_ = 0;
      return Fail(buffer.status(), look);
    default:
      return Transient(absl::FailedPreconditionError(buffer.status().message()), now_ns, look);
  }
}

// The guest may flip between query and get; then the id is stale, and only a new query helps.
absl::StatusOr<std::shared_ptr<const PlaneBuffer>> VfioPlaneSource::Fetch(Answer& answer) {
  absl::StatusOr<std::shared_ptr<const PlaneBuffer>> buffer;
  for (int attempt = 0; attempt < kGetAttemptsMax; ++attempt) {
    const auto layout = CheckPlane(answer.info);
    if (!layout.ok()) return layout.status();
    const uint32_t key = answer.info.region_index_or_dmabuf_id;
    buffer = is_dmabuf() ? cache_.Get(key, *layout) : regions_.Get(key, *layout);
    if (buffer.ok() || !absl::IsUnavailable(buffer.status())) return buffer;
    const Answer again = Query(abi::kPlaneTypePrimary);
    if (again.result < 0 || again.info.is_empty()) return buffer;
    answer = again;
  }
  return buffer;
}

void VfioPlaneSource::Fail(absl::Status problem, PlaneLook& look) const {
  look.primary = PlaneLook::Primary::kFailed;
  look.problem = std::move(problem);
}

void VfioPlaneSource::Transient(absl::Status problem, int64_t now_ns, PlaneLook& look) {
  if (transient_since_ns_ == 0) {
    transient_since_ns_ = now_ns;
    retry_ns_ = kRetryMinNs;
  }
  if (now_ns - transient_since_ns_ >= kTransientMaxNs) return Fail(std::move(problem), look);
  look.primary = PlaneLook::Primary::kTransient;
  look.problem = std::move(problem);
}

void VfioPlaneSource::Show(std::shared_ptr<const PlaneBuffer> buffer, int64_t now_ns,
                           PlaneLook& look) {
  const bool has_flipped = buffer != shown_ || flip_pending_ns_ != 0;
  shown_ = std::move(buffer);
  // Without a flip, the pixels may have changed at any time since: now is the best guess.
  const int64_t flip_ns = flip_pending_ns_ != 0 ? flip_pending_ns_ : now_ns;
  flip_pending_ns_ = 0;
  look.primary = PlaneLook::Primary::kFrame;
  look.frame = Frame{.buffer = shown_, .flip_time_ns = flip_ns, .capture_time_ns = now_ns};
  if (!has_flipped) {
    awaits_report_ = true;
    return;
  }
  safety_look_ns_ = kSafetyLookNs;
  // The flip told what the look would have; look for painting in place later, unless it goes on.
  if (is_dmabuf() && now_ns - painted_in_place_ns_ > kPaintsInPlaceNs) {
    look_not_before_ns_ = now_ns + kFlippingLookNs;
  }
}

void VfioPlaneSource::UpdateCursor(int64_t now_ns) {
  const Answer answer = QueryOnce(abi::kPlaneTypeCursor, asked_cursor_);
  cursor_answer_ = answer;
  if (answer.result < 0) return;
  cursor_.Update(answer.info, primary_.info, now_ns);
  info_.cursor_separate = cursor_.was_seen();
  NoteProblems();
}

void VfioPlaneSource::SetNextLook(PlaneLook::Primary primary, int64_t now_ns) {
  switch (primary) {
    case PlaneLook::Primary::kFrame:
      look_not_before_ns_ =
          std::max(look_not_before_ns_,
                   now_ns + (events_ != nullptr ? safety_look_ns_ : kLookPacing.window_step_ns));
      return;
    case PlaneLook::Primary::kTransient:
      look_not_before_ns_ = now_ns + retry_ns_;
      retry_ns_ = std::min(2 * retry_ns_, kRetryMaxNs);
      return;
    case PlaneLook::Primary::kNoFramebuffer:
    case PlaneLook::Primary::kBlanked:
      look_not_before_ns_ = now_ns + kEmptyRetryNs;
      return;
    case PlaneLook::Primary::kFailed:
    case PlaneLook::Primary::kGone:
      look_not_before_ns_ = now_ns + kFailedRetryNs;
      return;
  }
}

void VfioPlaneSource::ReportContent(bool changed, int64_t now_ns) {
  if (!awaits_report_) return;
  awaits_report_ = false;
  look_pacer_.OnSample(changed, look_last_ns_);
  NoteSafetyLook(changed, now_ns);
  if (!changed) return;
  painted_in_place_ns_ = now_ns;
  look_not_before_ns_ = look_last_ns_ + kLookPacing.window_step_ns;
}

void VfioPlaneSource::NoteSafetyLook(bool found, int64_t now_ns) {
  const bool may_paint = now_ns - painted_in_place_ns_ <= kMayPaintAgainNs;
  safety_look_ns_ =
      found || may_paint ? kSafetyLookNs : std::min(2 * safety_look_ns_, kSafetyLookMaxNs);
  if (events_ != nullptr) look_not_before_ns_ = look_last_ns_ + safety_look_ns_;
}

void VfioPlaneSource::SetWatched(bool watched, int64_t now_ns) {
  if (is_watched_ == watched) return;
  is_watched_ = watched;
  cache_.SetIdle(!watched);
  NoteProblems();
  if (events_ != nullptr) {
    if (absl::Status done = events_->SetEnabled(watched); !done.ok()) Degrade(done);
  }
  // What was learned before the pause is no flip now, and an error before it is over.
  flip_pending_ns_ = 0;
  if (!watched) return;
  transient_since_ns_ = 0;
  retry_ns_ = kRetryMinNs;
  probe_pacer_.Restart(now_ns);
  look_pacer_.Restart(now_ns);
  safety_look_ns_ = kSafetyLookNs;
  look_not_before_ns_ = now_ns;
  awaits_report_ = false;
}

absl::Status VfioPlaneSource::SetMode(uint32_t width_px, uint32_t height_px, int64_t now_ns) {
  if (!edid_.has_value()) {
    return absl::FailedPreconditionError(
        "the device has no EDID region: set the mode inside the guest");
  }
  absl::Status done = edid_->SetMode(width_px, height_px, now_ns);
  // The caller learns of an error at once; what failed before is over once a mode is under way.
  if (done.ok()) edid_problem_ = absl::OkStatus();
  NoteProblems();
  return done;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PlaneSource>> MakeVfioSource(OpenedDevice device,
                                                            const VfioSourceOptions& options,
                                                            Clock&) {
  auto source = std::make_unique<VfioPlaneSource>(std::move(device), options);
  if (absl::Status done = source->Init(options.flip_events); !done.ok()) return done;
  return source;
}

}  // namespace planecast
