#include "vfio/dmabuf_cache.h"

#include <drm_fourcc.h>
#include <gtest/gtest.h>

#include <optional>

#include "tests/vfio/source_testing.h"

namespace planecast {
namespace {

constexpr FdNeeds kOne = {};
constexpr size_t kOneFds = kOne.fixed + kOne.buffers;

class DmabufCacheTest : public testing::Test {
 protected:
  void Open(FakeProfile profile, FdClaim fds = {}) {
    fds_ = std::move(fds);
    device_ = std::make_unique<FakeDevice>(FakeDeviceOptions{.profile = profile}, clock_);
    fd_ = Fd(*device_, device_->OpenDevice());
    gfx_ = std::make_unique<GfxDevice>(*device_, fd_.get(), AbiDialect::kFinal);
    cache_ = std::make_unique<DmabufCache>(*gfx_, fds_);
  }
  ~DmabufCacheTest() override {
    cache_.reset();
    gfx_.reset();
    fd_.Reset();
  }

  /// A budget with room for displays of this many fds altogether.
  FdBudget& MakeBudget(size_t fds) { return budget_.emplace(kFdsOwn + kFdsReserveMin + fds); }

  void SetMode(uint32_t width_px, uint32_t height_px) {
    FakeMode mode{.width_px = width_px, .height_px = height_px};
    mode.buffer_count = 1;
    ASSERT_TRUE(device_->guest().SetMode(mode).ok());
  }
  PlaneInfo Query() {
    PlaneInfo info;
    if (gfx_->Query(PlaneKind::kDmabuf, abi::kPlaneTypePrimary, &info) != 0) {
      gfx_->Query(PlaneKind::kDmabuf, abi::kPlaneTypePrimary, &info);
    }
    return info;
  }
  absl::StatusOr<std::shared_ptr<const PlaneBuffer>> Get(const PlaneInfo& info) {
    return cache_->Get(info.region_index_or_dmabuf_id, *CheckPlane(info));
  }
  absl::StatusOr<std::shared_ptr<const PlaneBuffer>> GetMode(uint32_t width_px,
                                                             uint32_t height_px) {
    SetMode(width_px, height_px);
    return Get(Query());
  }
  // Shows `count` other framebuffers.
  void ShowOthers(size_t count) {
    for (size_t n = 0; n < count; ++n) {
      const auto width_px = static_cast<uint32_t>(128 + 4 * (n % 200));
      const auto height_px = static_cast<uint32_t>(128 + n / 200);
      ASSERT_TRUE(GetMode(width_px, height_px).ok());
    }
  }

  int open_dmabufs() const { return device_->counters().open_dmabuf_fds; }

  ManualClock clock_;
  std::optional<FdBudget> budget_;
  FdClaim fds_;
  std::unique_ptr<FakeDevice> device_;
  Fd fd_;
  std::unique_ptr<GfxDevice> gfx_;
  std::unique_ptr<DmabufCache> cache_;
};

TEST_F(DmabufCacheTest, ABufferHeldOutsideIsFoundAgainWithoutAGet) {
  Open(FakeProfile::kGvt);
  SetMode(640, 480);
  const PlaneInfo info = Query();
  const auto held = *Get(info);
  ShowOthers(2 * DmabufCache::kKeptMax);
  const uint64_t gets = cache_->gets_count();
  EXPECT_EQ(*Get(info), held);
  EXPECT_EQ(cache_->gets_count(), gets);
}

TEST_F(DmabufCacheTest, KeepsABoundedNumberOfDmabufs) {
  Open(FakeProfile::kGvt);
  ShowOthers(3 * DmabufCache::kKeptMax);
  EXPECT_EQ(device_->counters().open_dmabuf_fds, static_cast<int>(DmabufCache::kKeptMax));
}

TEST_F(DmabufCacheTest, TheMostRecentlyUsedStay) {
  Open(FakeProfile::kGvt);
  SetMode(640, 480);
  const PlaneInfo info = Query();
  const uint64_t serial = (*Get(info))->serial();
  for (int n = 0; n < 3; ++n) {
    ShowOthers(DmabufCache::kKeptMax - 1);
    EXPECT_EQ((*Get(info))->serial(), serial);
  }
}

TEST_F(DmabufCacheTest, NeverFetchesAnIdOfADriverWithoutReferencesAgain) {
  Open(FakeProfile::kMbochs);
  SetMode(640, 480);
  const PlaneInfo info = Query();
  ASSERT_TRUE(Get(info).ok());
  ShowOthers(DmabufCache::kKeptMaxUnreferenced);
  EXPECT_EQ(device_->counters().open_dmabuf_fds,
            static_cast<int>(DmabufCache::kKeptMaxUnreferenced));
  SetMode(640, 480);
  const auto again = Get(Query());
  EXPECT_EQ(again.status().code(), absl::StatusCode::kFailedPrecondition) << again.status();
  EXPECT_EQ(device_->counters().consumer_errors, 0) << device_->last_consumer_error();
}

TEST_F(DmabufCacheTest, KeepsAsManyAsEverWhereFdsArePlenty) {
  FdBudget& budget = MakeBudget(kOneFds + kBuffersKeptMax);
  Open(FakeProfile::kGvt, *budget.Take(kOne));
  ShowOthers(2 * kBuffersKeptMax);
  EXPECT_EQ(open_dmabufs(), static_cast<int>(kBuffersKeptMax));
  EXPECT_TRUE(cache_->problem().ok());
  EXPECT_EQ(budget.Read().short_displays, 0u);
}

TEST_F(DmabufCacheTest, KeepsFewerWhereFdsAreShortAndSaysSoUntilTheyAreNot) {
  FdBudget& budget = MakeBudget(kOneFds + kBuffersKeptMax);
  FdClaim other = *budget.Take({.fixed = kBuffersKeptMax, .buffers = 0});
  Open(FakeProfile::kGvt, *budget.Take(kOne));
  ShowOthers(kBuffersKeptMin);
  EXPECT_TRUE(cache_->problem().ok()) << "nothing is let go yet";
  ShowOthers(2 * kBuffersKeptMin);
  EXPECT_EQ(open_dmabufs(), static_cast<int>(kBuffersKeptMin));
  EXPECT_EQ(cache_->problem().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(budget.Read().short_displays, 1u);
  EXPECT_FALSE(cache_->Trim());
  other = FdClaim();
  EXPECT_TRUE(cache_->Trim());
  EXPECT_TRUE(cache_->problem().ok());
  EXPECT_EQ(budget.Read().short_displays, 0u);
  ShowOthers(2 * kBuffersKeptMax);
  EXPECT_EQ(open_dmabufs(), static_cast<int>(kBuffersKeptMax));
}

TEST_F(DmabufCacheTest, LetsGoOfWhatOthersNeed) {
  FdBudget& budget = MakeBudget(kOneFds + kBuffersKeptMax);
  Open(FakeProfile::kGvt, *budget.Take(kOne));
  ShowOthers(2 * kBuffersKeptMax);
  const FdClaim other = *budget.Take({.fixed = kBuffersKeptMax, .buffers = 0});
  cache_->Trim();
  EXPECT_EQ(open_dmabufs(), static_cast<int>(kBuffersKeptMin));
}

TEST_F(DmabufCacheTest, KeepsTheLeastWhileNobodyWatches) {
  FdBudget& budget = MakeBudget(10 * kOneFds);
  Open(FakeProfile::kGvt, *budget.Take(kOne));
  ShowOthers(2 * kBuffersKeptMin);
  EXPECT_EQ(open_dmabufs(), static_cast<int>(2 * kBuffersKeptMin));
  cache_->SetIdle(true);
  EXPECT_EQ(open_dmabufs(), static_cast<int>(kBuffersKeptMin));
  EXPECT_TRUE(cache_->problem().ok()) << "it does without by itself";
  ShowOthers(2 * kBuffersKeptMin);
  EXPECT_EQ(open_dmabufs(), static_cast<int>(kBuffersKeptMin));
  EXPECT_TRUE(cache_->problem().ok());
}

TEST_F(DmabufCacheTest, OfADriverWithoutReferencesNothingIsLetGoAndTheNextIsRefused) {
  constexpr size_t kMore = 3;
  FdBudget& budget = MakeBudget(kOneFds + kMore);
  Open(FakeProfile::kMbochs, *budget.Take(kOne));
  SetMode(640, 480);
  const PlaneInfo info = Query();
  const auto first = *Get(info);
  ShowOthers(kBuffersKeptMin + kMore - 1);
  cache_->SetIdle(true);
  cache_->SetIdle(false);
  for (int n = 0; n < 3; ++n) {
    const auto refused = GetMode(800, 600);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted) << refused.status();
    EXPECT_NE(refused.status().message().find("LimitNOFILE"), absl::string_view::npos);
  }
  EXPECT_EQ(open_dmabufs(), static_cast<int>(kBuffersKeptMin + kMore));
  EXPECT_EQ(*Get(info), first);
  EXPECT_EQ(device_->counters().consumer_errors, 0) << device_->last_consumer_error();
  EXPECT_EQ(budget.Read().claimed, budget.Read().displays_max);
}

TEST_F(DmabufCacheTest, CopiesOfMbochsDmabufsAreCloseOnExec) {
  Open(FakeProfile::kMbochs);
  const auto buffer = GetMode(640, 480);
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(device_->GetFdFlags((*buffer)->dmabuf_fd()), 1);
}

TEST_F(DmabufCacheTest, AnUnusableBufferIsNotFetchedAtEachLook) {
  Open(FakeProfile::kMbochs);
  SetMode(640, 480);
  PlaneInfo info = Query();
  info.height_px *= 4;
  info.size_bytes *= 4;
  for (int n = 0; n < 5; ++n) {
    EXPECT_EQ(Get(info).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(cache_->gets_count(), 1u);
  EXPECT_EQ(device_->counters().consumer_errors, 0) << device_->last_consumer_error();
}

TEST_F(DmabufCacheTest, AnotherStrideUnderTheSameIdIsAnotherBufferOfTheSameDmabuf) {
  Open(FakeProfile::kGvt);
  SetMode(640, 480);
  PlaneInfo info = Query();
  info.drm_format_mod = 0;
  const auto wide = *Get(info);
  info.stride_bytes -= 4;
  info.width_px = 600;
  const auto narrow = *Get(info);
  EXPECT_NE(wide, narrow);
  EXPECT_NE(wide->serial(), narrow->serial());
  EXPECT_EQ(narrow->layout().width_px, 600u);
  EXPECT_EQ(cache_->gets_count(), 1u);
}

}  // namespace
}  // namespace planecast
