// Where entries go, and how many of them.
#include "service/access/audit_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "tests/service/access/access_testing.h"
#include "tests/service/temp_dir.h"
#include "vfio/clock.h"

namespace planecast {
namespace {

using ::planecast::testing::kMs;
using ::planecast::testing::kSecond;
using ::planecast::testing::LinesOf;
using ::planecast::testing::TempDir;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

AuditEntry Refusal(const std::string& limit_key, int port = 1) {
  AuditEntry entry;
  entry.event = AuditEvent::kRefusal;
  entry.success = false;
  entry.peer = limit_key + ":" + std::to_string(port);
  entry.limit_key = limit_key;
  return entry;
}

AuditEntry Event(AuditEvent event) {
  AuditEntry entry;
  entry.event = event;
  entry.peer = "10.0.0.1:1";
  entry.limit_key = "10.0.0.1";
  return entry;
}

class AuditLogTest : public ::testing::Test {
 protected:
  AuditLog::Options Options() {
    AuditLog::Options options;
    options.log_line = [this](const std::string& json) { lines_.push_back(json); };
    options.wall_ns = [] { return int64_t{0}; };
    options.monotonic_ns = [this] { return clock_.NowNs(); };
    return options;
  }
  std::unique_ptr<AuditLog> Open(AuditLog::Options options) {
    auto log = AuditLog::Open(std::move(options));
    EXPECT_TRUE(log.ok()) << log.status();
    return *std::move(log);
  }

  ManualClock clock_;
  std::vector<std::string> lines_;
  TempDir dir_;
};

TEST_F(AuditLogTest, WritesOneLineForEachEvent) {
  const auto log = Open(Options());
  for (int i = 0; i <= static_cast<int>(AuditEvent::kRefusal); ++i) {
    log->Write(Event(static_cast<AuditEvent>(i)));
  }
  EXPECT_THAT(lines_, SizeIs(static_cast<size_t>(AuditEvent::kRefusal) + 1));
  EXPECT_THAT(lines_, Contains(HasSubstr("planecast.ticket.revoke")).Times(1));
  EXPECT_EQ(log->Problem(), "");
  EXPECT_EQ(log->lost(), 0U);
}

TEST_F(AuditLogTest, WritesToAFileAsWell) {
  AuditLog::Options options = Options();
  options.file_path = dir_.path() + "/audit.jsonl";
  const auto log = Open(options);
  log->Write(Event(AuditEvent::kStreamStart));
  EXPECT_THAT(lines_, SizeIs(1));
  EXPECT_EQ(LinesOf(options.file_path), lines_);
}

TEST_F(AuditLogTest, SaysAtStartWhatIsWrongWithTheFile) {
  AuditLog::Options options = Options();
  options.file_path = dir_.path();
  EXPECT_THAT(AuditLog::Open(options).status().message(), HasSubstr(dir_.path()));
}

TEST_F(AuditLogTest, AFileThatCantBeWrittenStopsNothing) {
  AuditLog::Options options = Options();
  options.file_path = dir_.path() + "/sub/audit.jsonl";
  std::filesystem::create_directory(dir_.path() + "/sub");
  const auto log = Open(options);
  std::filesystem::remove_all(dir_.path() + "/sub");
  clock_.Advance(kSecond);
  log->Write(Event(AuditEvent::kStreamStart));
  EXPECT_THAT(lines_, SizeIs(1));
  EXPECT_THAT(log->Problem(), HasSubstr("can't open"));
  EXPECT_EQ(log->lost(), 1U);
  std::filesystem::create_directory(dir_.path() + "/sub");
  log->Write(Event(AuditEvent::kStreamEnd));
  EXPECT_EQ(log->Problem(), "");
  EXPECT_EQ(log->lost(), 1U);
}

TEST_F(AuditLogTest, TheJournalGetsFieldsInsteadOfALine) {
  std::vector<std::vector<std::string>> sent;
  bool works = true;
  AuditLog::Options options = Options();
  options.file_path = dir_.path() + "/audit.jsonl";
  options.journal = [&](const std::vector<std::string>& fields) {
    sent.push_back(fields);
    return works;
  };
  const auto log = Open(options);
  log->Write(Event(AuditEvent::kSnapshot));
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_THAT(sent[0], Contains("PLANECAST_EVENT=planecast.snapshot"));
  EXPECT_THAT(lines_, IsEmpty());
  EXPECT_THAT(LinesOf(options.file_path), SizeIs(1));
  works = false;
  log->Write(Event(AuditEvent::kSnapshot));
  EXPECT_THAT(lines_, SizeIs(1)) << "a journal that is away loses nothing";
}

TEST_F(AuditLogTest, RefusalsAreLimitedAndCounted) {
  const auto log = Open(Options());
  // Each from a port of its own.
  for (int i = 0; i < 25; ++i) log->Write(Refusal("10.0.0.1", i));
  ASSERT_THAT(lines_, SizeIs(10));
  EXPECT_THAT(lines_, Not(Contains(HasSubstr("suppressed"))));
  EXPECT_EQ(log->suppressed(), 15U);
  clock_.Advance(kSecond - 1);
  log->Write(Refusal("10.0.0.1"));
  EXPECT_THAT(lines_, SizeIs(10));
  clock_.Advance(1);
  log->Write(Refusal("10.0.0.1"));
  log->Write(Refusal("10.0.0.1"));
  ASSERT_THAT(lines_, SizeIs(11));
  EXPECT_THAT(lines_.back(), HasSubstr("\"suppressed\":16"));
  EXPECT_EQ(log->suppressed(), 17U);
}

TEST_F(AuditLogTest, TheNextLineOfAnybodyTellsOfThem) {
  const auto log = Open(Options());
  for (int i = 0; i < 13; ++i) log->Write(Refusal("10.0.0.1"));
  log->Write(Refusal("10.0.0.2"));
  EXPECT_THAT(lines_.back(), HasSubstr("\"suppressed\":3"));
  log->Write(Refusal("10.0.0.2"));
  EXPECT_THAT(lines_.back(), Not(HasSubstr("suppressed"))) << "but once";
  EXPECT_THAT(lines_, SizeIs(12));
}

TEST_F(AuditLogTest, WithoutAKeyThePeerIsTheKey) {
  const auto log = Open(Options());
  AuditEntry entry = Refusal("10.0.0.1");
  entry.limit_key = "";
  for (int i = 0; i < 20; ++i) log->Write(entry);
  EXPECT_THAT(lines_, SizeIs(10));
  entry.peer = "10.0.0.2:1";
  log->Write(entry);
  EXPECT_THAT(lines_, SizeIs(11));
}

TEST_F(AuditLogTest, OtherEventsHaveALimitPerPeerThatNobodyMeets) {
  const auto log = Open(Options());
  for (int i = 0; i < 600; ++i) log->Write(Event(AuditEvent::kStreamStart));
  EXPECT_EQ(lines_.size(), 500U);
  clock_.Advance(100 * kMs);
  for (int i = 0; i < 30; ++i) log->Write(Event(AuditEvent::kStreamStart));
  ASSERT_EQ(lines_.size(), 505U) << "50 a second";
  EXPECT_THAT(lines_[500], HasSubstr("\"suppressed\":100"));
}

TEST_F(AuditLogTest, NobodyCrowdsOutWhatOperatorsDo) {
  const auto log = Open(Options());
  AuditEntry snapshot = Event(AuditEvent::kSnapshot);
  for (int i = 0; i < 5000; ++i) {
    snapshot.limit_key = "host-" + std::to_string(i % 20);
    log->Write(snapshot);
  }
  EXPECT_EQ(lines_.size(), 1000U);
  AuditEntry detach = Event(AuditEvent::kDisplayDetach);
  detach.permission = "MANAGE";
  log->Write(detach);
  ASSERT_EQ(lines_.size(), 1001U);
  EXPECT_THAT(lines_.back(), HasSubstr("planecast.display.detach"));
}

TEST_F(AuditLogTest, RefusalsFromManyAddressesAreLimitedTooAndHideNothing) {
  const auto log = Open(Options());
  for (int i = 0; i < 5000; ++i) log->Write(Refusal("host-" + std::to_string(i)));
  EXPECT_THAT(lines_, SizeIs(1000));
  log->Write(Event(AuditEvent::kTicketUse));
  ASSERT_THAT(lines_, SizeIs(1001));
  EXPECT_THAT(lines_.back(), HasSubstr("planecast.ticket.use"));
  EXPECT_THAT(lines_.back(), HasSubstr("\"suppressed\":4000"));
}

TEST(AuditLogThreadsTest, NoCountIsLost) {
  testing::SharedClock clock;
  std::mutex mutex;
  std::vector<std::string> lines;
  AuditLog::Options options;
  options.log_line = [&](const std::string& json) {
    const std::lock_guard<std::mutex> lock(mutex);
    lines.push_back(json);
  };
  options.wall_ns = [] { return int64_t{0}; };
  options.monotonic_ns = [&clock] { return clock.NowNs(); };
  const auto log = *AuditLog::Open(options);
  std::vector<std::thread> threads;
  threads.reserve(3);
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&log, &clock] {
      for (int n = 0; n < 500; ++n) {
        log->Write(Refusal("10.0.0.1"));
        clock.Advance(10 * kMs);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  log->Write(Refusal("10.0.0.2"));
  uint64_t told = 0;
  for (const std::string& line : lines) {
    const size_t at = line.find("\"suppressed\":");
    if (at != std::string::npos) told += std::stoull(line.substr(at + 13));
  }
  EXPECT_EQ(told, log->suppressed());
  EXPECT_EQ(lines.size() + told, 1501U);
  EXPECT_GT(told, 1000U);
}

}  // namespace
}  // namespace planecast
