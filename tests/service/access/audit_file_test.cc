// The audit log's file, and what others do to it.
#include "service/access/audit_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "tests/service/access/access_testing.h"
#include "tests/service/temp_dir.h"
#include "vfio/clock.h"

namespace planecast {
namespace {

using ::planecast::testing::kSecond;
using ::planecast::testing::LinesOf;
using ::planecast::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class AuditFileTest : public ::testing::Test {
 protected:
  std::unique_ptr<AuditFile> Open() {
    auto file = AuditFile::Open(path_, [this] { return clock_.NowNs(); });
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? *std::move(file) : nullptr;
  }
  absl::Status OpenError() {
    return AuditFile::Open(path_, [this] { return clock_.NowNs(); }).status();
  }

  TempDir dir_;
  std::string path_ = dir_.path() + "/audit.jsonl";
  ManualClock clock_;
};

mode_t ModeOf(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(stat(path.c_str(), &info), 0);
  return info.st_mode & 07777;
}

TEST_F(AuditFileTest, IsMadeForItsOwnerAndGroupWhateverTheUmask) {
  for (const mode_t mask : {0, 077, 022}) {
    const mode_t before = umask(mask);
    Open();
    umask(before);
    EXPECT_EQ(ModeOf(path_), 0640U);
    std::filesystem::remove(path_);
  }
}

TEST_F(AuditFileTest, AppendsAndLeavesTheModeOfAnOldFile) {
  std::ofstream(path_) << "old\n";
  ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  EXPECT_TRUE(Open()->Append("new"));
  EXPECT_TRUE(Open()->Append("newer"));
  EXPECT_THAT(LinesOf(path_), ElementsAre("old", "new", "newer"));
  EXPECT_EQ(ModeOf(path_), 0600U);
}

TEST_F(AuditFileTest, WritesAtTheEndEvenIfOthersCutIt) {
  const auto file = Open();
  EXPECT_TRUE(file->Append("one"));
  std::filesystem::resize_file(path_, 0);  // logrotate's copytruncate
  EXPECT_TRUE(file->Append("two"));
  EXPECT_THAT(LinesOf(path_), ElementsAre("two"));
}

TEST_F(AuditFileTest, RefusesASymbolicLink) {
  std::ofstream(dir_.path() + "/other") << "";
  std::filesystem::create_symlink(dir_.path() + "/other", path_);
  EXPECT_THAT(OpenError().message(), HasSubstr("symbolic link"));
  std::filesystem::remove(dir_.path() + "/other");
  EXPECT_FALSE(OpenError().ok());
  EXPECT_FALSE(std::filesystem::exists(dir_.path() + "/other"));
}

TEST_F(AuditFileTest, RefusesWhatIsNoRegularFile) {
  std::filesystem::create_directory(path_);
  EXPECT_FALSE(OpenError().ok());
  std::filesystem::remove(path_);

  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_FALSE(OpenError().ok()) << "and does not wait for a reader";
  const int reader = open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  EXPECT_THAT(OpenError().message(), HasSubstr("no regular file"));
  close(reader);

  path_ = "/dev/null";
  EXPECT_THAT(OpenError().message(), HasSubstr("no regular file"));
}

TEST_F(AuditFileTest, SaysWhatIsWrongWithAPath) {
  path_ = dir_.path() + "/missing/audit.jsonl";
  EXPECT_EQ(OpenError().message(), "can't open " + path_ + ": No such file or directory");
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kNotFound);
}

TEST_F(AuditFileTest, IsNotInheritedByChildren) {
  const auto file = Open();
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    if (std::filesystem::read_symlink(entry.path(), error) != path_) continue;
    const int fd = std::stoi(entry.path().filename());
    EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    return;
  }
  FAIL() << "it is not open";
}

TEST_F(AuditFileTest, GoesOnInANewFileAfterARename) {
  const auto file = Open();
  EXPECT_TRUE(file->Append("one"));
  std::filesystem::rename(path_, path_ + ".1");
  clock_.Advance(kSecond - 1);
  EXPECT_TRUE(file->Append("two"));
  clock_.Advance(1);
  EXPECT_TRUE(file->Append("three"));
  EXPECT_THAT(LinesOf(path_ + ".1"), ElementsAre("one", "two"));
  EXPECT_THAT(LinesOf(path_), ElementsAre("three"));
  EXPECT_EQ(ModeOf(path_), 0640U);
}

TEST_F(AuditFileTest, GoesOnInTheFileThatSomebodyPutThere) {
  const auto file = Open();
  std::filesystem::rename(path_, path_ + ".1");
  std::ofstream(path_) << "";
  clock_.Advance(kSecond);
  EXPECT_TRUE(file->Append("one"));
  EXPECT_THAT(LinesOf(path_ + ".1"), IsEmpty());
  EXPECT_THAT(LinesOf(path_), ElementsAre("one"));
}

TEST_F(AuditFileTest, GoesOnAfterARemoval) {
  const auto file = Open();
  std::filesystem::remove(path_);
  clock_.Advance(kSecond);
  EXPECT_TRUE(file->Append("one"));
  EXPECT_THAT(LinesOf(path_), ElementsAre("one"));
}

TEST_F(AuditFileTest, DoesNotFollowALinkThatSomebodyPutThere) {
  const auto file = Open();
  std::ofstream(dir_.path() + "/other") << "";
  std::filesystem::remove(path_);
  std::filesystem::create_symlink(dir_.path() + "/other", path_);
  clock_.Advance(kSecond);
  EXPECT_FALSE(file->Append("one"));
  EXPECT_THAT(file->Problem(), HasSubstr("symbolic link"));
  EXPECT_THAT(LinesOf(dir_.path() + "/other"), IsEmpty());
}

TEST_F(AuditFileTest, SaysThatItCantBeWrittenAndTriesAgain) {
  std::filesystem::create_directory(dir_.path() + "/sub");
  path_ = dir_.path() + "/sub/audit.jsonl";
  const auto file = Open();
  EXPECT_TRUE(file->Append("one"));
  EXPECT_EQ(file->Problem(), "");
  std::filesystem::remove_all(dir_.path() + "/sub");
  clock_.Advance(kSecond);
  EXPECT_FALSE(file->Append("two"));
  EXPECT_FALSE(file->Append("three"));
  EXPECT_EQ(file->Problem(), "can't open " + path_ + ": No such file or directory");
  EXPECT_EQ(file->lost(), 2U);
  std::filesystem::create_directory(dir_.path() + "/sub");
  EXPECT_TRUE(file->Append("four")) << "at once, not a second later";
  EXPECT_EQ(file->Problem(), "");
  EXPECT_EQ(file->lost(), 2U);
  EXPECT_THAT(LinesOf(path_), ElementsAre("four"));
}

/// As a disk that is full after so many bytes.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before_), 0);
    handler_ = signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {bytes, before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST_F(AuditFileTest, APartOfALineDoesNotSpoilTheNext) {
  const auto file = Open();
  EXPECT_TRUE(file->Append("one"));
  {
    const FileSizeLimit limit(6);
    EXPECT_FALSE(file->Append("second"));
    EXPECT_THAT(file->Problem(), HasSubstr("a part of a line"));
    EXPECT_FALSE(file->Append("third"));
    EXPECT_THAT(file->Problem(), HasSubstr("can't write " + path_ + ": File too large"));
    EXPECT_EQ(file->lost(), 2U);
  }
  EXPECT_TRUE(file->Append("four"));
  EXPECT_EQ(file->Problem(), "");
  EXPECT_TRUE(file->Append("five"));
  EXPECT_THAT(LinesOf(path_), ElementsAre("one", "se", "four", "five"));
}

TEST_F(AuditFileTest, ThreadsWriteWholeLines) {
  testing::SharedClock clock;
  const auto file = *AuditFile::Open(path_, [&clock] { return clock.NowNs(); });
  std::vector<std::thread> threads;
  for (const char letter : {'a', 'b', 'c'}) {
    threads.emplace_back([&file, letter] {
      for (int i = 0; i < 200; ++i) file->Append(std::string(300, letter));
    });
  }
  for (int i = 0; i < 20; ++i) {
    std::rename(path_.c_str(), (path_ + "." + std::to_string(i)).c_str());
    clock.Advance(kSecond);
    file->Problem();
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  size_t lines = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
    for (const std::string& line : LinesOf(entry.path())) {
      ++lines;
      EXPECT_EQ(line, std::string(300, line.empty() ? ' ' : line[0]));
    }
  }
  EXPECT_EQ(lines, 600U);
  EXPECT_EQ(file->lost(), 0U);
}

}  // namespace
}  // namespace planecast
