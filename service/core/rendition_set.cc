#include "service/core/rendition_set.h"

#include <algorithm>
#include <utility>

namespace planecast {
namespace {

/// Least that the encoders take; a viewer that asks for less gets this.
constexpr int64_t kBitrateMinBps = 100'000;
/// A cap that rises by less than this part of it is left as it is.
constexpr int64_t kCapStepShare = 32;

/// The lesser of two limits of which 0 means none.
template <typename T>
T Tighter(T limit, T other) {
  return other == 0 ? limit : std::min(limit, other);
}

/// In the rendition of this index.
template <typename T>
bool Follows(T own, T other, size_t index) {
  const double share = index == 0 ? kFollowShareBest : kFollowShare;
  return static_cast<double>(own) >= static_cast<double>(other) * share;
}

/// Gets all units, as far as we know.
bool DoesWell(const Member& member) {
  return !member.wants.join_key_frame && !member.wants.resync_key_frame;
}

}  // namespace

RenditionSet::RenditionSet(const DisplayOptions& options, const DisplaySpec& spec,
                           DisplayMetrics& metrics, TellStarted tell_started)
    : options_(options), spec_(spec), metrics_(metrics), tell_started_(std::move(tell_started)) {
  renditions_.push_back(std::make_unique<Rendition>(options_, spec_, metrics_));
}

void RenditionSet::Add(std::shared_ptr<Viewer> viewer) {
  Member member;
  member.viewer = std::move(viewer);
  member.baseline = metrics_.Values();
  renditions_.front()->members().push_back(std::move(member));
}

void RenditionSet::Sweep() {
  for (const auto& rendition : renditions_) {
    for (Member& member : rendition->members()) member.wants = member.viewer->GetWants();
    std::erase_if(rendition->members(), [](const Member& member) { return member.wants.ended; });
  }
  DropEmpty();
}

size_t RenditionSet::ViewerCount() const {
  size_t count = 0;
  for (const auto& rendition : renditions_) count += rendition->members().size();
  return count;
}

bool RenditionSet::AnyWantsCursorInPicture() const {
  return std::any_of(renditions_.begin(), renditions_.end(), [](const auto& rendition) {
    return std::any_of(rendition->members().begin(), rendition->members().end(),
                       [](const Member& member) { return member.viewer->cursor_in_picture(); });
  });
}

int64_t RenditionSet::AskedBps(const Member& member) const {
  return std::max(Tighter(options_.rate.bitrate_max_bps, member.wants.limits.bitrate_max_bps),
                  std::min(options_.rate.bitrate_max_bps, kBitrateMinBps));
}

int64_t RenditionSet::LinkBps(const Member& member) const {
  return Tighter(AskedBps(member), member.wants.link_rate_max_bps);
}

int RenditionSet::AskedHz(const Member& member) const {
  return Tighter(options_.frame_rate_max_hz, member.wants.limits.frame_rate_max_hz);
}

void RenditionSet::DropEmpty() {
  // The first one outlives its last viewer, if it is the only one.
  for (size_t i = renditions_.size(); i-- > 0;) {
    if (!renditions_[i]->members().empty() || renditions_.size() == 1) continue;
    renditions_.erase(renditions_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void RenditionSet::Assign(int64_t now_ns) {
  for (size_t i = 1; i < renditions_.size(); ++i) {
    if (!renditions_[i]->problem().has_value()) continue;
    // Better a stream that suits nobody quite than none.
    split_min_ns_ = now_ns + kSplitRetryNs;
    while (!renditions_[i]->members().empty()) Move(i, 0, i - 1, now_ns);
  }
  DropEmpty();
  for (size_t i = 0; i < renditions_.size() && i + 1 < kRenditionsMax; ++i) MoveDown(i, now_ns);
  for (size_t i = 1; i < renditions_.size(); ++i) MoveUp(i, now_ns);
  DropEmpty();
  Limit(now_ns);
}

RenditionSet::Best RenditionSet::BestOf(const Rendition& rendition) const {
  Best best;
  for (const Member& member : rendition.members()) {
    best.asked_bps = std::max(best.asked_bps, AskedBps(member));
    best.asked_hz = std::max(best.asked_hz, AskedHz(member));
    best.link_bps = std::max(best.link_bps, LinkBps(member));
    best.does_well = best.does_well || DoesWell(member);
  }
  return best;
}

bool RenditionSet::CanFollow(const Member& member, const Best& best, size_t index,
                             int64_t now_ns) const {
  if (!Follows(AskedBps(member), best.asked_bps, index)) return false;
  if (!Follows(AskedHz(member), best.asked_hz, index)) return false;
  const Viewer::Wants& wants = member.wants;
  // Its key frame would be a large picture to all the others.
  if (wants.resync_key_frame && best.does_well) return false;
  // What is known of a link before the first unit comes from an earlier connection.
  const bool news = wants.link_congested_ns > member.moved_ns &&
                    now_ns - wants.link_congested_ns < kCongestionNewsNs;
  const bool congested = news || (!member.greeted && wants.link_rate_max_bps > 0);
  return !congested || Follows(LinkBps(member), best.link_bps, index);
}

void RenditionSet::MoveDown(size_t index, int64_t now_ns) {
  const std::vector<Member>& members = renditions_[index]->members();
  if (members.size() < 2) return;
  if (index + 1 == renditions_.size() && now_ns < split_min_ns_) return;
  const Best best = BestOf(*renditions_[index]);
  for (size_t i = members.size(); i-- > 0;) {
    if (CanFollow(members[i], best, index, now_ns)) continue;
    if (index + 1 == renditions_.size()) {
      renditions_.push_back(std::make_unique<Rendition>(options_, spec_, metrics_));
    }
    metrics_.Add(Count::kMovesDown);
    Move(index, i, index + 1, now_ns);
    Member& moved = renditions_[index + 1]->members().back();
    const bool again = moved.moved_up_ns != 0 && now_ns - moved.moved_up_ns < kMoveUpProvenNs;
    moved.move_up_wait_ns =
        again ? std::min(moved.move_up_wait_ns * 2, kMoveUpWaitMaxNs) : kMoveUpWaitMinNs;
  }
}

bool RenditionSet::CouldJoin(const Member& member, size_t index, const Best& best,
                             int64_t now_ns) const {
  const Viewer::Wants& wants = member.wants;
  if (!DoesWell(member) || !wants.ready) return false;
  const int64_t since_ns = std::max(member.moved_ns, wants.link_congested_ns);
  if (now_ns - since_ns < std::max(member.move_up_wait_ns, kMoveUpWaitMinNs)) return false;
  if (!Follows(AskedBps(member), best.asked_bps, index)) return false;
  if (!Follows(AskedHz(member), best.asked_hz, index)) return false;
  // Its link takes what the others get, or what they have been getting lately.
  const Rendition& rendition = *renditions_[index];
  const int64_t link_bps = LinkBps(member);
  return Follows(link_bps, rendition.rate().bitrate_max_bps, index) ||
         Follows(link_bps, rendition.busy_bps(), 0);
}

void RenditionSet::MoveUp(size_t index, int64_t now_ns) {
  const std::vector<Member>& members = renditions_[index]->members();
  const Best best = BestOf(*renditions_[index - 1]);
  for (size_t i = members.size(); i-- > 0;) {
    if (!CouldJoin(members[i], index - 1, best, now_ns)) continue;
    metrics_.Add(Count::kMovesUp);
    Move(index, i, index - 1, now_ns);
    renditions_[index - 1]->members().back().moved_up_ns = now_ns;
  }
}

void RenditionSet::Move(size_t from, size_t member, size_t to, int64_t now_ns) {
  std::vector<Member>& old_members = renditions_[from]->members();
  Member moved = std::move(old_members[member]);
  old_members.erase(old_members.begin() + static_cast<std::ptrdiff_t>(member));
  moved.moved_ns = now_ns;
  moved.viewer->ChangeRendition();
  moved.wants = moved.viewer->GetWants();
  Rendition& target = *renditions_[to];
  const StreamDescription* description = target.description();
  if (moved.greeted && description != nullptr && moved.told != *description) {
    tell_started_(moved, target);
  }
  target.members().push_back(std::move(moved));
}

void RenditionSet::Limit(int64_t now_ns) {
  for (size_t i = 0; i < renditions_.size(); ++i) {
    Rendition& rendition = *renditions_[i];
    const int64_t best_bps = BestOf(rendition).link_bps;
    RateParams rate = options_.rate;
    int64_t asked_bps = rate.bitrate_max_bps;
    int frame_rate_hz = options_.frame_rate_max_hz;
    const bool last =
        i + 1 == kRenditionsMax || (i + 1 == renditions_.size() && now_ns < split_min_ns_);
    for (const Member& member : rendition.members()) {
      asked_bps = std::min(asked_bps, AskedBps(member));
      frame_rate_hz = std::min(frame_rate_hz, AskedHz(member));
      // One that can't follow goes to another rendition as soon as that matters.
      const int64_t link_bps = LinkBps(member);
      if (last || Follows(link_bps, best_bps, i)) {
        rate.bitrate_max_bps = std::min(rate.bitrate_max_bps, link_bps);
      }
    }
    const bool narrow = rate.bitrate_max_bps < asked_bps;
    rate.bitrate_max_bps = std::min(rate.bitrate_max_bps, asked_bps);
    rate.bitrate_max_bps =
        std::max(rate.bitrate_max_bps, std::min(options_.rate.bitrate_max_bps, kBitrateMinBps));
    // A link's rate rises in many small steps, which are not worth an encoder's while.
    const int64_t before_bps = rendition.rate().bitrate_max_bps;
    const int64_t rise_bps = rate.bitrate_max_bps - before_bps;
    if (narrow && rise_bps > 0 && rise_bps < before_bps / kCapStepShare) {
      rate.bitrate_max_bps = before_bps;
    }
    rendition.SetLimits(rate, frame_rate_hz, narrow, now_ns);
  }
}

}  // namespace planecast
