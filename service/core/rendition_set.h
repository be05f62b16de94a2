// Which viewers of a display share an encoding, and what each encoding may take.
#pragma once

#include <cstddef>
#include <cstdint>

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

}  // namespace planecast
