#include "service/core/frame_pacer.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace planecast {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kIntervalNs = 1'000'000'000 / 60;

/// A guest that flips, and what a display makes of it: each flip is coded when it is due.
class PacedGuest {
 public:
  /// Flips until `end_ns` and returns the longest wait of a flip from `from_ns` on.
  int64_t Flip(int64_t flip_interval_ns, int64_t from_ns, int64_t end_ns) {
    int64_t wait_max_ns = 0;
    for (; flip_ns_ < end_ns; flip_ns_ += flip_interval_ns) {
      if (!pacer_.Due(flip_ns_)) pacer_.NoteHeld(flip_ns_);
      const int64_t coded_ns = std::max(flip_ns_, pacer_.next_ns());
      // One that comes before its turn takes the place of the one that waits.
      if (coded_ns >= flip_ns_ + flip_interval_ns) continue;
      pacer_.NoteCoded(coded_ns, kIntervalNs);
      ++coded_;
      if (flip_ns_ >= from_ns) wait_max_ns = std::max(wait_max_ns, coded_ns - flip_ns_);
    }
    return wait_max_ns;
  }
  void CodeKeyFrame(int64_t now_ns) { pacer_.NoteCoded(now_ns, kIntervalNs); }
  int coded() const { return coded_; }

 private:
  FramePacer pacer_;
  int64_t flip_ns_ = 1'000 * kMs;
  int coded_ = 0;
};

TEST(FramePacerTest, AGuestAtTheRateOfTheCapNeverWaits) {
  PacedGuest guest;
  EXPECT_EQ(guest.Flip(kIntervalNs, 0, 3'000 * kMs), 0);
  EXPECT_EQ(guest.coded(), 121);
}

TEST(FramePacerTest, AKeyFrameOutOfTurnDelaysNoMoreThanTheNextFlip) {
  PacedGuest guest;
  guest.Flip(kIntervalNs, 0, 2'000 * kMs);
  guest.CodeKeyFrame(2'010 * kMs);
  // Without forgiveness each of them would wait for 10 ms from here on.
  EXPECT_EQ(guest.Flip(kIntervalNs, 2'030 * kMs, 3'000 * kMs), 0);
}

TEST(FramePacerTest, AGuestThatIsALittleFasterThanTheCapHardlyWaits) {
  PacedGuest guest;
  EXPECT_LT(guest.Flip(kIntervalNs * 995 / 1000, 0, 10'000 * kMs), kMs);
}

TEST(FramePacerTest, TheCapHoldsOnAverageForAFasterGuest) {
  for (const int rate_hz : {61, 70, 75, 90, 119, 144, 240}) {
    PacedGuest guest;
    guest.Flip(1'000'000'000 / rate_hz, 0, 11'000 * kMs);
    // The last few are credit from before.
    EXPECT_LE(guest.coded(), 600 * (kPaceForgivenShare + 1) / kPaceForgivenShare + 4) << rate_hz;
    EXPECT_GE(guest.coded(), 590) << rate_hz;
  }
}

TEST(FramePacerTest, AfterARestartAFrameIsDueAtOnce) {
  FramePacer pacer;
  pacer.NoteCoded(100 * kMs, kIntervalNs);
  EXPECT_FALSE(pacer.Due(100 * kMs));
  pacer.Restart();
  EXPECT_TRUE(pacer.Due(100 * kMs));
}

TEST(FramePacerTest, NobodyWaitsLongerThanANewCapSays) {
  FramePacer pacer;
  pacer.NoteCoded(100 * kMs, 1'000 * kMs);
  pacer.Limit(100 * kMs, kIntervalNs);
  EXPECT_EQ(pacer.next_ns(), 100 * kMs + kIntervalNs);
}

}  // namespace
}  // namespace planecast
