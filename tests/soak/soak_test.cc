// Attach, stream, detach, again and again: no fd, mapping or memory may stay behind.
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "tests/e2e/e2e_testing.h"

namespace planecast::testing {
namespace {

// The first cycles fill caches, thread pools and the allocator's arenas.
constexpr int kWarmUpCycles = 10;
/// Cycles that are looked at, unless the environment's PLANECAST_SOAK_CYCLES says otherwise.
constexpr int kCycles = 80;
// gRPC keeps a few wake-up fds for later; a leak would be one a cycle.
constexpr size_t kFdGrowthMax = 4;
// Fragmentation and gRPC's own slow growth; a leaked frame of this test is 920 KB a cycle.
[[maybe_unused]] constexpr int64_t kMemoryGrowthMaxBytes = 20'000'000;

int CycleCount() {
  const char* wish = std::getenv("PLANECAST_SOAK_CYCLES");
  const int cycles = wish == nullptr ? kCycles : std::atoi(wish);
  return cycles > 0 ? cycles : kCycles;
}

size_t MappingCount() {
  std::ifstream maps("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);) ++count;
  return count;
}

int64_t ResidentBytes() {
  malloc_trim(0);
  std::ifstream statm("/proc/self/statm");
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

// Mappings of device memory, by what the fake device's memory is.
size_t MemfdMappingCount() {
  std::ifstream maps("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);) count += line.find("/memfd:") != line.npos;
  return count;
}

void Cycle(TestDaemon& daemon, const std::string& profile) {
  daemon.AttachFake("d", profile, "video", 640, 360, 60);
  {
    TestViewer viewer(daemon.client(), "d", {.stream = {}, .decode = false, .block_after = -1});
    ASSERT_TRUE(viewer.WaitFor([](const TestViewer& v) { return v.unit_count >= 3; }));
    viewer.Stop();
  }
  ASSERT_TRUE(daemon.client().DetachDisplay("d").ok());
}

TEST(Soak, AttachStreamDetachLeavesNothingBehind) {
  // One heap for all threads: what a dead thread's own heap keeps is no leak, but looks like one.
  mallopt(M_ARENA_MAX, 1);
  TestDaemon daemon;
  for (int i = 0; i < kWarmUpCycles; ++i) Cycle(daemon, i % 2 == 0 ? "ideal" : "mdpy");
  const size_t fds = OpenFdCount();
  const size_t mappings = MappingCount();
  const int64_t resident_bytes = ResidentBytes();
  EXPECT_EQ(MemfdMappingCount(), 0u);
  const int cycles = CycleCount();
  for (int i = 0; i < cycles; ++i) Cycle(daemon, i % 2 == 0 ? "ideal" : "mdpy");
  EXPECT_LE(OpenFdCount(), fds + kFdGrowthMax);
  EXPECT_EQ(MemfdMappingCount(), 0u);
#ifndef PLANECAST_SANITIZE_ADDRESS
  // The sanitizer's own quarantine and shadow grow; it looks for leaks by itself.
  EXPECT_LE(MappingCount(), mappings + 20) << "thread stacks come and go, but not that many";
  EXPECT_LE(ResidentBytes() - resident_bytes, kMemoryGrowthMaxBytes);
#else
  static_cast<void>(mappings);
  static_cast<void>(resident_bytes);
#endif
}

}  // namespace
}  // namespace planecast::testing
