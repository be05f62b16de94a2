#include "service/telemetry/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "vfio/fd.h"

namespace planecast {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// A pipe that a logger writes to. Lines of a test fit into its buffer.
class LogPipe {
 public:
  LogPipe() {
    std::array<int, 2> fds{};
    EXPECT_EQ(pipe(fds.data()), 0);
    read_ = Fd(KernelSys(), fds[0]);
    write_ = Fd(KernelSys(), fds[1]);
  }
  int fd() const { return write_.get(); }
  std::string ReadAll() {
    write_.Reset();
    std::string text;
    std::array<char, 4096> buffer{};
    for (ssize_t size = 0; (size = read(read_.get(), buffer.data(), buffer.size())) > 0;) {
      text.append(buffer.data(), static_cast<size_t>(size));
    }
    return text;
  }

 private:
  Fd read_;
  Fd write_;
};

TEST(LogTest, ALineHasLevelDisplayAndMessage) {
  unsetenv("JOURNAL_STREAM");
  LogPipe pipe;
  Logger(LogLevel::kInfo, pipe.fd()).Warning("vm1", "no picture");
  EXPECT_THAT(pipe.ReadAll(), EndsWith(" warning vm1: no picture\n"));
}

TEST(LogTest, UnderTheJournalALineBeginsWithItsPriority) {
  setenv("JOURNAL_STREAM", "1:2", 1);
  LogPipe pipe;
  const Logger log(LogLevel::kInfo, pipe.fd());
  unsetenv("JOURNAL_STREAM");
  log.Error("", "broken");
  EXPECT_EQ(pipe.ReadAll(), "<3>broken\n");
}

TEST(LogTest, WhatIsBelowTheLevelIsLeftOut) {
  LogPipe pipe;
  const Logger log(LogLevel::kWarning, pipe.fd());
  log.Debug("", "one");
  log.Info("", "two");
  log.Warning("", "three");
  EXPECT_THAT(pipe.ReadAll(), Not(HasSubstr("two")));
}

TEST(LogTest, TextFromOutsideCantForgeALine) {
  LogPipe pipe;
  Logger(LogLevel::kInfo, pipe.fd()).Info("a\nb", "c\n<0>d\x1b[31m\x7f");
  const std::string text = pipe.ReadAll();
  EXPECT_EQ(text.find('\n'), text.size() - 1);
  EXPECT_THAT(text, HasSubstr("a\\x0ab: c\\x0a<0>d\\x1b[31m\\x7f"));
}

TEST(LogTest, AnEndlessMessageIsCut) {
  LogPipe pipe;
  Logger(LogLevel::kInfo, pipe.fd()).Info("", std::string(100'000, 'x'));
  EXPECT_LT(pipe.ReadAll().size(), 2100U);
}

TEST(LogTest, LinesOfManyThreadsDontMix) {
  LogPipe pipe;
  const Logger log(LogLevel::kInfo, pipe.fd());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&log] {
      for (int n = 0; n < 50; ++n) log.Info("vm", "0123456789");
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string text = pipe.ReadAll();
  size_t lines = 0;
  for (size_t at = 0; (at = text.find(" info vm: 0123456789\n", at)) != std::string::npos; ++at) {
    ++lines;
  }
  EXPECT_EQ(lines, 200U);
}

}  // namespace
}  // namespace planecast
