#include "service/rpc/worker_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

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

TEST(WorkerPoolTest, WhatCanWaitRunsAtLowPriority) {
  int nice = 0;
  {
    WorkerPool pool(1, 1, WorkerPool::Priority::kLow);
    ASSERT_TRUE(pool.Submit([&nice] { nice = getpriority(PRIO_PROCESS, 0); }));
  }
  EXPECT_GE(nice, 10);
  int usual = 0;
  {
    WorkerPool pool(1, 1);
    ASSERT_TRUE(pool.Submit([&usual] { usual = getpriority(PRIO_PROCESS, 0); }));
  }
  EXPECT_EQ(usual, getpriority(PRIO_PROCESS, 0)) << "the process goes on as it was";
}

}  // namespace
}  // namespace planecast
