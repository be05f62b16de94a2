// Entries as text, from people who mean no good.
#include "service/access/audit_line.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <string>
#include <vector>

#include "service/access/ticket_secret.h"

namespace planecast {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kWallNs = 1'764'407'467'012'000'000;

AuditEntry FullEntry() {
  AuditEntry entry;
  entry.event = AuditEvent::kStreamEnd;
  entry.principal = "ticket:0123456789abcdef";
  entry.ticket_id = "0123456789abcdef";
  entry.peer = "10.0.0.3:5000";
  entry.limit_key = "10.0.0.3";
  entry.display = "desk";
  entry.permission = "WATCH";
  entry.method = "ViewerService.StreamDisplay";
  entry.reason = "The ticket was revoked.";
  entry.duration_ns = 1'234'567'890;
  entry.bytes = 42;
  return entry;
}

TEST(AuditLineTest, ALineHasAllThatIsKnown) {
  EXPECT_EQ(AuditJson(FullEntry(), kWallNs, 3),
            "{\"time\":\"2025-11-29T09:11:07.012Z\",\"event\":\"planecast.stream.end\","
            "\"principal\":\"ticket:0123456789abcdef\",\"ticket\":\"0123456789abcdef\","
            "\"peer\":\"10.0.0.3:5000\",\"display\":\"desk\","
            "\"method\":\"ViewerService.StreamDisplay\",\"permission\":\"WATCH\","
            "\"success\":true,\"reason\":\"The ticket was revoked.\",\"duration_s\":1.235,"
            "\"bytes\":42,\"suppressed\":3}");
}

TEST(AuditLineTest, WhatIsUnknownIsLeftOut) {
  AuditEntry entry;
  entry.success = false;
  EXPECT_EQ(AuditJson(entry, 0, 0),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"event\":\"planecast.refusal\","
            "\"success\":false}");
  entry.bytes = 0;
  EXPECT_THAT(AuditJson(entry, 0, 0), HasSubstr("\"bytes\":0"));
}

TEST(AuditLineTest, AClockBefore1970IsNoTrouble) {
  EXPECT_THAT(AuditJson({}, -1'000'000, 0), HasSubstr("\"1969-12-31T23:59:59.999Z\""));
}

TEST(AuditLineTest, EveryEventHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(AuditEvent::kRefusal); ++i) {
    names.insert(AuditEventName(static_cast<AuditEvent>(i)));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(AuditEvent::kRefusal) + 1);
  EXPECT_EQ(names.count("planecast.unknown"), 0U);
  EXPECT_EQ(AuditEventName(AuditEvent::kTicketUse), "planecast.ticket.use");
}

TEST(AuditLineTest, EscapesWhatWouldEndAString) {
  EXPECT_EQ(AuditEscape("a\"b\\c", 100), "a\\\"b\\\\c");
  EXPECT_EQ(AuditEscape("a\nb\r\tc", 100), "a\\u000ab\\u000d\\u0009c");
  EXPECT_EQ(AuditEscape(std::string("a\0b", 3), 100), "a\\u0000b");
}

TEST(AuditLineTest, EscapesWhatWouldMoveATerminal) {
  EXPECT_EQ(AuditEscape("\x1b[2J\x7f", 100), "\\u001b[2J\\u007f");
  EXPECT_EQ(AuditEscape("\xC2\x9B"
                        "2J",
                        100),
            "\\u009b2J");
  EXPECT_EQ(AuditEscape("\xE2\x80\xAE"
                        "cod.exe",
                        100),
            "\\u202ecod.exe");
  EXPECT_EQ(AuditEscape("\xE2\x80\xA8", 100), "\\u2028");
}

TEST(AuditLineTest, KeepsOtherCharacters) {
  const std::string text = "Bj\xC3\xB6rn \xE2\x82\xAC \xF0\x9F\x96\xA5 / <b>";
  EXPECT_EQ(AuditEscape(text, 100), text);
}

TEST(AuditLineTest, WhatIsNoUtf8IsReplaced) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(AuditEscape("a\xFF"
                        "b",
                        100),
            "a" + r + "b");
  EXPECT_EQ(AuditEscape("\x80", 100), r);
  EXPECT_EQ(AuditEscape("\xC0\xAF", 100), r + r) << "a longer form than need be";
  EXPECT_EQ(AuditEscape("\xE0\x80\xAF", 100), r + r + r);
  EXPECT_EQ(AuditEscape("\xF0\x80\x80\xAF", 100), r + r + r + r);
  EXPECT_EQ(AuditEscape("\xED\xA0\x80", 100), r + r + r) << "half a surrogate pair";
  EXPECT_EQ(AuditEscape("\xF4\x90\x80\x80", 100), r + r + r + r) << "beyond Unicode";
  EXPECT_EQ(AuditEscape("\xE2\x82", 100), r + r) << "cut short";
  EXPECT_EQ(AuditEscape("\xE2\x82\"", 100), r + r + "\\\"") << "swallows no quote";
}

TEST(AuditLineTest, CutsBetweenCharacters) {
  EXPECT_EQ(AuditEscape(std::string(100, 'a'), 100), std::string(100, 'a'));
  EXPECT_EQ(AuditEscape(std::string(101, 'a'), 100), std::string(97, 'a') + "...");
  std::string euros;
  for (int i = 0; i < 50; ++i) euros += "\xE2\x82\xAC";
  EXPECT_EQ(AuditEscape(euros, 100), euros.substr(0, 96) + "...");
  EXPECT_EQ(AuditEscape(std::string(100, '\n'), 20), "\\u000a\\u000a...");
}

TEST(AuditLineTest, NoTicketGetsIntoALine) {
  const std::string secret = *MakeTicketSecret();
  const std::string inner = secret.substr(4, 20);
  AuditEntry entry = FullEntry();
  for (std::string* text : {&entry.principal, &entry.ticket_id, &entry.peer, &entry.display,
                            &entry.permission, &entry.method, &entry.reason}) {
    *text = "x" + secret + " Bearer " + secret + "\n";
  }
  const std::string json = AuditJson(entry, kWallNs, 0);
  EXPECT_THAT(json, Not(HasSubstr(inner)));
  EXPECT_THAT(json, HasSubstr("xpct_... Bearer pct_...\\u000a"));
  for (const std::string& field : AuditJournalFields(entry, 0)) {
    EXPECT_THAT(field, Not(HasSubstr(inner)));
  }
  // Nor a part of one, where a cut would fall into it.
  EXPECT_THAT(AuditEscape(std::string(50, 'a') + secret, 60), Not(HasSubstr(secret.substr(0, 5))));
}

TEST(AuditLineTest, TheWorstLineIsShorterThanWhatTheLogCuts) {
  AuditEntry entry = FullEntry();
  for (std::string* text : {&entry.principal, &entry.ticket_id, &entry.peer, &entry.display,
                            &entry.permission, &entry.method, &entry.reason}) {
    *text = std::string(100'000, '\x01');
  }
  entry.duration_ns = INT64_MAX;
  entry.bytes = INT64_MAX;
  EXPECT_LT(AuditJson(entry, kWallNs, UINT64_MAX).size(), 1900U);
}

TEST(AuditLineTest, TheJournalHasFieldsOfItsOwn) {
  const std::vector<std::string> fields = AuditJournalFields(FullEntry(), 3);
  EXPECT_THAT(fields,
              ElementsAre(HasSubstr("MESSAGE=audit: planecast.stream.end, principal ticket:01"),
                          "PRIORITY=6", "PLANECAST_EVENT=planecast.stream.end",
                          "PLANECAST_PRINCIPAL=ticket:0123456789abcdef",
                          "PLANECAST_TICKET=0123456789abcdef", "PLANECAST_PEER=10.0.0.3:5000",
                          "PLANECAST_DISPLAY=desk", "PLANECAST_METHOD=ViewerService.StreamDisplay",
                          "PLANECAST_PERMISSION=WATCH", "PLANECAST_SUCCESS=true",
                          "PLANECAST_REASON=The ticket was revoked.", "PLANECAST_DURATION_S=1.235",
                          "PLANECAST_BYTES=42", "PLANECAST_SUPPRESSED=3"));
}

TEST(AuditLineTest, TheJournalsMessageSaysWhatFailedAndWhy) {
  AuditEntry entry;
  entry.principal = "uid:7";
  entry.display = "desk";
  entry.success = false;
  entry.reason = "no right to it\nPLANECAST_PRINCIPAL=uid:0";
  const std::vector<std::string> fields = AuditJournalFields(entry, 0);
  EXPECT_EQ(fields[0],
            "MESSAGE=audit: planecast.refusal, principal uid:7, display desk, failed, "
            "reason no right to it\\u000aPLANECAST_PRINCIPAL=uid:0");
  EXPECT_THAT(fields, Contains("PRIORITY=5"));
}

TEST(AuditLineTest, TheJournalIsWhereTheVariableSaysThisVeryFile) {
  const int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  struct stat info {};
  ASSERT_EQ(fstat(fd, &info), 0);
  const std::string device = std::to_string(info.st_dev);
  const std::string inode = std::to_string(info.st_ino);
  EXPECT_TRUE(IsJournal(fd, (device + ":" + inode).c_str()));
  EXPECT_FALSE(IsJournal(fd, (device + ":" + inode + "1").c_str())) << "inherited";
  EXPECT_FALSE(IsJournal(fd, device.c_str()));
  EXPECT_FALSE(IsJournal(fd, ""));
  EXPECT_FALSE(IsJournal(fd, nullptr));
  close(fd);
  EXPECT_FALSE(IsJournal(-1, (device + ":" + inode).c_str()));
}

}  // namespace
}  // namespace planecast
