// Any number of viewers, well-behaved or not: nobody hurts anybody else.
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/e2e/e2e_testing.h"

extern char** environ;

namespace planecast::testing {
namespace {

TEST(StalledViewer, HurtsNobodyAndResumesWithAKeyFrame) {
  TestDaemon daemon;
  daemon.AttachFake("d", "ideal", "video");
  const auto slow_client = daemon.NewClient();
  TestViewer stalled(*slow_client, "d", {.stream = {}, .decode = true, .block_after = 3});
  ASSERT_TRUE(stalled.WaitFor([](const TestViewer& v) { return v.unit_count == 3; }));
  TestViewer healthy(daemon.client(), "d");
  ASSERT_TRUE(healthy.WaitForPictures(60));
  healthy.Stop();
  ExpectSound(healthy);
  EXPECT_EQ(healthy.gap_count, 0u) << "the stalled viewer cost the healthy one units";
  stalled.Resume();
  ASSERT_TRUE(stalled.WaitFor([](const TestViewer& v) { return v.gap_count > 0; }));
  const size_t before = stalled.pictures.size();
  ASSERT_TRUE(stalled.WaitForPictures(before + 10));
  stalled.Stop();
  ExpectSound(stalled);
}

TEST(ManyViewers, FiftyComeAndGo) {
  TestDaemon daemon;
  daemon.AttachFake("d", "ideal", "desktop", 320, 240);
  TestViewer steady(daemon.client(), "d");
  ASSERT_TRUE(steady.WaitForPictures(1));
  const size_t fds_before = OpenFdCount();
  for (int round = 0; round < 5; ++round) {
    std::vector<std::unique_ptr<TestViewer>> crowd;
    for (int i = 0; i < 10; ++i) {
      crowd.push_back(std::make_unique<TestViewer>(
          daemon.client(), "d",
          TestViewer::Options{.stream = {}, .decode = i == 0, .block_after = -1}));
    }
    for (auto& viewer : crowd) {
      ASSERT_TRUE(viewer->WaitFor([](const TestViewer& v) { return v.unit_count >= 2; }));
    }
    for (auto& viewer : crowd) {
      viewer->Stop();
      ExpectSound(*viewer);
    }
  }
  ASSERT_TRUE(daemon.WaitForViewers("d", 1));
  EXPECT_LE(OpenFdCount(), fds_before + 2);
  const size_t before = steady.pictures.size();
  ASSERT_TRUE(steady.WaitForPictures(before + 5));
  steady.Stop();
  ExpectSound(steady);
  EXPECT_EQ(steady.gap_count, 0u);
}

TEST(KilledClient, IsForgottenAndTheOthersGoOn) {
  TestDaemon daemon;
  daemon.AttachFake("d", "ideal", "video");
  TestViewer steady(daemon.client(), "d");
  ASSERT_TRUE(steady.WaitForPictures(1));
  const std::string clip = daemon.folder() + "/clip.h264";
  std::vector<std::string> words = {PLANECAST_CLI, "--server", daemon.server(), "record", "d",
                                    "-f",          clip,       "--seconds",     "60"};
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  ASSERT_EQ(posix_spawn(&pid, PLANECAST_CLI, nullptr, nullptr, arguments.data(), environ), 0);
  const bool joined = daemon.WaitForViewers("d", 2);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  ASSERT_TRUE(joined);
  EXPECT_TRUE(daemon.WaitForViewers("d", 1));
  const size_t before = steady.pictures.size();
  ASSERT_TRUE(steady.WaitForPictures(before + 10));
  steady.Stop();
  ExpectSound(steady);
}

TEST(Detach, EndsStreamsWithAGoodbyeAndClosesEveryFd) {
  TestDaemon daemon;
  const size_t fds_before = OpenFdCount();
  {
    daemon.AttachFake("d", "ideal", "desktop");
    TestViewer viewer(daemon.client(), "d");
    ASSERT_TRUE(viewer.WaitForPictures(3));
    ASSERT_TRUE(daemon.client().DetachDisplay("d").ok());
    ASSERT_TRUE(viewer.WaitFor([](const TestViewer& v) { return !v.disconnects.empty(); }));
    viewer.Stop();
    ASSERT_EQ(viewer.goodbyes.size(), 1u);
    EXPECT_EQ(viewer.goodbyes.back().reason(), v1::Goodbye::REASON_DETACHED);
    ASSERT_GE(viewer.events.size(), 2u);
    EXPECT_EQ(viewer.events.end()[-2], "goodbye");
  }
  // The client's own connection may have opened some.
  EXPECT_LE(OpenFdCount(), fds_before + 6);
}

TEST(Drain, SaysGoodbyeAndWhenToComeBack) {
  TestDaemon daemon;
  daemon.AttachFake("d", "ideal", "desktop");
  TestViewer viewer(daemon.client(), "d",
                    {.stream = {.reconnect = false}, .decode = true, .block_after = -1});
  ASSERT_TRUE(viewer.WaitForPictures(1));
  daemon.daemon().Drain();
  ASSERT_TRUE(viewer.WaitFor([](const TestViewer& v) { return !v.goodbyes.empty(); }));
  viewer.Stop();
  EXPECT_EQ(viewer.goodbyes.back().reason(), v1::Goodbye::REASON_DRAINING);
  EXPECT_TRUE(viewer.goodbyes.back().has_retry_after());
}

}  // namespace
}  // namespace planecast::testing
