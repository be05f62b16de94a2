#include "service/rpc/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace planecast {
namespace {

TEST(WorkerPoolTest, JobsRunAndTheLastOnesBeforeTheEnd) {
  std::atomic<int> done = 0;
  {
    WorkerPool pool(2, 100);
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(pool.Submit([&done] { ++done; }));
  }
  EXPECT_EQ(done, 50);
}

TEST(WorkerPoolTest, AFullQueueRefuses) {
  std::promise<void> release;
  std::promise<void> started;
  std::atomic<int> done = 0;
  {
    WorkerPool pool(1, 2);
    ASSERT_TRUE(pool.Submit([&] {
      started.set_value();
      release.get_future().wait();
    }));
    started.get_future().wait();
    EXPECT_TRUE(pool.Submit([&done] { ++done; }));
    EXPECT_TRUE(pool.Submit([&done] { ++done; }));
    EXPECT_FALSE(pool.Submit([&done] { ++done; }));
    release.set_value();
  }
  EXPECT_EQ(done, 2);
}

}  // namespace
}  // namespace planecast
