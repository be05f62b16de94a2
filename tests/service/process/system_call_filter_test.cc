// Each call is tried in a process of its own, which installed the filter.
#include "service/process/system_call_filter.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <functional>
#include <iostream>
#include <string>
#include <thread>

#include "service/process/system_calls.h"
#include "vfio/abi.h"
#include "vfio/fd.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;

/// 0, or the errno of a call that returned -1.
int ErrnoOf(long result) {
  return result == -1 ? errno : 0;
}

/// How a process ended, and what it wrote to stderr.
struct Ended {
  /// Of exit; -1 after a signal.
  int code = -1;
  int signal = 0;
  std::string text;
};

/// Runs `body` in a child that installed the filter; what it returns is the exit code.
Ended Confined(const std::function<int()>& body, const SystemCallNeeds& needs = {}) {
  std::array<int, 2> ends{};
  EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  const Fd reader(KernelSys(), ends[0]);
  Fd writer(KernelSys(), ends[1]);
  const pid_t child = fork();
  if (child == 0) {
    dup2(writer.get(), STDERR_FILENO);
    const absl::Status status = InstallSystemCallFilter(needs);
    if (!status.ok()) {
      std::cerr << status << "\n";
      _exit(99);
    }
    _exit(body());
  }
  writer.Reset();
  Ended ended;
  std::array<char, 4096> buffer{};
  for (ssize_t size = 0; (size = read(reader.get(), buffer.data(), buffer.size())) > 0;) {
    ended.text.append(buffer.data(), static_cast<size_t>(size));
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status)) ended.code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) ended.signal = WTERMSIG(status);
  return ended;
}

class SystemCallFilterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string problem = SystemCallFilterProblem(); !problem.empty()) {
      GTEST_SKIP() << problem;
    }
  }
};

TEST_F(SystemCallFilterTest, DeadlyCallsEndTheProcess) {
  for (const char* call : kDeadlyCalls) {
    const int number = seccomp_syscall_resolve_name(call);
    // This machine has none.
    if (number < 0) continue;
    const Ended ended = Confined([number] {
      syscall(number, 0, 0, 0, 0, 0, 0);
      return 0;
    });
    EXPECT_EQ(ended.signal, SIGSYS) << call;
  }
}

TEST_F(SystemCallFilterTest, UnknownCallsAreRefusedByNameAndOnce) {
  for (const char* call : {"unshare",
                           "setns",
                           "chroot",
                           "setuid",
                           "setresuid",
                           "capset",
                           "keyctl",
                           "perf_event_open",
                           "io_uring_setup",
                           "userfaultfd",
                           "chmod",
                           "chown",
                           "link",
                           "symlink",
                           "mknod",
                           "kill",
                           "pidfd_open",
                           "pidfd_getfd",
                           "open_by_handle_at",
                           "personality",
                           "bind",
                           "listen",
                           "seccomp",
                           "reboot",
                           "swapon",
                           "fork",
                           "vfork"}) {
    const int number = seccomp_syscall_resolve_name(call);
    if (number < 0) continue;
    const Ended ended = Confined([number] {
      const int first = ErrnoOf(syscall(number, 0, 0, 0, 0, 0, 0));
      const int second = ErrnoOf(syscall(number, 0, 0, 0, 0, 0, 0));
      return first == second ? first : 98;
    });
    EXPECT_EQ(ended.code, EPERM) << call << ": " << ended.text;
    const std::string named = "the system call " + std::string(call) + " (number ";
    EXPECT_THAT(ended.text, HasSubstr(named));
    EXPECT_EQ(ended.text.find(named), ended.text.rfind(named)) << "told twice: " << call;
  }
}

TEST_F(SystemCallFilterTest, Clone3IsNotThereSoThatThreadsComeByClone) {
  EXPECT_EQ(Confined([] { return ErrnoOf(syscall(SYS_clone3, 0, 0)); }).code, ENOSYS);
  const Ended thread = Confined([] {
    int seen = 1;
    std::thread other([&seen] { seen = 0; });
    other.join();
    return seen;
  });
  EXPECT_EQ(thread.code, 0) << thread.text;
  EXPECT_EQ(thread.text, "");
}

TEST_F(SystemCallFilterTest, NoProcessComesByClone) {
  for (const unsigned long flags : {0UL, 0UL + SIGCHLD, 0UL + CLONE_VM + CLONE_VFORK + SIGCHLD,
                                    0UL + CLONE_NEWUSER + SIGCHLD}) {
    const Ended ended =
        Confined([flags] { return ErrnoOf(syscall(SYS_clone, flags, 0, 0, 0, 0)); });
    EXPECT_EQ(ended.code, EPERM) << flags;
  }
}

TEST_F(SystemCallFilterTest, ThreadsThatWereThereAreFilteredToo) {
  std::atomic<bool> filtered = false;
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    std::atomic<int> result = -1;
    std::thread other([&] {
      while (!filtered) sched_yield();
      result = ErrnoOf(syscall(SYS_unshare, 0));
    });
    const bool installed = InstallSystemCallFilter({}).ok();
    filtered = true;
    other.join();
    _exit(installed ? result.load() : 99);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), EPERM);
  close(ends[0]);
  close(ends[1]);
}

TEST_F(SystemCallFilterTest, OnlyTheBrokersKindOfSocketCanBeMade) {
  const auto make = [](int family, int type) {
    return Confined([=] { return ErrnoOf(socket(family, type, 0)); }).code;
  };
  EXPECT_EQ(make(AF_UNIX, SOCK_SEQPACKET), 0);
  EXPECT_EQ(make(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK), 0);
  EXPECT_EQ(make(AF_UNIX, SOCK_STREAM), EPERM);
  EXPECT_EQ(make(AF_UNIX, SOCK_DGRAM), EPERM);
  EXPECT_EQ(make(AF_INET, SOCK_STREAM), EPERM);
  EXPECT_EQ(make(AF_INET, SOCK_SEQPACKET), EPERM);
  EXPECT_EQ(make(AF_INET6, SOCK_DGRAM), EPERM);
  EXPECT_EQ(make(AF_NETLINK, SOCK_RAW), EPERM);
  EXPECT_EQ(make(AF_PACKET, SOCK_RAW), EPERM);
}

TEST_F(SystemCallFilterTest, ARefusedRequestIsToldByItsNumberAndASocketByItsFamily) {
  const Ended ended = Confined([] {
    for (const unsigned long request : {0x3b67UL, 0x3b6fUL, 0x3b67UL}) {
      syscall(SYS_ioctl, STDERR_FILENO, request, 0);
    }
    for (const int family : {AF_INET, AF_INET6}) socket(family, SOCK_STREAM, 0);
    return 0;
  });
  EXPECT_EQ(ended.code, 0);
  for (const char* told : {"request 0x00003b67", "request 0x00003b6f", "family 2)"}) {
    EXPECT_THAT(ended.text, HasSubstr(told));
    EXPECT_EQ(ended.text.find(told), ended.text.rfind(told)) << "told twice: " << ended.text;
  }
}

/// What the filter makes of an ioctl on a file that knows none of ours.
int Request(unsigned long request, const SystemCallNeeds& needs = {}) {
  return Confined(
             [request] {
               const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
               // By number: a device's call outside vfio/, for which no Sys is needed.
               return ErrnoOf(syscall(SYS_ioctl, fd, request, 0));
             },
             needs)
      .code;
}

TEST_F(SystemCallFilterTest, OnlyRequestsThatAreOursReachADevice) {
  for (const unsigned long ours :
       {abi::kDeviceGetInfo, abi::kDeviceGetRegionInfo, abi::kDeviceGetIrqInfo, abi::kDeviceSetIrqs,
        abi::kQueryGfxPlane, abi::kGetGfxDmabuf, abi::kDmabufSync, abi::kDmabufExportSyncFile,
        0xc0406400UL, 0x5401UL}) {
    EXPECT_EQ(Request(ours), ENOTTY) << std::hex << ours;
  }
  // The last are TIOCSTI, TUNSETIFF, KVM_CREATE_VM, FS_IOC_SETFLAGS and BLKROSET.
  for (const unsigned long other :
       {abi::kDeviceReset, abi::kGroupGetDeviceFd, abi::kGroupSetContainer, abi::kSetIommu,
        abi::kDeviceBindIommufd, abi::kDeviceFeature, 0x5412UL, 0x400454caUL, 0xae01UL,
        0x40086602UL, 0x125dUL}) {
    EXPECT_EQ(Request(other), EPERM) << std::hex << other;
  }
  // The kernel looks at 32 bits.
  EXPECT_EQ(Request(abi::kDeviceReset | 1UL << 32), EPERM);
}

TEST_F(SystemCallFilterTest, ADaemonThatOpensDevicesItselfMay) {
  const SystemCallNeeds needs{.opens_devices = true};
  EXPECT_EQ(Request(abi::kGroupGetDeviceFd, needs), ENOTTY);
  EXPECT_EQ(Request(abi::kDeviceBindIommufd, needs), ENOTTY);
  EXPECT_EQ(Request(abi::kDeviceReset, needs), EPERM);
  const Ended ended = Confined([] { return ErrnoOf(syscall(SYS_pidfd_open, getpid(), 0)); }, needs);
  EXPECT_EQ(ended.code, 0);
}

TEST_F(SystemCallFilterTest, TheDraftsRequestIsForWhoAsksForIt) {
  EXPECT_EQ(Request(abi::kSetGfxFlipEventfd), EPERM);
  EXPECT_EQ(Request(abi::kSetGfxFlipEventfd, {.flip_eventfd_draft = true}), ENOTTY);
}

TEST_F(SystemCallFilterTest, WhatTheDaemonNeedsOfItselfItMay) {
  const Ended ended = Confined([] {
    if (prctl(PR_SET_NAME, "x", 0, 0, 0) != 0) return 1;
    if (syscall(SYS_prlimit64, 0, 7, nullptr, nullptr) != 0) return 2;
    if (sysconf(_SC_NPROCESSORS_ONLN) < 1) return 3;
    const int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    std::array<char, 64> text{};
    if (fd < 0 || read(fd, text.data(), text.size()) <= 0) return 4;
    return 0;
  });
  EXPECT_EQ(ended.code, 0) << ended.text;
  EXPECT_EQ(ended.text, "");
}

TEST_F(SystemCallFilterTest, OthersLimitsAndThreadsAreNotItsOwn) {
  EXPECT_EQ(Confined([] { return ErrnoOf(syscall(SYS_prlimit64, 1, 7, nullptr, nullptr)); }).code,
            EPERM);
  EXPECT_EQ(Confined([] { return ErrnoOf(syscall(SYS_tgkill, 1, 1, 0)); }).code, EPERM);
  EXPECT_EQ(Confined([] { return ErrnoOf(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)); }).code, EPERM);
}

}  // namespace
}  // namespace planecast::testing
