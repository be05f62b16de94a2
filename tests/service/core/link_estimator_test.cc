#include "service/core/link_estimator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::kMs;
using ::planecast::testing::kSecond;

/// A link with a rate, a round trip and a bottleneck, fed at 60 Hz with as much as the estimate
/// says, or less.
class Link {
 public:
  Link(int64_t rate_bps, int64_t round_trip_ns)
      : rate_bps_(rate_bps), round_trip_ns_(round_trip_ns) {}

  void SetRate(int64_t rate_bps) { rate_bps_ = rate_bps; }
  void HoldUp(int64_t duration_ns) { free_ns_ = std::max(free_ns_, now_ns_) + duration_ns; }
  void SetClient(int64_t client_ns) { client_ns_ = client_ns; }

  /// Lets time go by while the encoder makes `wanted_bps`, or what the estimate allows.
  void Run(int64_t duration_ns, int64_t wanted_bps) {
    const int64_t end_ns = now_ns_ + duration_ns;
    for (; now_ns_ < end_ns; now_ns_ += kIntervalNs) {
      while (!under_way_.empty() && under_way_.front().arrival_ns <= now_ns_) {
        const UnderWay unit = under_way_.front();
        under_way_.pop_front();
        estimator.Acknowledged(unit.mark, client_ns_, unit.arrival_ns);
        queue_max_ns = std::max(queue_max_ns, estimator.queue_ns());
      }
      // As the viewer's window does.
      size_t bytes_under_way = 0;
      for (const UnderWay& unit : under_way_) bytes_under_way += unit.mark.bytes;
      const bool late = !under_way_.empty() &&
                        now_ns_ - under_way_.front().mark.sent_ns >= estimator.patience_ns();
      const bool open =
          under_way_.empty() ||
          (!estimator.draining() &&
           (under_way_.size() < 2 || (!late && bytes_under_way < estimator.window_bytes())));
      if (!open) continue;
      const int64_t allowed_bps = estimator.rate_max_bps();
      const int64_t bps = allowed_bps == 0 ? wanted_bps : std::min(wanted_bps, allowed_bps);
      const auto bytes = static_cast<size_t>(bps / 8 * kIntervalNs / kSecond);
      free_ns_ =
          std::max(free_ns_, now_ns_) + static_cast<int64_t>(bytes) * 8 * kSecond / rate_bps_;
      if (client_ns_ > 0) client_free_ns_ = std::max(client_free_ns_, free_ns_) + client_ns_;
      under_way_.push_back({estimator.Sent(bytes, under_way_.empty(), now_ns_),
                            std::max(free_ns_, client_free_ns_) + round_trip_ns_});
    }
  }

  LinkEstimator estimator;
  int64_t queue_max_ns = 0;

 private:
  static constexpr int64_t kIntervalNs = kSecond / 60;
  struct UnderWay {
    LinkEstimator::Mark mark;
    int64_t arrival_ns = 0;
  };
  int64_t rate_bps_;
  int64_t round_trip_ns_;
  int64_t client_ns_ = 0;
  int64_t now_ns_ = kSecond;
  int64_t free_ns_ = 0;
  int64_t client_free_ns_ = 0;
  std::deque<UnderWay> under_way_;
};

TEST(LinkEstimatorTest, KnowsNothingBeforeTheFirstAcknowledgement) {
  const LinkEstimator estimator;
  EXPECT_FALSE(estimator.known());
  EXPECT_EQ(estimator.rate_max_bps(), 0);
}

TEST(LinkEstimatorTest, ALinkThatIsFastEnoughHasNoLimit) {
  Link link(10'000'000, 100 * kMs);
  link.Run(20 * kSecond, 5'000'000);
  EXPECT_EQ(link.estimator.rate_max_bps(), 0);
  EXPECT_NEAR(link.estimator.round_trip_ns(), 100 * kMs + 8 * kMs, 3 * kMs);
  EXPECT_LT(link.queue_max_ns, kQueueLowNs);
}

TEST(LinkEstimatorTest, FindsTheRateOfASlowLinkAndKeepsTheQueueShort) {
  Link link(2'000'000, 100 * kMs);
  link.Run(3 * kSecond, 20'000'000);
  EXPECT_GT(link.estimator.rate_max_bps(), 1'000'000);
  EXPECT_LT(link.estimator.rate_max_bps(), 2'600'000);
  link.queue_max_ns = 0;
  for (int i = 0; i < 20; ++i) {
    link.Run(kSecond, 20'000'000);
    EXPECT_GT(link.estimator.rate_max_bps(), 1'300'000) << i;
    EXPECT_LT(link.estimator.rate_max_bps(), 2'600'000) << i;
  }
  EXPECT_LT(link.queue_max_ns, 200 * kMs);
}

TEST(LinkEstimatorTest, FollowsALinkThatBecomesSlowerAndRecovers) {
  Link link(20'000'000, 40 * kMs);
  link.Run(5 * kSecond, 10'000'000);
  EXPECT_EQ(link.estimator.rate_max_bps(), 0);
  link.SetRate(1'000'000);
  link.Run(5 * kSecond, 10'000'000);
  EXPECT_LT(link.estimator.rate_max_bps(), 1'500'000);
  EXPECT_GT(link.estimator.rate_max_bps(), 500'000);
  link.SetRate(50'000'000);
  link.Run(12 * kSecond, 10'000'000);
  EXPECT_TRUE(link.estimator.rate_max_bps() == 0 || link.estimator.rate_max_bps() > 10'000'000)
      << link.estimator.rate_max_bps();
}

TEST(LinkEstimatorTest, AHoldUpIsNoCongestion) {
  Link link(10'000'000, 100 * kMs);
  link.Run(3 * kSecond, 1'000'000);
  for (int i = 0; i < 5; ++i) {
    link.HoldUp(300 * kMs);
    link.Run(2 * kSecond, 1'000'000);
  }
  EXPECT_EQ(link.estimator.rate_max_bps(), 0);
}

TEST(LinkEstimatorTest, ARateThatIsNotUsedDoesNotGrow) {
  Link link(2'000'000, 100 * kMs);
  link.Run(5 * kSecond, 20'000'000);
  link.Run(kSecond, 100'000);
  const int64_t rate_bps = link.estimator.rate_max_bps();
  link.Run(10 * kSecond, 100'000);
  EXPECT_EQ(link.estimator.rate_max_bps(), rate_bps);
}

TEST(LinkEstimatorTest, ABusyClientIsNoSlowLink) {
  Link link(100'000'000, 10 * kMs);
  link.Run(kSecond, 5'000'000);
  // 25 pictures a second, whatever their size.
  link.SetClient(40 * kMs);
  link.Run(20 * kSecond, 5'000'000);
  EXPECT_EQ(link.estimator.rate_max_bps(), 0);
}

TEST(LinkEstimatorTest, SurvivesLyingClientsAndABackwardClock) {
  LinkEstimator estimator;
  for (const int64_t client_ns : {int64_t{-5}, int64_t{1} << 62, int64_t{0}}) {
    const LinkEstimator::Mark mark = estimator.Sent(size_t{1} << 40, true, kSecond);
    estimator.Acknowledged(mark, client_ns, kSecond - 1);
    estimator.Acknowledged(mark, client_ns, 100 * kSecond);
    EXPECT_GE(estimator.rate_max_bps(), 0);
    EXPECT_GT(estimator.round_trip_ns(), 0);
  }
}

}  // namespace
}  // namespace planecast
