#include <drm_fourcc.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <set>

#include "tests/vfio/source_testing.h"

namespace planecast {
namespace {

class EveryProfileTest : public testing::TestWithParam<FakeProfile> {};

TEST_P(EveryProfileTest, WaitsForAGuestThenShowsItThenIsBlanked) {
  TestSource test(GetParam());
  ASSERT_TRUE(test.status().ok()) << test.status();
  EXPECT_EQ(test.Look().primary, Primary::kNoFramebuffer);
  test.SetMode(640, 480);
  const PlaneLook shown = test.Look();
  ASSERT_EQ(shown.primary, Primary::kFrame) << shown.problem;
  EXPECT_EQ(shown.frame->buffer->layout().width_px, 640u);
  EXPECT_EQ(shown.frame->buffer->layout().height_px, 480u);
  EXPECT_TRUE(shown.problem.ok());
  test.guest().Disable();
  EXPECT_EQ(test.Look().primary, Primary::kBlanked);
  EXPECT_FALSE(test.Look().frame.has_value());
  test.guest().Enable();
  EXPECT_EQ(test.Look().primary, Primary::kFrame);
}

TEST_P(EveryProfileTest, FollowsModeChanges) {
  TestSource test(GetParam());
  test.SetMode(640, 480);
  const PlaneLook small = test.Look();
  test.SetMode(1024, 768);
  const PlaneLook large = test.Look();
  ASSERT_EQ(large.primary, Primary::kFrame) << large.problem;
  EXPECT_EQ(large.frame->buffer->layout().width_px, 1024u);
  EXPECT_NE(large.frame->buffer, small.frame->buffer);
  EXPECT_NE(large.frame->buffer->serial(), small.frame->buffer->serial());
}

TEST_P(EveryProfileTest, HandsOutTheSameBufferWhileItStaysOnScreen) {
  TestSource test(GetParam());
  test.SetMode(640, 480);
  const PlaneLook first = test.Look();
  const PlaneLook second = test.LookAfter(kMillisecondNs);
  EXPECT_EQ(first.frame->buffer, second.frame->buffer);
  EXPECT_EQ(second.frame->capture_time_ns - first.frame->capture_time_ns, kMillisecondNs);
}

TEST_P(EveryProfileTest, LeavesNothingOpenAndBreaksNoRuleOfTheDriver) {
  TestSource test(GetParam());
  for (int round = 0; round < 5; ++round) {
    test.SetMode(640 + 16 * round, 480);
    for (int n = 0; n < 4; ++n) {
      if (test.guest().buffer_count() > 1) test.guest().Flip(n % test.guest().buffer_count());
      const PlaneLook look = test.LookAfter(16 * kMillisecondNs);
      ASSERT_EQ(look.primary, Primary::kFrame) << look.problem;
      (void)look.frame->buffer->ReadCpu();
    }
  }
  test.guest().Reset();
  EXPECT_EQ(test.Look().primary, Primary::kBlanked);
  EXPECT_EQ(test.device().counters().consumer_errors, 0) << test.device().last_consumer_error();
  EXPECT_EQ(test.device().counters().resets, 0u);
  test.Destroy();
  const FakeDevice::Counters counters = test.device().counters();
  EXPECT_EQ(counters.open_device_fds, 0);
  EXPECT_EQ(counters.open_dmabuf_fds, 0);
  EXPECT_EQ(counters.live_mappings, 0);
}

TEST_P(EveryProfileTest, BuffersOutliveTheSource) {
  TestSource test(GetParam());
  test.SetMode(640, 480);
  test.Fill(test.guest().shown_buffer(), 0x5a);
  const PlaneLook look = test.Look();
  test.Destroy();
  const Frame frame = *look.frame;
  auto read = frame.buffer->ReadCpu();
  if (read.ok()) {
    EXPECT_EQ(read->bytes()[100], 0x5a);
  } else {
    EXPECT_EQ(read.status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST_P(EveryProfileTest, KeepsAnErrorThatPassesFromBeingAFailure) {
  TestSource test(GetParam());
  test.SetMode(640, 480);
  ASSERT_EQ(test.Look().primary, Primary::kFrame);
  for (const int error : {EINVAL, EFAULT, ENOMEM, EIO}) {
    test.guest().FailQueries(error, 2);
    const PlaneLook look = test.LookAfter(kMillisecondNs);
    EXPECT_EQ(look.primary, Primary::kTransient) << error;
    EXPECT_EQ(look.problem.code(), absl::StatusCode::kUnavailable);
    test.guest().FailQueries(error, 0);
    EXPECT_EQ(test.LookAfter(10 * kMillisecondNs).primary, Primary::kFrame) << error;
  }
}

TEST_P(EveryProfileTest, GivesUpOnAnErrorThatLastsAndRecoversFromThat) {
  TestSource test(GetParam());
  test.SetMode(640, 480);
  ASSERT_EQ(test.Look().primary, Primary::kFrame);
  test.guest().FailQueries(EFAULT, 1'000'000);
  EXPECT_EQ(test.LookAfter(kMillisecondNs).primary, Primary::kTransient);
  EXPECT_EQ(test.LookAfter(1000 * kMillisecondNs).primary, Primary::kTransient);
  const PlaneLook failed = test.LookAfter(1100 * kMillisecondNs);
  EXPECT_EQ(failed.primary, Primary::kFailed);
  EXPECT_EQ(failed.problem.code(), absl::StatusCode::kUnavailable);
  test.guest().FailQueries(EFAULT, 0);
  EXPECT_EQ(test.LookAfter(kMillisecondNs).primary, Primary::kFrame);
}

TEST_P(EveryProfileTest, TakesEnodevForNoFramebuffer) {
  TestSource test(GetParam());
  test.guest().FailQueries(ENODEV, 1);
  EXPECT_EQ(test.Look().primary, Primary::kNoFramebuffer);
}

TEST_P(EveryProfileTest, TellsARemovedDeviceFromOneWithoutAFramebuffer) {
  TestSource test(GetParam());
  test.SetMode(640, 480);
  ASSERT_EQ(test.Look().primary, Primary::kFrame);
  test.guest().Unplug();
  const PlaneLook look = test.LookAfter(kMillisecondNs);
  EXPECT_EQ(look.primary, Primary::kGone);
  EXPECT_FALSE(look.problem.ok());
  EXPECT_TRUE(test.source().HandleEvents(0).gone);
}

TEST_P(EveryProfileTest, RefusesHostileNumbersAndRecovers) {
  TestSource test(GetParam());
  test.SetMode(640, 480);
  const auto expect = [&test](std::function<void(abi::GfxPlaneInfo&)> corrupt,
                              absl::StatusCode code) {
    test.guest().CorruptPlanes(std::move(corrupt));
    const PlaneLook look = test.LookAfter(kMillisecondNs);
    EXPECT_EQ(look.primary, Primary::kFailed);
    EXPECT_EQ(look.problem.code(), code) << look.problem;
    EXPECT_FALSE(look.frame.has_value());
  };
  expect([](auto& info) { info.width = 0xffffffff; }, absl::StatusCode::kInvalidArgument);
  expect([](auto& info) { info.height = 0; }, absl::StatusCode::kInvalidArgument);
  expect([](auto& info) { info.stride = 4; }, absl::StatusCode::kInvalidArgument);
  expect([](auto& info) { info.size = 100; }, absl::StatusCode::kInvalidArgument);
  expect([](auto& info) { info.drm_format = 0x12345678; }, absl::StatusCode::kUnimplemented);
  expect([](auto& info) { info.drm_format_mod = 0x00ffffffffffffff; },
         absl::StatusCode::kUnimplemented);
  // Consistent in itself, but more than the memory has.
  expect(
      [](auto& info) {
        info.drm_format_mod = 0;
        info.height = 4320;
        info.stride = 1 << 16;
        info.size = info.stride * info.height;
      },
      absl::StatusCode::kInvalidArgument);
  test.guest().CorruptPlanes(nullptr);
  EXPECT_EQ(test.LookAfter(kMillisecondNs).primary, Primary::kFrame);
  EXPECT_EQ(test.device().counters().consumer_errors, 0) << test.device().last_consumer_error();
}

TEST_P(EveryProfileTest, DoesNotPollWhileNobodyWatches) {
  TestSource test(GetParam());
  EXPECT_EQ(test.source().NextLookNs(), INT64_MAX);
  EXPECT_EQ(test.source().NextTimedWorkNs(), INT64_MAX);
  test.source().SetWatched(true, test.clock().NowNs());
  EXPECT_LE(test.source().NextLookNs(), test.clock().NowNs());
  test.source().SetWatched(false, test.clock().NowNs());
  EXPECT_EQ(test.source().NextLookNs(), INT64_MAX);
  EXPECT_EQ(test.source().NextTimedWorkNs(), INT64_MAX);
}

TEST_P(EveryProfileTest, ABorrowedDeviceSeesNothingButGfxCalls) {
  TestSource test(FakeDeviceOptions{.profile = GetParam()}, {}, /*borrowed=*/true);
  ASSERT_TRUE(test.status().ok()) << test.status();
  test.source().SetWatched(true, test.clock().NowNs());
  test.SetMode(640, 480);
  ASSERT_EQ(test.Look().primary, Primary::kFrame);
  test.source().SetWatched(false, test.clock().NowNs());
  test.Destroy();
  EXPECT_EQ(test.device().counters().resets, 0u);
  EXPECT_EQ(test.device().counters().edid_writes, 0u);
}

INSTANTIATE_TEST_SUITE_P(Profiles, EveryProfileTest, testing::ValuesIn(kFakeProfiles),
                         FakeProfileParamName);

class ReadableProfileTest : public testing::TestWithParam<FakeProfile> {};

TEST_P(ReadableProfileTest, ShowsWhatTheGuestPainted) {
  TestSource test(GetParam());
  test.SetMode(640, 480);
  test.Fill(test.guest().shown_buffer(), 0x11);
  const PlaneLook look = test.Look();
  EXPECT_EQ(UniformByte(*look.frame), 0x11);
  test.Fill(test.guest().shown_buffer(), 0x22);
  EXPECT_EQ(UniformByte(*look.frame), 0x22) << "the memory is shared, not copied";
}

// 800 x 600 ends within a page.
TEST_P(ReadableProfileTest, ReadsASizeThatIsNoMultipleOfAPage) {
  TestSource test(GetParam());
  test.SetMode(800, 600);
  test.Fill(test.guest().shown_buffer(), 0x33);
  EXPECT_EQ(UniformByte(*test.Look().frame), 0x33);
}

INSTANTIATE_TEST_SUITE_P(Profiles, ReadableProfileTest,
                         testing::Values(FakeProfile::kIdeal, FakeProfile::kMdpy,
                                         FakeProfile::kNvidia),
                         FakeProfileParamName);

class UnreadableProfileTest : public testing::TestWithParam<FakeProfile> {};

TEST_P(UnreadableProfileTest, HandsOutTheFrameAndSaysThatItNeedsAGpuImport) {
  TestSource test(GetParam());
  test.SetMode(800, 600);
  const PlaneLook look = test.Look();
  ASSERT_EQ(look.primary, Primary::kFrame);
  EXPECT_GE(look.frame->buffer->dmabuf_fd(), 0);
  const auto read = look.frame->buffer->ReadCpu();
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(read.status().message().find("needs a GPU import"), absl::string_view::npos);
}

INSTANTIATE_TEST_SUITE_P(Profiles, UnreadableProfileTest,
                         testing::Values(FakeProfile::kGvt, FakeProfile::kMbochs),
                         FakeProfileParamName);

class DmabufProfileTest : public testing::TestWithParam<FakeProfile> {};

TEST_P(DmabufProfileTest, FetchesEachBufferOnceHoweverOftenTheGuestFlips) {
  TestSource test(GetParam());
  test.SetMode(640, 480, 2);
  std::set<uint64_t> serials;
  for (int n = 0; n < 40; ++n) {
    test.guest().Flip(n % 2);
    serials.insert(test.LookAfter(16 * kMillisecondNs).frame->buffer->serial());
  }
  EXPECT_EQ(serials.size(), 2u);
  EXPECT_EQ(test.device().counters().gets, 2u);
  EXPECT_EQ(test.device().counters().consumer_errors, 0) << test.device().last_consumer_error();
}

TEST_P(DmabufProfileTest, SurvivesAFlipBetweenQueryAndGet) {
  TestSource test(GetParam());
  test.SetMode(640, 480, 2);
  test.guest().AfterNextQuery([&test] { test.guest().Flip(1); });
  ASSERT_EQ(test.Look().primary, Primary::kFrame);
  EXPECT_EQ(test.LookAfter(kMillisecondNs).primary, Primary::kFrame);
}

TEST_P(DmabufProfileTest, AsksAgainWhenAnIdIsStale) {
  TestSource test(GetParam());
  test.SetMode(640, 480);
  test.guest().FailGets(ENOENT, 1);
  EXPECT_EQ(test.Look().primary, Primary::kFrame);
  test.SetMode(800, 600);
  test.guest().FailGets(EINVAL, 1);
  EXPECT_EQ(test.LookAfter(kMillisecondNs).primary, Primary::kFrame);
}

TEST_P(DmabufProfileTest, AGetThatNeverWorksIsMemoryThatCannotBeReached) {
  TestSource test(GetParam());
  test.SetMode(640, 480);
  test.guest().FailGets(EINVAL, 1'000'000);
  EXPECT_EQ(test.Look().primary, Primary::kTransient);
  const PlaneLook look = test.LookAfter(2500 * kMillisecondNs);
  EXPECT_EQ(look.primary, Primary::kFailed);
  EXPECT_EQ(look.problem.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(DmabufProfileTest, SeesAFlipByAskingForIdsWithoutALook) {
  TestSource test(GetParam());
  test.SetMode(640, 480, 2);
  test.source().SetWatched(true, test.clock().NowNs());
  test.Look();
  EXPECT_FALSE(test.source().HandleEvents(test.clock().NowNs()).flipped);
  test.guest().Flip(1);
  test.clock().Set(test.source().NextTimedWorkNs());
  const int64_t seen_ns = test.clock().NowNs();
  EXPECT_TRUE(test.source().HandleEvents(seen_ns).flipped);
  const PlaneLook look = test.LookAfter(100'000);
  EXPECT_EQ(look.frame->flip_time_ns, seen_ns);
  EXPECT_EQ(look.frame->capture_time_ns, seen_ns + 100'000);
}

INSTANTIATE_TEST_SUITE_P(Profiles, DmabufProfileTest,
                         testing::Values(FakeProfile::kIdeal, FakeProfile::kGvt,
                                         FakeProfile::kMbochs),
                         FakeProfileParamName);

TEST(VfioSourceTest, SaysWhatTheDeviceIs) {
  TestSource ideal(FakeDeviceOptions{.profile = FakeProfile::kIdeal});
  EXPECT_EQ(ideal.source().info().plane_kind, PlaneKind::kDmabuf);
  EXPECT_EQ(ideal.source().info().flip_regime, FlipRegime::kIrq);
  EXPECT_TRUE(ideal.source().info().mode_settable);
  EXPECT_TRUE(ideal.source().info().degraded_reason.empty());
  TestSource mdpy(FakeProfile::kMdpy);
  EXPECT_EQ(mdpy.source().info().plane_kind, PlaneKind::kRegion);
  EXPECT_EQ(mdpy.source().info().flip_regime, FlipRegime::kPolling);
  EXPECT_FALSE(mdpy.source().info().mode_settable);
}

TEST(VfioSourceTest, AFileThatIsNoDeviceIsRefused) {
  ManualClock clock;
  FakeDevice device({}, clock);
  OpenedDevice opened;
  opened.device = Fd(KernelSys(), KernelSys().Open("/dev/null", 0));
  const auto source = MakeVfioSource(std::move(opened), {}, clock);
  EXPECT_EQ(source.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(VfioSourceTest, KeepsMbochsDmabufsThroughModeChangesBackAndForth) {
  TestSource test(FakeProfile::kMbochs);
  for (int round = 0; round < 60; ++round) {
    test.SetMode(640 + 4 * (round % 30), 480);
    ASSERT_EQ(test.LookAfter(kMillisecondNs).primary, Primary::kFrame);
  }
  EXPECT_EQ(test.device().counters().gets, 30u);
  EXPECT_EQ(test.device().counters().consumer_errors, 0) << test.device().last_consumer_error();
}

TEST(VfioSourceTest, LetsOldGvtDmabufsGoAndTakesRecycledIdsForWhatTheyAre) {
  TestSource test(FakeProfile::kGvt);
  for (int round = 0; round < 80; ++round) {
    test.SetMode(640 + 64 * (round % 7), 480 + 8 * (round % 11));
    const PlaneLook look = test.LookAfter(kMillisecondNs);
    ASSERT_EQ(look.primary, Primary::kFrame);
    ASSERT_EQ(look.frame->buffer->layout().width_px, 640u + 64 * (round % 7));
    ASSERT_EQ(look.frame->buffer->layout().height_px, 480u + 8 * (round % 11));
  }
  EXPECT_LE(test.device().counters().open_dmabuf_fds, 40);
  EXPECT_EQ(test.device().counters().consumer_errors, 0) << test.device().last_consumer_error();
}

/// All of it is claimed by one display of a real device.
constexpr size_t kLimitForOne =
    kFdsOwn + kFdsReserveMin + kFdsPerDisplay + kFdsPerDevice + kBuffersKeptMin;

TEST(VfioSourceTest, SaysThatItKeepsFewerDmabufs) {
  FdBudget budget(kLimitForOne);
  TestSource test(FakeDeviceOptions{.profile = FakeProfile::kGvt}, {}, false,
                  *budget.Take(FdNeeds()));
  test.source().SetWatched(true, 0);
  for (uint32_t n = 0; n < 2 * kBuffersKeptMin; ++n) {
    EXPECT_EQ(test.source().info().degraded_reason.empty(), n <= kBuffersKeptMin) << n;
    test.SetMode(640 + 64 * n, 480);
    ASSERT_EQ(test.LookAfter(kMillisecondNs).primary, Primary::kFrame);
  }
  EXPECT_NE(test.source().info().degraded_reason.find("LimitNOFILE"), std::string::npos);
  test.source().SetWatched(false, 0);
  EXPECT_EQ(test.source().info().degraded_reason, "");
}

TEST(VfioSourceTest, WithoutAnFdForAnotherMbochsBufferTheLookFailsAtOnceAndWithTheReason) {
  FdBudget budget(kLimitForOne);
  TestSource test(FakeDeviceOptions{.profile = FakeProfile::kMbochs}, {}, false,
                  *budget.Take(FdNeeds()));
  for (uint32_t n = 0; n < kBuffersKeptMin; ++n) {
    test.SetMode(640 + 4 * n, 480);
    ASSERT_EQ(test.LookAfter(kMillisecondNs).primary, Primary::kFrame);
  }
  test.SetMode(800, 600);
  const PlaneLook look = test.LookAfter(kMillisecondNs);
  EXPECT_EQ(look.primary, Primary::kFailed);
  EXPECT_EQ(look.problem.code(), absl::StatusCode::kResourceExhausted);
  test.SetMode(640, 480);
  EXPECT_EQ(test.LookAfter(kMillisecondNs).primary, Primary::kFrame);
  EXPECT_EQ(test.device().counters().consumer_errors, 0) << test.device().last_consumer_error();
}

TEST(VfioSourceTest, ARegionClaimsNoDmabufs) {
  FdBudget budget(kLimitForOne);
  TestSource test(FakeDeviceOptions{.profile = FakeProfile::kMdpy}, {}, false,
                  *budget.Take(FdNeeds()));
  EXPECT_EQ(budget.Read().claimed, kFdsPerDisplay + kFdsPerDevice);
}

TEST(VfioSourceTest, HandsOutATiledFrame) {
  TestSource test(FakeProfile::kGvt);
  test.SetMode(1024, 768);
  EXPECT_NE(test.Look().frame->buffer->layout().modifier, 0u);
}

TEST(VfioSourceTest, IsGoneOnceTheVmmHasExited) {
  ManualClock clock;
  FakeDevice device({}, clock);
  OpenedDevice opened;
  opened.device = Fd(device, device.OpenDevice());
  // A pipe whose writer is closed is readable, as the pidfd of a dead process is.
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  opened.vmm_pidfd = Fd(KernelSys(), ends[0]);
  Fd writer(KernelSys(), ends[1]);
  auto source = MakeVfioSource(std::move(opened), {}, clock);
  ASSERT_TRUE(source.ok());
  EXPECT_FALSE((*source)->HandleEvents(clock.NowNs()).gone);
  writer.Reset();
  EXPECT_TRUE((*source)->HandleEvents(clock.NowNs()).gone);
  EXPECT_EQ((*source)->Look(clock.NowNs()).primary, Primary::kGone);
  source->reset();
  EXPECT_EQ(device.counters().open_device_fds, 0);
}

class FlipDialectTest : public testing::TestWithParam<FakeFlipDialect> {};

TEST_P(FlipDialectTest, AFlipWakesTheCallerWhileWatched) {
  const bool is_ioctl = GetParam() == FakeFlipDialect::kFlipEventfd;
  TestSource test(
      {.profile = FakeProfile::kIdeal, .flip_dialect = GetParam()},
      {.flip_events = is_ioctl ? FlipEventChoice::kEventfdIoctl : FlipEventChoice::kAuto});
  EXPECT_EQ(test.source().info().flip_regime, is_ioctl ? FlipRegime::kEventfd : FlipRegime::kIrq)
      << test.source().info().degraded_reason;
  test.SetMode(640, 480, 2);
  test.source().SetWatched(true, test.clock().NowNs());
  test.source().HandleEvents(test.clock().NowNs());
  test.Look();
  EXPECT_FALSE(test.source().HandleEvents(test.clock().NowNs()).flipped);
  test.clock().Advance(5 * kMillisecondNs);
  const int64_t flip_ns = test.clock().NowNs();
  test.guest().Flip(1);
  // RFC v3 and v4 signal at the next vertical blank.
  test.guest().Vblank();
  EXPECT_TRUE(test.source().HandleEvents(flip_ns).flipped);
  EXPECT_EQ(test.LookAfter(kMillisecondNs).frame->flip_time_ns, flip_ns);

  test.source().SetWatched(false, test.clock().NowNs());
  test.guest().Flip(0);
  test.guest().Vblank();
  EXPECT_FALSE(test.source().HandleEvents(test.clock().NowNs()).flipped);
  test.source().SetWatched(true, test.clock().NowNs());
  test.source().HandleEvents(test.clock().NowNs());
  test.guest().Flip(1);
  test.guest().Vblank();
  EXPECT_TRUE(test.source().HandleEvents(test.clock().NowNs()).flipped);
}

INSTANTIATE_TEST_SUITE_P(Dialects, FlipDialectTest,
                         testing::Values(FakeFlipDialect::kFlipEventfd, FakeFlipDialect::kIrqV2,
                                         FakeFlipDialect::kIrqV3, FakeFlipDialect::kIrqV5,
                                         FakeFlipDialect::kIrqV6));

TEST(WatchTest, AFlipBeforeThePauseIsNotTheTimeOfTheNextFrame) {
  TestSource test(FakeDeviceOptions{.profile = FakeProfile::kIdeal});
  test.SetMode(640, 480, 2);
  test.source().SetWatched(true, test.clock().NowNs());
  test.source().HandleEvents(test.clock().NowNs());
  test.Look();
  test.guest().Flip(1);
  ASSERT_TRUE(test.source().HandleEvents(test.clock().NowNs()).flipped);
  test.source().SetWatched(false, test.clock().NowNs());
  test.clock().Advance(60'000 * kMillisecondNs);
  test.source().SetWatched(true, test.clock().NowNs());
  const PlaneLook look = test.Look();
  ASSERT_EQ(look.primary, Primary::kFrame);
  EXPECT_EQ(look.frame->flip_time_ns, test.clock().NowNs());
}

TEST(WatchTest, AnErrorBeforeThePauseMakesNoFailureOfOneThatPasses) {
  TestSource test(FakeDeviceOptions{.profile = FakeProfile::kIdeal});
  test.SetMode(640, 480);
  test.source().SetWatched(true, test.clock().NowNs());
  test.guest().FailQueries(EINVAL, 2);
  ASSERT_EQ(test.Look().primary, Primary::kTransient);
  test.source().SetWatched(false, test.clock().NowNs());
  test.clock().Advance(60'000 * kMillisecondNs);
  test.source().SetWatched(true, test.clock().NowNs());
  EXPECT_EQ(test.Look().primary, Primary::kTransient);
  EXPECT_LE(test.source().NextLookNs(), test.clock().NowNs() + 5 * kMillisecondNs);
  EXPECT_EQ(test.LookAfter(5 * kMillisecondNs).primary, Primary::kFrame);
}

TEST(FlipEventsTest, TheIoctlDraftOnTodaysKernelFallsBackToPollingAndSaysSo) {
  TestSource test({.profile = FakeProfile::kIdeal, .flip_dialect = FakeFlipDialect::kNone},
                  {.flip_events = FlipEventChoice::kEventfdIoctl});
  ASSERT_TRUE(test.status().ok());
  EXPECT_EQ(test.source().info().flip_regime, FlipRegime::kPolling);
  EXPECT_FALSE(test.source().info().degraded_reason.empty());
}

TEST(FlipEventsTest, NoneMeansPollingEvenOnADeviceThatHasThem) {
  TestSource test({.profile = FakeProfile::kIdeal}, {.flip_events = FlipEventChoice::kNone});
  EXPECT_EQ(test.source().info().flip_regime, FlipRegime::kPolling);
  EXPECT_TRUE(test.source().wait_fds().empty());
}

class DraftDialectTest : public testing::TestWithParam<std::pair<FakeDialect, AbiDialect>> {};

TEST_P(DraftDialectTest, ShowsFlipsAndModeChanges) {
  TestSource test({.profile = FakeProfile::kIdeal, .dialect = GetParam().first},
                  {.dialect = GetParam().second});
  ASSERT_TRUE(test.status().ok()) << test.status();
  test.SetMode(640, 480, 2);
  test.Fill(0, 1);
  test.Fill(1, 2);
  std::set<uint64_t> serials;
  for (int n = 0; n < 6; ++n) {
    test.guest().Flip(n % 2);
    const PlaneLook look = test.LookAfter(16 * kMillisecondNs);
    ASSERT_EQ(look.primary, Primary::kFrame) << look.problem;
    EXPECT_EQ(UniformByte(*look.frame), 1 + n % 2);
    serials.insert(look.frame->buffer->serial());
  }
  EXPECT_EQ(serials.size(), 2u);
  test.SetMode(800, 600);
  EXPECT_EQ(test.Look().frame->buffer->layout().width_px, 800u);
  test.guest().Disable();
  EXPECT_EQ(test.Look().primary, Primary::kBlanked);
  test.Destroy();
  EXPECT_EQ(test.device().counters().open_dmabuf_fds, 0);
}

INSTANTIATE_TEST_SUITE_P(Dialects, DraftDialectTest,
                         testing::Values(std::pair{FakeDialect::kV15, AbiDialect::kV15},
                                         std::pair{FakeDialect::kV1, AbiDialect::kV1}));

TEST(WrongDialectTest, TheWrongDialectIsAnErrorAndNeverStdin) {
  TestSource test({.profile = FakeProfile::kIdeal, .dialect = FakeDialect::kV15},
                  {.dialect = AbiDialect::kFinal});
  if (!test.status().ok()) return;
  test.SetMode(640, 480);
  for (int n = 0; n < 3; ++n) {
    const PlaneLook look = test.LookAfter(3000 * kMillisecondNs);
    EXPECT_NE(look.primary, Primary::kFrame);
  }
}

}  // namespace
}  // namespace planecast
