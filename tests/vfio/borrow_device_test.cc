// BorrowVmmDevice: what is borrowed is proved to be what was asked for.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/vfio/fake_vmm.h"
#include "tests/vfio/source_testing.h"
#include "vfio/open_device.h"

namespace planecast {
namespace {

using testing::HasSubstr;

constexpr char kUuidA[] = "11111111-2222-3333-4444-555555555555";
constexpr char kUuidB[] = "66666666-7777-8888-9999-aaaaaaaaaaaa";

std::string Text(const absl::StatusOr<OpenedDevice>& opened) {
  return std::string(opened.status().message());
}

class BorrowTest : public testing::Test {
 protected:
  absl::StatusOr<OpenedDevice> Borrow(std::string_view device) {
    return BorrowVmmDevice(vmm_, {kVmmPid, kVmmStartTicks}, device, vmm_.paths());
  }
  FakeVmm vmm_;
};

TEST_F(BorrowTest, FindsTheOnlyGfxDeviceAmongOtherFiles) {
  vmm_.AddLink(0, "/dev/null");
  vmm_.AddLink(9, "anon_inode:[eventpoll]");
  vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  const auto opened = Borrow("");
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE(opened->borrowed);
  EXPECT_TRUE(opened->vmm_pidfd.valid());
  EXPECT_EQ(vmm_.copies_count(), 2) << "only what is VFIO's by its name is copied";
  EXPECT_EQ(vmm_.ours_count(), 1u) << "the group's copy is closed again";
  EXPECT_EQ(opened->description, absl::StrCat("borrowed from process 4711: fd 31, device ", kUuidA,
                                              ", the only one of group 7, which is all that the "
                                              "process has open"));
}

TEST_F(BorrowTest, APidThatIsAnotherProcessByNowIsRefused) {
  vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  vmm_.SetStat("qemu) S 1 (kvm", kVmmStartTicks + 1);
  const auto opened = Borrow("");
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Text(opened), HasSubstr("is another process by now"));
  EXPECT_EQ(vmm_.copies_count(), 0);
  // A name may hold anything.
  vmm_.SetStat("qemu) S 1 (kvm", kVmmStartTicks);
  EXPECT_TRUE(Borrow("").ok());
}

TEST_F(BorrowTest, APidAloneIsNotEnough) {
  const auto opened = BorrowVmmDevice(vmm_, {kVmmPid, 0}, "", vmm_.paths());
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Text(opened), HasSubstr("field 22 of /proc/PID/stat"));
}

TEST_F(BorrowTest, PassesOverVfioDevicesWithoutAPlane) {
  vmm_.AddLink(20, "anon_inode:[vfio-device]");
  vmm_.OpenByGroup(31, FakeProfile::kGvt, 7, kUuidA);
  ASSERT_TRUE(Borrow("").ok());
  EXPECT_EQ(vmm_.ours_count(), 0u) << "what was copied is closed again with the result";
}

// One of FUSE would never answer what it is, nor let a copy be closed.
TEST_F(BorrowTest, AFileUnderTheNameOfAGroupIsNotEvenCopied) {
  vmm_.AddLink(20, "/dev/vfio/5");
  vmm_.HoldFile(20, Fd(KernelSys(), memfd_create("not VFIO", MFD_CLOEXEC)));
  vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  const auto opened = Borrow("");
  EXPECT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(vmm_.copies_count(), 2) << "the device's and its group's";
}

TEST_F(BorrowTest, AFileThatTakesADevicesPlaceMeanwhileIsRefusedAndNeverClosed) {
  vmm_.AddLink(20, "/dev/vfio/devices/vfio3");
  vmm_.SayKind(20, S_IFCHR);
  vmm_.HoldFile(20, Fd(KernelSys(), memfd_create("not VFIO", MFD_CLOEXEC)));
  const auto opened = Borrow("");
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Text(opened), HasSubstr("another file in the place of its fd 20"));
  const Fd copy(KernelSys(), vmm_.last_copy());
  EXPECT_GE(fcntl(copy.get(), F_GETFD), 0) << "closing it asks its file system";
}

TEST_F(BorrowTest, AmbiguityIsAnErrorThatNamesTheCandidates) {
  vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  vmm_.OpenByGroup(41, FakeProfile::kMdpy, 8, kUuidB);
  const auto opened = Borrow("");
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Text(opened), HasSubstr("31"));
  EXPECT_THAT(Text(opened), HasSubstr("41"));
  EXPECT_EQ(Borrow(kUuidA).status().code(), absl::StatusCode::kFailedPrecondition)
      << "nothing tells which one that is";
  EXPECT_EQ(vmm_.ours_count(), 0u);
}

TEST_F(BorrowTest, TakesTheDeviceThatTheKernelNamesInFdinfo) {
  vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  vmm_.OpenByGroup(41, FakeProfile::kNvidia, 8, kUuidB);
  vmm_.SayInFdinfo(31, std::string("vfio-device-syspath:\t/sys/devices/virtual/mdpy/") + kUuidA);
  vmm_.SayInFdinfo(41, std::string("vfio-device-syspath:\t/sys/devices/pci0000:00/") + kUuidB);
  const auto opened = Borrow(kUuidB);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_THAT(opened->description, HasSubstr(kUuidB));
  EXPECT_EQ(vmm_.DeviceOf(opened->device.get()), &vmm_.holder(41));
  EXPECT_EQ(Borrow("0000:00:02.0").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(BorrowTest, TakesTheCdevThatSysfsNames) {
  vmm_.OpenByCdev(31, FakeProfile::kMbochs, 3, kUuidA);
  vmm_.OpenByCdev(32, FakeProfile::kMbochs, 4, kUuidB);
  const auto by_uuid = Borrow(kUuidB);
  ASSERT_TRUE(by_uuid.ok()) << by_uuid.status();
  EXPECT_EQ(vmm_.DeviceOf(by_uuid->device.get()), &vmm_.holder(32));
  const auto by_path = Borrow("/dev/vfio/devices/vfio3");
  ASSERT_TRUE(by_path.ok()) << by_path.status();
  EXPECT_EQ(vmm_.DeviceOf(by_path->device.get()), &vmm_.holder(31));
}

TEST_F(BorrowTest, SeveralFdsOfOneNamedDeviceAreOneDevice) {
  FakeDevice& device = vmm_.OpenByCdev(31, FakeProfile::kMbochs, 3, kUuidA);
  vmm_.AddLink(33, "/dev/vfio/devices/vfio3");
  auto copy = BorrowVmmDevice(vmm_, {kVmmPid, kVmmStartTicks}, "", vmm_.paths());
  ASSERT_TRUE(copy.ok()) << copy.status();
  vmm_.Hold(33, device, device.Dup(copy->device.get()));
  EXPECT_TRUE(Borrow("").ok());
}

// In a mount namespace of his own anybody can have a file at any path.
TEST_F(BorrowTest, ACdevIsWhatItsNumbersSayNotItsPath) {
  vmm_.OpenByCdev(31, FakeProfile::kMbochs, 3, kUuidA);
  vmm_.WriteDev("vfio-dev", "vfio3", 510, 9);
  EXPECT_EQ(Borrow(kUuidA).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Borrow("").status().code(), absl::StatusCode::kNotFound);
  // A file of another kind is not even asked.
  vmm_.AddLink(32, "/dev/vfio/devices/vfio4");
  EXPECT_EQ(Borrow("").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(BorrowTest, ADeviceThatTheKernelDoesNotNameIsConfirmedByItsGroup) {
  vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  const auto opened = Borrow(kUuidA);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_THAT(opened->description, HasSubstr(absl::StrCat("device ", kUuidA)));
  EXPECT_THAT(opened->description, HasSubstr("group 7"));
}

TEST_F(BorrowTest, ADeviceOfAGroupThatTheVmmDoesNotHoldIsNotItsDevice) {
  vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  vmm_.AddDevice(FakeProfile::kMdpy, 8, kUuidB);
  const auto other = Borrow(kUuidB);
  EXPECT_EQ(other.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Text(other), HasSubstr("/dev/vfio/8"));
  const auto unknown = Borrow("0000:00:02.0");
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Text(unknown), HasSubstr("this host has no device"));
}

TEST_F(BorrowTest, AGroupIsWhatItsNumbersSayNotItsPath) {
  vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  vmm_.WriteDev("vfio", "7", 511, 8);
  EXPECT_EQ(Borrow(kUuidA).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(BorrowTest, WhatCantBeConfirmedIsRefusedWithWhatToDo) {
  vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  vmm_.PutInGroup("0000:00:1f.3", 7);
  const auto shared = Borrow(kUuidA);
  EXPECT_EQ(shared.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Text(shared), HasSubstr("other devices"));
  EXPECT_THAT(Text(shared), HasSubstr("attach without naming the device"));
  EXPECT_TRUE(Borrow("").ok()) << "the only one of that process";
}

TEST_F(BorrowTest, AVmmWithSeveralGroupsDoesNotShowWhichDeviceIsWhose) {
  vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  FakeDevice& other = vmm_.AddDevice(FakeProfile::kMdpy, 8, kUuidB);
  vmm_.AddLink(40, other.group_path());
  vmm_.Hold(40, other, other.Open(other.group_path().c_str(), 0));
  const auto opened = Borrow(kUuidB);
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Text(opened), HasSubstr("several groups"));
}

TEST_F(BorrowTest, ANameIsNoWayOutOfSysfs) {
  vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  for (const std::string name : {"..", "../../etc", "a/b", ".hidden", "a b"}) {
    EXPECT_EQ(Borrow(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
  EXPECT_EQ(Borrow(std::string(65, 'a')).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(BorrowTest, AVmmCantMakeUsCopyWithoutEnd) {
  for (int fd = 0; fd < 300; ++fd) vmm_.AddLink(fd, "anon_inode:[vfio-device]");
  EXPECT_EQ(Borrow("").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(vmm_.copies_count(), 0);
}

TEST_F(BorrowTest, AMissingPermissionNamesItsRemedy) {
  vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  vmm_.FailCopies(-EPERM);
  const auto opened = Borrow("");
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(Text(opened), HasSubstr("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"));
}

TEST_F(BorrowTest, MissingProcessesAndDevicesAreNotFound) {
  EXPECT_EQ(Borrow("").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(BorrowVmmDevice(vmm_, {kVmmPid + 1, 1}, "", vmm_.paths()).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(BorrowVmmDevice(vmm_, {0, 1}, "", vmm_.paths()).status().code(),
            absl::StatusCode::kInvalidArgument);
  vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  vmm_.FailCopies(-ESRCH);
  EXPECT_EQ(Borrow("").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(BorrowTest, LivesOffTheCopyAndGivesItBack) {
  FakeDevice& device = vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  auto opened = Borrow("");
  ASSERT_TRUE(opened.ok());
  auto source = MakeVfioSource(*std::move(opened), {}, vmm_.clock());
  ASSERT_TRUE(source.ok());
  ASSERT_TRUE(device.guest().SetMode({.width_px = 640, .height_px = 480}).ok());
  EXPECT_EQ((*source)->Look(0).primary, Primary::kFrame);
  source->reset();
  EXPECT_EQ(device.counters().open_device_fds, 1) << "the VMM's own";
  EXPECT_EQ(device.counters().live_mappings, 0);
}

TEST(BorrowVmmDeviceTest, FindsNothingInAProcessWithoutDevices) {
  const auto start = ProcessStartTimeTicks(getpid());
  ASSERT_TRUE(start.ok()) << start.status();
  EXPECT_EQ(BorrowVmmDevice(KernelSys(), {getpid(), *start}, "").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(BorrowVmmDevice(KernelSys(), {getpid(), *start + 1}, "").status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace planecast
