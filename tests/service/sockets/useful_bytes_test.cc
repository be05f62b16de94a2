// What a connection may send that is of no use.
#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "service/sockets/connection_watch.h"
#include "tests/service/sockets/connection_watch_testing.h"

namespace planecast {
namespace {

using testing::AwaitBytes;
using testing::Ends;
using testing::kBurst;
using testing::kSecondNs;
using testing::kUnknownRate;
using testing::Read;
using testing::Send;
using testing::TcpPair;

class UsefulBytesTest : public testing::ConnectionWatchTest {
 protected:
  /// Only what is of no use is limited from now on.
  void WatchWithRoom() {
    options_.limits.bytes_per_s = 1e9;
    options_.limits.unexplained_bytes_per_s = kUnknownRate;
    Make();
  }
  /// So many bytes come and are read, each second. The seconds until it is cut off; 10 at most.
  int SecondsOf(const Ends& ends, int bytes) {
    for (int second = 0; second < 10; ++second) {
      Send(ends.client, static_cast<size_t>(bytes));
      AwaitBytes(ends.server, bytes);
      watch_->Turn(0);
      if (useful_ != nullptr) useful_();
      Look(kSecondNs);
      if (!ended_.empty()) return second;
      Read(ends.server, static_cast<size_t>(bytes));
    }
    return 10;
  }

  std::function<void()> useful_;
};

TEST_F(UsefulBytesTest, WhatIsOfNoUseThatIsKnownOfMayBeLittle) {
  WatchWithRoom();
  const Ends ends = TcpPair();
  Watch(ends, Tcp("c"));
  EXPECT_EQ(SecondsOf(ends, kUnknownRate), 10);
  EXPECT_EQ(SecondsOf(ends, 10 * kUnknownRate), kBurst / (9 * kUnknownRate));
  EXPECT_EQ(ended_, (Ended{{"c", ConnectionRefusal::kBytes}}));
}

TEST_F(UsefulBytesTest, WhatCameWithMessagesAndPicturesAndCallsIsOfUse) {
  WatchWithRoom();
  const Ends ends = TcpPair();
  Watch(ends, Tcp("c"));
  const std::shared_ptr<UsefulBytes> useful = watch_->AddViewers("c", 1);
  ASSERT_NE(useful, nullptr);
  useful_ = [&] {
    useful->NoteMessage(1);
    useful->NoteMessage(1);
  };
  EXPECT_EQ(SecondsOf(ends, kUnknownRate + 4 * (9 + 5 + 29 + 1)), 10);
  useful_ = [&] { useful->NoteWritten(100); };
  EXPECT_EQ(SecondsOf(ends, kUnknownRate + 2 * (2 * (9 + 4) + 29)), 10);
  // Of a large picture the window is given back many times.
  useful_ = [&] { useful->NoteWritten(64 << 10); };
  EXPECT_EQ(SecondsOf(ends, kUnknownRate + 9 * 2 * (2 * (9 + 4) + 29)), 10);
  useful_ = [&] { watch_->NoteCall("c"); };
  EXPECT_EQ(SecondsOf(ends, kBurst), 10);
  useful_ = nullptr;
  clock_.Advance(100 * kSecondNs);
  EXPECT_EQ(SecondsOf(ends, kBurst / 2), 2);
  EXPECT_EQ(ended_, (Ended{{"c", ConnectionRefusal::kBytes}}));
}

}  // namespace
}  // namespace planecast
