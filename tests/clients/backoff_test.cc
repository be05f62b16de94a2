#include "clients/cpp/backoff.h"

#include <gtest/gtest.h>

namespace planecast {
namespace {

using std::chrono::milliseconds;

TEST(BackoffTest, DoublesWithinAFifthUpToTheLimit) {
  Backoff backoff(milliseconds(100), milliseconds(350));
  for (const int expected : {100, 200, 350, 350, 350}) {
    const milliseconds wait = backoff.Next();
    EXPECT_GE(wait.count(), expected * 8 / 10 - 1);
    EXPECT_LE(wait.count(), expected * 12 / 10 + 1);
  }
}

TEST(BackoffTest, StartsAfreshAfterASuccess) {
  Backoff backoff(milliseconds(100), milliseconds(10'000));
  for (int i = 0; i < 5; ++i) backoff.Next();
  backoff.Reset();
  EXPECT_LE(backoff.Next(), milliseconds(121));
}

}  // namespace
}  // namespace planecast
