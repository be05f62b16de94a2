// Which viewers of a display share an encoding, and what each encoding may take.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "service/core/display_metrics.h"
#include "service/core/display_options.h"
#include "service/core/display_state.h"
#include "service/core/rendition.h"
#include "service/core/viewer.h"

namespace planecast {

/// Renditions of a display at a time, each with an encoder of its own.
inline constexpr size_t kRenditionsMax = 3;
/// A viewer that takes less than this part of what another one takes can't follow it: in the best
/// rendition, where nobody is to notice the others, and in those below, whose viewers' links are
/// all known from congestion only.
inline constexpr double kFollowShareBest = 0.8;
inline constexpr double kFollowShare = 0.5;
/// Congestion is news for so long.
inline constexpr int64_t kCongestionNewsNs = 1'000'000'000;
/// A viewer has to do well for so long before it comes to a better rendition: at first, and twice
/// as long each time that it can't stay there.
inline constexpr int64_t kMoveUpWaitMinNs = 5'000'000'000;
inline constexpr int64_t kMoveUpWaitMaxNs = 80'000'000'000;
/// It stays there, if it does for so long.
inline constexpr int64_t kMoveUpProvenNs = 20'000'000'000;
/// No further rendition for so long after one whose encoder did not work.
inline constexpr int64_t kSplitRetryNs = 30'000'000'000;

/// The renditions of a display: which there are, who shares which, and what each may take. One, as
/// long as all viewers can follow each other; the best first.
///
/// Bound to the display's thread. Owned by the display's loop, which has it decide once per step
/// and goes through the renditions itself to encode.
class RenditionSet {
 public:
  /// Tells a member the stream of a rendition that it comes to, which is described otherwise than
  /// it was told last. Called by Assign.
  using TellStarted = std::function<void(Member&, const Rendition&)>;

  /// All must outlive the set.
  RenditionSet(const DisplayOptions& options, const DisplaySpec& spec, DisplayMetrics& metrics,
               TellStarted tell_started);

  /// A new viewer begins in the best one.
  void Add(std::shared_ptr<Viewer> viewer);
  /// Asks all viewers what they want, and forgets those that ended.
  void Sweep();
  /// Decides by what Sweep found who shares which rendition from now on, and what each may take.
  void Assign(int64_t now_ns);

  /// Always there, also without viewers.
  Rendition& best() { return *renditions_.front(); }
  const Rendition& best() const { return *renditions_.front(); }
  /// From the best on. Valid until the next Sweep or Assign.
  auto begin() const { return renditions_.begin(); }
  auto end() const { return renditions_.end(); }
  size_t size() const { return renditions_.size(); }

  size_t ViewerCount() const;
  bool AnyWantsCursorInPicture() const;

 private:
  /// What the members of a rendition ask for, and what their links take, at most.
  struct Best {
    int64_t asked_bps = 0;
    int asked_hz = 0;
    int64_t link_bps = 0;
    /// One of them gets all units.
    bool does_well = false;
  };

  void DropEmpty();
  /// Members that can't follow the others go to the next rendition.
  void MoveDown(size_t index, int64_t now_ns);
  /// Members that would do as well in the rendition before this one go there.
  void MoveUp(size_t index, int64_t now_ns);
  void Move(size_t from, size_t member, size_t to, int64_t now_ns);
  void Limit(int64_t now_ns);
  Best BestOf(const Rendition& rendition) const;
  bool CanFollow(const Member& member, const Best& best, size_t index, int64_t now_ns) const;
  bool CouldJoin(const Member& member, size_t index, const Best& best, int64_t now_ns) const;
  /// What a viewer said that it takes, and what its link takes at most.
  int64_t AskedBps(const Member& member) const;
  int64_t LinkBps(const Member& member) const;
  int AskedHz(const Member& member) const;

  const DisplayOptions& options_;
  const DisplaySpec& spec_;
  DisplayMetrics& metrics_;
  const TellStarted tell_started_;
  /// At least one. Those behind the first have members.
  std::vector<std::unique_ptr<Rendition>> renditions_;
  /// No further rendition before: the last one's encoder did not work.
  int64_t split_min_ns_ = 0;
};

}  // namespace planecast
