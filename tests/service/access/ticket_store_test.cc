// Tickets before a stream: what they look like, when they do, for whom.
#include "service/access/ticket_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "service/access/ticket_secret.h"
#include "tests/service/access/access_testing.h"
#include "vfio/clock.h"

namespace planecast {
namespace {

using ::planecast::testing::DeskTicket;
using ::planecast::testing::kMs;
using ::planecast::testing::kSecond;
using ::planecast::testing::PeerWithCertificate;
using ::testing::HasSubstr;
using ::testing::Not;

class TicketStoreTest : public ::testing::Test {
 protected:
  TicketStore::Made Make(const TicketSpec& spec) { return *store_->Create(spec); }
  /// Whether a call before the first stream may read.
  bool MayRead(const std::string& secret, const Peer& peer = {}) {
    return std::holds_alternative<TicketCall>(store_->CheckCall(secret, "", peer, true));
  }
  bool MayStart(const std::string& secret, const Peer& peer = {}) {
    const auto begun = store_->BeginStream(secret, "", {"desk", "uid-1"}, peer);
    // Given back when it goes.
    return std::holds_alternative<SessionHold>(begun);
  }

  ManualClock clock_;
  std::shared_ptr<TicketStore> store_ = TicketStore::Make(clock_);
};

TEST_F(TicketStoreTest, ASecretIs256BitsAsBase64Url) {
  std::set<std::string> secrets;
  for (int i = 0; i < 200; ++i) {
    const std::string secret = Make(DeskTicket()).secret;
    ASSERT_EQ(secret.size(), 47U);
    ASSERT_EQ(secret.substr(0, 4), "pct_");
    std::string bytes;
    ASSERT_TRUE(absl::WebSafeBase64Unescape(secret.substr(4), &bytes)) << "not base64url";
    EXPECT_EQ(bytes.size(), 32U);
    EXPECT_TRUE(LooksLikeTicket(secret));
    secrets.insert(secret);
  }
  EXPECT_EQ(secrets.size(), 200U);
}

TEST_F(TicketStoreTest, OnlyTheFormTellsATicketFromOtherTexts) {
  const std::string digits(43, 'a');
  EXPECT_TRUE(LooksLikeTicket("pct_" + digits));
  EXPECT_FALSE(LooksLikeTicket("pct_" + digits + "a"));
  EXPECT_FALSE(LooksLikeTicket("pct_" + digits.substr(1)));
  EXPECT_FALSE(LooksLikeTicket("pct-" + digits));
  EXPECT_FALSE(LooksLikeTicket("pct_" + digits.substr(1) + "+"));
  EXPECT_FALSE(LooksLikeTicket("pct_" + digits.substr(1) + "="));
  EXPECT_FALSE(LooksLikeTicket(digits));
  EXPECT_FALSE(LooksLikeTicket(""));
}

TEST_F(TicketStoreTest, Sha256IsTheOneThatOthersMean) {
  EXPECT_EQ(absl::BytesToHexString(Sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_F(TicketStoreTest, TellsWhatIsKnownOfATicketButNotItsSecret) {
  TicketSpec spec = DeskTicket();
  spec.displays.push_back({"vm-1", "uid-2"});
  spec.note = "for the demo";
  const TicketStore::Made made = Make(spec);
  clock_.Advance(kSecond);
  Make(DeskTicket());
  const std::vector<TicketInfo> list = store_->List();
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0].id, made.info.id);
  EXPECT_EQ(list[0].id.size(), 16U);
  EXPECT_EQ(list[0].id.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(list[0].spec.displays, spec.displays);
  EXPECT_EQ(list[0].spec.note, "for the demo");
  EXPECT_EQ(list[0].created_ns, 1 * kSecond);
  EXPECT_EQ(list[0].start_expires_ns, 61 * kSecond);
  EXPECT_EQ(list[0].uses_left, 1);
  EXPECT_EQ(list[0].sessions, 0);
  EXPECT_THAT(made.secret, Not(HasSubstr(list[0].id)));
  EXPECT_LT(list[0].created_ns, list[1].created_ns);
}

TEST_F(TicketStoreTest, HasTheRightsOfItsRoleOnItsDisplaysAlone) {
  TicketSpec spec = DeskTicket();
  spec.displays.push_back({"vm-1", "uid-2"});
  const TicketStore::Made made = Make(spec);
  const auto call = std::get<TicketCall>(store_->CheckCall(made.secret, "", {}, true));
  EXPECT_EQ(call.ticket_id, made.info.id);
  EXPECT_EQ(call.session, std::nullopt);
  EXPECT_EQ(call.rights.On("desk"), spec.permissions);
  EXPECT_EQ(call.rights.On("vm-1"), spec.permissions);
  EXPECT_TRUE(call.rights.On("vm-2").empty());
  EXPECT_FALSE(call.rights.AllowsEverywhere(Permission::kList));
}

TEST_F(TicketStoreTest, CantBeMadeForAPattern) {
  for (const char* id : {"*", "vm-*", "", "A"}) {
    TicketSpec spec = DeskTicket();
    spec.displays = {{id, "uid-1"}};
    EXPECT_EQ(store_->Create(spec).status().code(), absl::StatusCode::kInvalidArgument) << id;
  }
}

TEST_F(TicketStoreTest, AnUnknownTicketDoesNot) {
  Make(DeskTicket());
  const std::string unknown = "pct_" + std::string(43, 'a');
  EXPECT_FALSE(MayRead(unknown));
  EXPECT_FALSE(MayStart(unknown));
  EXPECT_TRUE(std::holds_alternative<TicketRefusal>(store_->CheckStream(unknown, {})));
  EXPECT_FALSE(MayRead(""));
  EXPECT_FALSE(MayRead(store_->List()[0].id));
}

TEST_F(TicketStoreTest, IsToBeStartedWithin60Seconds) {
  const std::string secret = Make(DeskTicket()).secret;
  clock_.Advance(60 * kSecond - 100 * kMs);
  EXPECT_TRUE(MayRead(secret));
  EXPECT_TRUE(MayStart(secret));
  EXPECT_TRUE(std::holds_alternative<TicketCall>(store_->CheckStream(secret, {})));
  clock_.Advance(100 * kMs - 1);
  EXPECT_TRUE(MayStart(secret));
  clock_.Advance(1);
  EXPECT_FALSE(MayRead(secret));
  EXPECT_FALSE(MayStart(secret));
  EXPECT_TRUE(std::holds_alternative<TicketRefusal>(store_->CheckStream(secret, {})));
  EXPECT_TRUE(store_->List().empty());
}

TEST_F(TicketStoreTest, NobodyGivesForLongerThanHeHas) {
  TicketSpec spec = DeskTicket();
  spec.ends_ns = clock_.NowNs() + 10 * kSecond;
  const TicketStore::Made made = Make(spec);
  EXPECT_EQ(made.info.start_expires_ns, *spec.ends_ns);
  EXPECT_EQ(std::get<TicketCall>(store_->CheckCall(made.secret, "", {}, true)).ends_ns,
            *spec.ends_ns);
  clock_.Advance(10 * kSecond);
  EXPECT_FALSE(MayStart(made.secret));
}

TEST_F(TicketStoreTest, ACallWithoutSessionEndsWithTheLatestPossibleSession) {
  const TicketStore::Made made = Make(DeskTicket());
  EXPECT_EQ(std::get<TicketCall>(store_->CheckCall(made.secret, "", {}, true)).ends_ns,
            made.info.start_expires_ns + int64_t{12} * 3600 * kSecond);
}

TEST_F(TicketStoreTest, ReadsBeforeTheStreamUseNothingUp) {
  const std::string secret = Make(DeskTicket()).secret;
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(MayRead(secret));
    EXPECT_TRUE(std::holds_alternative<TicketCall>(store_->CheckStream(secret, {})));
  }
  EXPECT_EQ(store_->List()[0].uses_left, 1);
  EXPECT_TRUE(MayStart(secret));
}

TEST_F(TicketStoreTest, WhatDoesMoreThanReadNeedsASession) {
  const std::string secret = Make(DeskTicket()).secret;
  const auto refused = store_->CheckCall(secret, "", {}, false);
  EXPECT_EQ(std::get<TicketRefusal>(refused), TicketRefusal::kNeedsSession);
  clock_.Advance(60 * kSecond);
  EXPECT_EQ(std::get<TicketRefusal>(store_->CheckCall(secret, "", {}, false)),
            TicketRefusal::kInvalid)
      << "who holds an expired ticket learns nothing";
}

TEST_F(TicketStoreTest, AViewerIdWithoutASessionDoesNot) {
  const std::string secret = Make(DeskTicket()).secret;
  for (const bool only_reads : {false, true}) {
    EXPECT_EQ(std::get<TicketRefusal>(store_->CheckCall(secret, "v", {}, only_reads)),
              TicketRefusal::kInvalid);
  }
}

TEST_F(TicketStoreTest, WorksOnlyWithItsCertificate) {
  TicketSpec spec = DeskTicket();
  spec.certificate_sha256 = std::string(64, 'a');
  const std::string secret = Make(spec).secret;
  const Peer holder = PeerWithCertificate("CN=x", std::string(64, 'a'));
  EXPECT_TRUE(MayRead(secret, holder));
  EXPECT_TRUE(MayStart(secret, holder));
  for (const Peer& other : {Peer(), PeerWithCertificate("CN=x", std::string(64, 'b')),
                            PeerWithCertificate("CN=x", "")}) {
    EXPECT_FALSE(MayRead(secret, other));
    EXPECT_FALSE(MayStart(secret, other));
    EXPECT_TRUE(std::holds_alternative<TicketRefusal>(store_->CheckStream(secret, other)));
  }
}

TEST_F(TicketStoreTest, WithoutACertificateOfItsOwnItWorksWithAny) {
  EXPECT_TRUE(MayStart(Make(DeskTicket()).secret, PeerWithCertificate("CN=x", "00")));
}

TEST_F(TicketStoreTest, IsForThisDisplayAndNoLaterOneOfTheSameName) {
  const std::string secret = Make(DeskTicket()).secret;
  for (const TicketDisplay& other : {TicketDisplay{"desk", "uid-2"}, TicketDisplay{"x", "uid-1"}}) {
    EXPECT_EQ(std::get<TicketRefusal>(store_->BeginStream(secret, "", other, {})),
              TicketRefusal::kInvalid);
  }
  EXPECT_TRUE(MayStart(secret));
}

TEST_F(TicketStoreTest, EndsWithItsDisplay) {
  TicketSpec both = DeskTicket();
  both.displays.push_back({"vm-1", "uid-2"});
  const std::string first = Make(both).secret;
  const std::string second = Make(DeskTicket()).secret;
  store_->ForgetDisplay({"vm-1", "uid-3"});
  EXPECT_TRUE(MayStart(first));
  store_->ForgetDisplay({"vm-1", "uid-2"});
  EXPECT_FALSE(MayStart(first));
  EXPECT_TRUE(MayStart(second));
}

TEST_F(TicketStoreTest, RevokedItDoesNot) {
  const TicketStore::Made made = Make(DeskTicket());
  const auto call = std::get<TicketCall>(store_->CheckCall(made.secret, "", {}, true));
  EXPECT_TRUE(store_->StillValid(call));
  EXPECT_TRUE(store_->Revoke(made.info.id));
  EXPECT_FALSE(store_->StillValid(call));
  EXPECT_FALSE(MayRead(made.secret));
  EXPECT_FALSE(MayStart(made.secret));
  EXPECT_FALSE(store_->Revoke(made.info.id)) << "it is gone";
  EXPECT_FALSE(store_->Revoke("0123456789abcdef"));
  EXPECT_FALSE(store_->Revoke(made.secret));
}

TEST_F(TicketStoreTest, AnExpiredTicketCantBeRevoked) {
  const TicketStore::Made made = Make(DeskTicket());
  clock_.Advance(60 * kSecond);
  EXPECT_FALSE(store_->Revoke(made.info.id));
}

TEST_F(TicketStoreTest, ACallThatOnlyReadsGoesOnWhileTheTicketDoes) {
  const std::string secret = Make(DeskTicket()).secret;
  const auto call = std::get<TicketCall>(store_->CheckCall(secret, "", {}, true));
  clock_.Advance(60 * kSecond - 1);
  EXPECT_TRUE(store_->StillValid(call));
  clock_.Advance(1);
  EXPECT_FALSE(store_->StillValid(call));
  store_->Tick();
  EXPECT_FALSE(store_->StillValid(call));
}

TEST_F(TicketStoreTest, SoManyTicketsAndNoMore) {
  for (size_t i = 0; i < kTicketsMax; ++i) ASSERT_TRUE(store_->Create(DeskTicket()).ok());
  const absl::Status refused = store_->Create(DeskTicket()).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.message(), HasSubstr("10000"));
  // What is void makes room, even before Tick came round.
  clock_.Advance(60 * kSecond);
  EXPECT_TRUE(store_->Create(DeskTicket()).ok());
  EXPECT_EQ(store_->List().size(), 1U);
}

TEST_F(TicketStoreTest, TimesBeyondTheClocksEndDontWrapAround) {
  TicketSpec spec = DeskTicket();
  spec.start_ttl_ns = INT64_MAX;
  spec.session_max_ns = INT64_MAX;
  const TicketStore::Made made = Make(spec);
  EXPECT_EQ(made.info.start_expires_ns, INT64_MAX);
  EXPECT_TRUE(MayStart(made.secret));
}

}  // namespace
}  // namespace planecast
