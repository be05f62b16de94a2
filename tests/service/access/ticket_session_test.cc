// Sessions: what becomes of a ticket once a stream starts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "service/access/ticket_store.h"
#include "tests/service/access/access_testing.h"
#include "vfio/clock.h"

namespace planecast {
namespace {

using ::planecast::testing::DeskTicket;
using ::planecast::testing::kMs;
using ::planecast::testing::kSecond;
using ::planecast::testing::SharedClock;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TicketSessionTest : public ::testing::Test {
 protected:
  using Result = std::variant<SessionHold, TicketRefusal>;

  void Make(const TicketSpec& spec) {
    TicketStore::Made made = *store_->Create(spec);
    secret_ = made.secret;
    id_ = made.info.id;
  }
  Result Begin(const std::string& resumed = "") {
    return store_->BeginStream(secret_, resumed, {"desk", "uid-1"}, {});
  }
  bool Refused(const std::string& resumed = "") {
    const Result result = Begin(resumed);
    return std::holds_alternative<TicketRefusal>(result) &&
           std::get<TicketRefusal>(result) == TicketRefusal::kInvalid;
  }
  /// A stream that runs, and says in ends_ when its right ends.
  SessionHold Stream(const std::string& viewer_id, const std::string& resumed = "") {
    SessionHold hold = std::get<SessionHold>(Begin(resumed));
    hold.Start(viewer_id, [this](const std::string& why) { ends_.push_back(why); });
    return hold;
  }
  bool MayCall(const std::string& viewer_id, bool only_reads = false) {
    return std::holds_alternative<TicketCall>(
        store_->CheckCall(secret_, viewer_id, {}, only_reads));
  }
  int UsesLeft() { return store_->List().empty() ? -1 : store_->List()[0].uses_left; }
  int Sessions() { return store_->List().empty() ? -1 : store_->List()[0].sessions; }

  ManualClock clock_;
  std::shared_ptr<TicketStore> store_ = TicketStore::Make(clock_);
  std::string secret_;
  std::string id_;
  std::vector<std::string> ends_;
};

TEST_F(TicketSessionTest, OneUseIsOneViewer) {
  Make(DeskTicket());
  const SessionHold hold = Stream("v1");
  EXPECT_EQ(UsesLeft(), 0);
  EXPECT_EQ(Sessions(), 1);
  EXPECT_TRUE(Refused()) << "a second stream beside it";
  EXPECT_THAT(ends_, IsEmpty());
}

TEST_F(TicketSessionTest, ASecondStreamIsRefusedEvenBeforeTheFirstOneStarted) {
  Make(DeskTicket());
  const Result first = Begin();
  ASSERT_TRUE(std::holds_alternative<SessionHold>(first));
  EXPECT_TRUE(Refused());
  EXPECT_FALSE(MayCall("", true));
}

TEST_F(TicketSessionTest, WhileItRunsCallsNeedTicketAndViewerId) {
  Make(DeskTicket());
  const SessionHold hold = Stream("v1");
  EXPECT_TRUE(MayCall("v1"));
  for (const bool only_reads : {false, true}) {
    EXPECT_EQ(std::get<TicketRefusal>(store_->CheckCall(secret_, "", {}, only_reads)),
              TicketRefusal::kInvalid);
    EXPECT_FALSE(MayCall("v2", only_reads));
    EXPECT_FALSE(MayCall("v", only_reads));
  }
  const auto call = std::get<TicketCall>(store_->CheckCall(secret_, "v1", {}, false));
  EXPECT_TRUE(call.session.has_value());
  EXPECT_EQ(call.ends_ns, clock_.NowNs() + int64_t{12} * 3600 * kSecond);
  EXPECT_TRUE(store_->StillValid(call));
}

TEST_F(TicketSessionTest, AnotherTicketsViewerIdDoesNot) {
  Make(DeskTicket());
  const SessionHold hold = Stream("v1");
  Make(DeskTicket());
  EXPECT_FALSE(MayCall("v1"));
  EXPECT_TRUE(Refused("v1"));
}

TEST_F(TicketSessionTest, GoesOnFor30SecondsAfterItsStream) {
  Make(DeskTicket());
  TicketCall call;
  {
    const SessionHold hold = Stream("v1");
    call = std::get<TicketCall>(store_->CheckCall(secret_, "v1", {}, false));
    clock_.Advance(3600 * kSecond);
    store_->Tick();
  }
  clock_.Advance(30 * kSecond - 1);
  store_->Tick();
  EXPECT_TRUE(MayCall("v1"));
  EXPECT_TRUE(store_->StillValid(call));
  EXPECT_TRUE(Refused()) << "a new stream needs the viewer id";
  EXPECT_FALSE(Refused("v1"));
  clock_.Advance(1);
  EXPECT_FALSE(MayCall("v1"));
  EXPECT_FALSE(store_->StillValid(call));
  EXPECT_TRUE(Refused("v1"));
  EXPECT_THAT(ends_, IsEmpty()) << "its stream was over before";
}

TEST_F(TicketSessionTest, AReconnectThatCameToNothingDoesNotProlongTheGrace) {
  Make(DeskTicket());
  { const SessionHold hold = Stream("v1"); }
  clock_.Advance(20 * kSecond);
  EXPECT_FALSE(Refused("v1"));
  clock_.Advance(10 * kSecond);
  EXPECT_FALSE(MayCall("v1"));
}

TEST_F(TicketSessionTest, AReconnectGoesOnAndTakesNoUse) {
  TicketSpec spec = DeskTicket();
  spec.uses = 2;
  Make(spec);
  { const SessionHold hold = Stream("v1"); }
  clock_.Advance(29 * kSecond);
  {
    const SessionHold again = Stream("v1", "v1");
    EXPECT_EQ(UsesLeft(), 1);
    EXPECT_EQ(Sessions(), 1);
    clock_.Advance(3600 * kSecond);
    store_->Tick();
    EXPECT_TRUE(MayCall("v1"));
  }
  clock_.Advance(29 * kSecond);
  EXPECT_TRUE(MayCall("v1")) << "each stream has its 30 s after it";
}

TEST_F(TicketSessionTest, AReconnectBeforeTheServerNoticedTakesTheSessionOver) {
  Make(DeskTicket());
  std::optional<SessionHold> old = Stream("v1");
  SessionHold again = Stream("v1", "v1");
  EXPECT_EQ(Sessions(), 1);
  old.reset();
  clock_.Advance(31 * kSecond);
  store_->Tick();
  EXPECT_TRUE(MayCall("v1")) << "the old stream's end started no grace period";
  EXPECT_THAT(ends_, IsEmpty());
  store_->Revoke(id_);
  EXPECT_THAT(ends_, ElementsAre("The ticket was revoked."));
}

TEST_F(TicketSessionTest, AnOldStreamSentAwayDoesNotEndTheNewOnesSession) {
  Make(DeskTicket());
  SessionHold old = Stream("v1");
  const SessionHold again = Stream("v1", "v1");
  old.EndForGood();
  EXPECT_TRUE(MayCall("v1"));
  old.Abandon();
  EXPECT_TRUE(MayCall("v1"));
}

TEST_F(TicketSessionTest, AnOldStreamDoesNotKeepTheNewOnesSession) {
  Make(DeskTicket());
  const SessionHold old = Stream("v1");
  { const SessionHold again = Stream("v1", "v1"); }
  clock_.Advance(30 * kSecond);
  EXPECT_FALSE(MayCall("v1"));
  store_->Tick();
  EXPECT_EQ(ends_.size(), 1U) << "if it is still there it hears of the end";
}

TEST_F(TicketSessionTest, AnOldStreamThatNobodyEndedHearsOfARevocationToo) {
  Make(DeskTicket());
  const SessionHold old = Stream("v1");
  const SessionHold again = Stream("v1", "v1");
  store_->Revoke(id_);
  EXPECT_EQ(ends_.size(), 2U);
}

TEST_F(TicketSessionTest, AReconnectThatCameToNothingLeavesTheRunningStreamItsRight) {
  Make(DeskTicket());
  const SessionHold old = Stream("v1");
  std::get<SessionHold>(Begin("v1")).Abandon();
  clock_.Advance(3600 * kSecond);
  store_->Tick();
  EXPECT_TRUE(MayCall("v1"));
  store_->Revoke(id_);
  EXPECT_EQ(ends_.size(), 1U);
}

TEST_F(TicketSessionTest, ReconnectsNeedTheViewersOwnId) {
  Make(DeskTicket());
  const SessionHold hold = Stream("v1");
  EXPECT_TRUE(Refused("v2"));
  EXPECT_TRUE(Refused("v1 "));
}

TEST_F(TicketSessionTest, TheTimeOfASessionEndsItsStream) {
  Make(DeskTicket());
  const SessionHold hold = Stream("v1");
  clock_.Advance(int64_t{12} * 3600 * kSecond - 1);
  store_->Tick();
  EXPECT_THAT(ends_, IsEmpty());
  EXPECT_TRUE(MayCall("v1"));
  clock_.Advance(1);
  EXPECT_FALSE(MayCall("v1")) << "even before Tick";
  store_->Tick();
  store_->Tick();
  EXPECT_THAT(ends_, ElementsAre("The ticket's time is over."));
  EXPECT_TRUE(store_->List().empty());
}

TEST_F(TicketSessionTest, AReconnectGivesNoMoreTime) {
  Make(DeskTicket());
  { const SessionHold hold = Stream("v1"); }
  clock_.Advance(20 * kSecond);
  const SessionHold again = Stream("v1", "v1");
  clock_.Advance(int64_t{12} * 3600 * kSecond - 20 * kSecond);
  store_->Tick();
  EXPECT_THAT(ends_, ElementsAre("The ticket's time is over."));
}

TEST_F(TicketSessionTest, NoGraceOutlivesTheSessionsTime) {
  TicketSpec spec = DeskTicket();
  spec.session_max_ns = 10 * kSecond;
  Make(spec);
  { const SessionHold hold = Stream("v1"); }
  clock_.Advance(10 * kSecond);
  EXPECT_FALSE(MayCall("v1"));
  EXPECT_TRUE(Refused("v1"));
}

TEST_F(TicketSessionTest, NoSessionOutlivesItsMakersRight) {
  TicketSpec spec = DeskTicket();
  spec.ends_ns = clock_.NowNs() + 50 * kSecond;
  Make(spec);
  clock_.Advance(40 * kSecond);
  const SessionHold hold = Stream("v1");
  EXPECT_EQ(std::get<TicketCall>(store_->CheckCall(secret_, "v1", {}, true)).ends_ns,
            *spec.ends_ns);
  clock_.Advance(10 * kSecond);
  store_->Tick();
  EXPECT_THAT(ends_, ElementsAre("The ticket's time is over."));
}

TEST_F(TicketSessionTest, LivesOnBeyondItsStartTimeAndIsForgottenOnceVoid) {
  TicketSpec spec = DeskTicket();
  spec.uses = 2;
  Make(spec);
  const auto reader = std::get<TicketCall>(store_->CheckCall(secret_, "", {}, true));
  std::optional<SessionHold> hold = Stream("v1");
  clock_.Advance(100 * kSecond);
  store_->Tick();
  EXPECT_TRUE(MayCall("v1"));
  EXPECT_TRUE(store_->StillValid(reader)) << "the ticket was started since";
  EXPECT_TRUE(Refused()) << "the second use came too late";
  EXPECT_EQ(store_->List().size(), 1U);
  hold.reset();
  clock_.Advance(30 * kSecond);
  EXPECT_FALSE(store_->StillValid(reader));
  store_->Tick();
  EXPECT_TRUE(store_->List().empty());
}

TEST_F(TicketSessionTest, AUsedUpTicketIsForgottenWhenItsSessionIs) {
  Make(DeskTicket());
  { const SessionHold hold = Stream("v1"); }
  EXPECT_EQ(store_->List().size(), 1U);
  clock_.Advance(30 * kSecond);
  EXPECT_TRUE(store_->List().empty());
}

TEST_F(TicketSessionTest, SeveralUsesAreSeveralViewersSideBySide) {
  TicketSpec spec = DeskTicket();
  spec.uses = 3;
  Make(spec);
  SessionHold first = Stream("v1");
  const SessionHold second = Stream("v2");
  EXPECT_TRUE(MayCall("", true)) << "a third may still look around";
  const SessionHold third = Stream("v3");
  EXPECT_EQ(Sessions(), 3);
  EXPECT_TRUE(Refused());
  first.EndForGood();
  EXPECT_FALSE(MayCall("v1"));
  EXPECT_TRUE(MayCall("v2"));
  EXPECT_TRUE(MayCall("v3"));
  EXPECT_TRUE(Refused()) << "a use is not given back by going";
}

TEST_F(TicketSessionTest, RevokingEndsRunningStreamsAtOnce) {
  TicketSpec spec = DeskTicket();
  spec.uses = 3;
  Make(spec);
  const SessionHold first = Stream("v1");
  const SessionHold second = Stream("v2");
  { const SessionHold gone = Stream("v3"); }
  const auto call = std::get<TicketCall>(store_->CheckCall(secret_, "v1", {}, true));
  EXPECT_TRUE(store_->Revoke(id_));
  EXPECT_THAT(ends_, ElementsAre("The ticket was revoked.", "The ticket was revoked."));
  EXPECT_FALSE(MayCall("v1"));
  EXPECT_TRUE(Refused("v1"));
  EXPECT_TRUE(Refused("v3")) << "also who was about to come back";
  EXPECT_FALSE(store_->StillValid(call));
  store_->Tick();
  EXPECT_EQ(ends_.size(), 2U);
}

TEST_F(TicketSessionTest, RevokedBetweenBeginAndStartTheStreamHearsOfIt) {
  Make(DeskTicket());
  SessionHold hold = std::get<SessionHold>(Begin());
  store_->Revoke(id_);
  EXPECT_THAT(ends_, IsEmpty());
  hold.Start("v1", [this](const std::string& why) { ends_.push_back(why); });
  EXPECT_THAT(ends_, ElementsAre("The ticket was revoked."));
}

TEST_F(TicketSessionTest, ADetachedDisplayEndsTheTicketsStreams) {
  TicketSpec spec = DeskTicket();
  spec.displays.push_back({"vm-1", "uid-2"});
  Make(spec);
  const SessionHold hold = Stream("v1");
  store_->ForgetDisplay({"vm-1", "uid-2"});
  EXPECT_THAT(ends_, ElementsAre("A display of the ticket was detached."));
  EXPECT_FALSE(MayCall("v1"));
}

TEST_F(TicketSessionTest, AbandonedAUseIsGivenBack) {
  Make(DeskTicket());
  SessionHold hold = std::get<SessionHold>(Begin());
  EXPECT_EQ(UsesLeft(), 0);
  EXPECT_EQ(Sessions(), 1);
  hold.Abandon();
  EXPECT_FALSE(hold);
  EXPECT_EQ(UsesLeft(), 1);
  EXPECT_EQ(Sessions(), 0);
  hold.Abandon();
  EXPECT_EQ(UsesLeft(), 1) << "but once";
  EXPECT_FALSE(Refused());
  EXPECT_EQ(UsesLeft(), 1) << "destroyed before Start it is abandoned, too";
}

TEST_F(TicketSessionTest, AUseGivenBackTooLateIsNoUse) {
  Make(DeskTicket());
  SessionHold hold = std::get<SessionHold>(Begin());
  clock_.Advance(60 * kSecond);
  hold.Abandon();
  EXPECT_TRUE(Refused());
}

TEST_F(TicketSessionTest, AfterStartNothingIsGivenBack) {
  Make(DeskTicket());
  SessionHold hold = Stream("v1");
  hold.Abandon();
  EXPECT_EQ(UsesLeft(), 0);
  EXPECT_TRUE(MayCall("v1"));
}

TEST_F(TicketSessionTest, SentAwayLeavesNothingForAReconnect) {
  Make(DeskTicket());
  SessionHold hold = Stream("v1");
  hold.EndForGood();
  EXPECT_FALSE(MayCall("v1"));
  EXPECT_TRUE(Refused("v1"));
  EXPECT_TRUE(Refused());
  EXPECT_THAT(ends_, IsEmpty());
}

TEST_F(TicketSessionTest, AHoldThatMovesEndsNothing) {
  Make(DeskTicket());
  SessionHold first = Stream("v1");
  SessionHold second = std::move(first);
  clock_.Advance(31 * kSecond);
  EXPECT_TRUE(MayCall("v1"));
  SessionHold third;
  EXPECT_FALSE(third);
  third = std::move(second);
  EXPECT_TRUE(third);
  third = SessionHold();
  clock_.Advance(30 * kSecond);
  EXPECT_FALSE(MayCall("v1"));
}

TEST_F(TicketSessionTest, AHoldMayOutliveTheStoresMaker) {
  Make(DeskTicket());
  const SessionHold hold = Stream("v1");
  store_.reset();
}

TEST_F(TicketSessionTest, CallbacksRunWithoutLocks) {
  Make(DeskTicket());
  std::optional<SessionHold> hold = std::get<SessionHold>(Begin());
  // Not what a callback should do, but it must not be a deadlock.
  hold->Start("v1", [&](const std::string&) {
    hold.reset();
    ends_.push_back(std::to_string(store_->List().size()));
  });
  store_->Revoke(id_);
  EXPECT_THAT(ends_, ElementsAre("0"));
}

TEST_F(TicketSessionTest, WhatACallbackHeldGoesWithoutLocks) {
  Make(DeskTicket());
  auto store = store_;
  const std::shared_ptr<int> held(new int(0), [store](const int* number) {
    store->List();
    delete number;
  });
  SessionHold hold = std::get<SessionHold>(Begin());
  hold.Start("v1", [keep = held](const std::string&) {});
}

TEST(TicketThreadsTest, OfTwoThreadsOneWins) {
  ManualClock clock;
  const auto store = TicketStore::Make(clock);
  for (int round = 0; round < 200; ++round) {
    const std::string secret = store->Create(DeskTicket())->secret;
    std::atomic<int> ready = 0;
    std::atomic<int> won = 0;
    const auto race = [&](const std::string& viewer_id, std::optional<SessionHold>& kept) {
      ++ready;
      while (ready < 2) std::this_thread::yield();
      auto begun = store->BeginStream(secret, "", {"desk", "uid-1"}, {});
      if (!std::holds_alternative<SessionHold>(begun)) return;
      ++won;
      kept = std::get<SessionHold>(std::move(begun));
      kept->Start(viewer_id, [](const std::string&) {});
    };
    std::optional<SessionHold> first;
    std::optional<SessionHold> second;
    std::thread other([&] { race("v2", second); });
    race("v1", first);
    other.join();
    ASSERT_EQ(won, 1) << round;
  }
}

TEST(TicketThreadsTest, EachStreamHearsOfItsEndAtMostOnce) {
  SharedClock clock;
  const auto store = TicketStore::Make(clock);
  TicketSpec spec = DeskTicket();
  spec.uses = 1000;
  spec.session_max_ns = 50 * kMs;
  constexpr int kThreads = 3;
  constexpr int kRounds = 300;
  std::atomic<int> most = 0;
  std::atomic<int> heard = 0;
  std::atomic<bool> done = false;

  const TicketStore::Made made = *store->Create(spec);
  std::thread ticker([&] {
    while (!done) {
      clock.Advance(kMs);
      store->Tick();
      store->List();
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> viewers;
  viewers.reserve(kThreads);
  for (int thread = 0; thread < kThreads; ++thread) {
    viewers.emplace_back([&, thread] {
      for (int i = 0; i < kRounds; ++i) {
        const std::string viewer_id = std::to_string(thread * kRounds + i);
        auto begun = store->BeginStream(made.secret, "", {"desk", "uid-1"}, {});
        if (!std::holds_alternative<SessionHold>(begun)) continue;
        auto calls = std::make_shared<std::atomic<int>>(0);
        SessionHold hold = std::get<SessionHold>(std::move(begun));
        hold.Start(viewer_id, [calls, &heard, &most](const std::string&) {
          if (++*calls > 1) most = 2;
          ++heard;
        });
        store->CheckCall(made.secret, viewer_id, {}, false);
        auto again = store->BeginStream(made.secret, viewer_id, {"desk", "uid-1"}, {});
        if (i % 3 == 0) hold.EndForGood();
      }
    });
  }
  for (std::thread& viewer : viewers) viewer.join();
  store->Revoke(made.info.id);
  done = true;
  ticker.join();
  EXPECT_EQ(most, 0);
  EXPECT_TRUE(store->List().empty());
}

TEST(TicketThreadsTest, RevokedWhileStreamsStartNoneIsForgotten) {
  ManualClock clock;
  const auto store = TicketStore::Make(clock);
  for (int round = 0; round < 200; ++round) {
    const TicketStore::Made made = *store->Create(DeskTicket());
    std::atomic<int> heard = 0;
    std::atomic<int> ready = 0;
    std::thread revoker([&] {
      ++ready;
      while (ready < 2) std::this_thread::yield();
      store->Revoke(made.info.id);
    });
    ++ready;
    while (ready < 2) std::this_thread::yield();
    auto begun = store->BeginStream(made.secret, "", {"desk", "uid-1"}, {});
    const bool began = std::holds_alternative<SessionHold>(begun);
    if (began) {
      std::get<SessionHold>(begun).Start("v1", [&heard](const std::string&) { ++heard; });
    }
    revoker.join();
    ASSERT_EQ(heard, began ? 1 : 0) << round;
  }
}

/// A ticket that was made in the session of `viewer_id`.
TicketSpec MadeBy(TicketStore& store, const std::string& secret, const std::string& viewer_id) {
  const auto call = std::get<TicketCall>(store.CheckCall(secret, viewer_id, {}, false));
  TicketSpec spec = DeskTicket();
  spec.start_ttl_ns = 3600 * kSecond;
  spec.parent_id = call.ticket_id;
  spec.parent_session = *call.session;
  spec.ends_ns = call.ends_ns;
  return spec;
}

TEST_F(TicketSessionTest, WhatWasMadeWithATicketEndsWithItHoweverItEnds) {
  for (const bool revoked : {true, false}) {
    Make(DeskTicket());
    std::optional<SessionHold> parent = Stream("parent");
    const auto child = store_->Create(MadeBy(*store_, secret_, "parent"));
    ASSERT_TRUE(child.ok());
    if (revoked) {
      EXPECT_TRUE(store_->Revoke(id_));
    } else {
      // He leaves, and does not come back.
      parent.reset();
      clock_.Advance(31 * kSecond);
      store_->Tick();
    }
    EXPECT_FALSE(store_->Find(child->info.id).has_value()) << revoked;
    EXPECT_FALSE(store_->CanBeginStream(child->secret, "", {})) << revoked;
  }
}

TEST_F(TicketSessionTest, NoTicketInBetweenKeepsAGrandchildAlive) {
  Make(DeskTicket());
  const std::string first_id = id_;
  const SessionHold first = Stream("first");
  const auto child = store_->Create(MadeBy(*store_, secret_, "first"));
  secret_ = child->secret;
  std::optional<SessionHold> second = Stream("second");
  const auto grandchild = store_->Create(MadeBy(*store_, secret_, "second"));
  ASSERT_TRUE(grandchild.ok());
  second.reset();
  clock_.Advance(31 * kSecond);
  store_->Tick();
  EXPECT_TRUE(store_->Find(first_id).has_value());
  EXPECT_FALSE(store_->Find(child->info.id).has_value());
  EXPECT_FALSE(store_->Find(grandchild->info.id).has_value());
}

TEST_F(TicketSessionTest, WhoWasSentAwayTakesWhatHeGaveWithHim) {
  Make(DeskTicket());
  SessionHold hold = Stream("v1");
  const auto child = store_->Create(MadeBy(*store_, secret_, "v1"));
  ASSERT_TRUE(child.ok());
  const TicketSpec late = MadeBy(*store_, secret_, "v1");
  hold.EndForGood();
  EXPECT_FALSE(store_->Find(child->info.id).has_value());
  EXPECT_FALSE(store_->Create(late).ok()) << "asked for before, and made after";
}

}  // namespace
}  // namespace planecast
