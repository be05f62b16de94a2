// Who opens devices makes no difference: the same suite for this process and for the broker.
#include "vfio/device_opener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/broker/broker_server.h"
#include "service/sockets/unix_socket.h"
#include "service/sources/broker_client.h"
#include "tests/vfio/fake_vmm.h"
#include "vfio/vfio_source.h"

namespace planecast {
namespace {

using ::testing::HasSubstr;

constexpr char kUuidA[] = "11111111-2222-3333-4444-555555555555";
constexpr char kUuidB[] = "66666666-7777-8888-9999-aaaaaaaaaaaa";

enum class Way { kLocal, kBroker };

class OpenerContract : public testing::TestWithParam<Way> {
 protected:
  OpenerContract() : local_(vmm_, "ask somebody else", vmm_.paths()) {
    if (GetParam() == Way::kLocal) return;
    vmm_.KeepInFlight();
    const std::string path = vmm_.root() / "broker.sock";
    auto listener = ListenOnUnix(path, UnixSocketAccess::Owner(), SOCK_SEQPACKET);
    EXPECT_TRUE(listener.ok()) << listener.status();
    auto server = BrokerServer::Start(*std::move(listener), local_, {.streamer = geteuid()});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::make_unique<BrokerClient>(path, vmm_, vmm_.paths());
  }

  DeviceOpener& opener() {
    if (client_ != nullptr) return *client_;
    return local_;
  }
  /// What is on its way has arrived, and the broker has done its part.
  void Land() {
    server_.reset();
    vmm_.Land();
  }

  FakeVmm vmm_;
  LocalOpener local_;
  std::unique_ptr<BrokerServer> server_;
  std::unique_ptr<BrokerClient> client_;
};

TEST_P(OpenerContract, OpensADeviceOfAGroup) {
  FakeDevice& device = vmm_.AddDevice(FakeProfile::kMdpy, 7, kUuidA);
  {
    auto opened = opener().OpenGroup(7, kUuidA);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->description, absl::StrCat("VFIO group 7, device ", kUuidA));
    EXPECT_EQ(opened->keep_alive.size(), 2u);
    EXPECT_FALSE(opened->borrowed);
    EXPECT_FALSE(opened->vmm_pidfd.valid());
    Land();
    EXPECT_EQ(device.counters().open_device_fds, 1) << "ours alone";
    EXPECT_TRUE(MakeVfioSource(*std::move(opened), {}, vmm_.clock()).ok());
  }
  EXPECT_EQ(device.counters().open_device_fds, 0);
  EXPECT_EQ(device.counters().open_other_fds, 0);
}

TEST_P(OpenerContract, OpensACdev) {
  FakeDevice& device = vmm_.AddDevice(FakeProfile::kMbochs, 3, kUuidA);
  {
    auto opened = opener().OpenCdev("/dev/vfio/devices/vfio3");
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->description, "VFIO device /dev/vfio/devices/vfio3");
    EXPECT_EQ(opened->keep_alive.size(), 1u);
    Land();
    EXPECT_EQ(device.counters().open_device_fds, 1);
    EXPECT_TRUE(MakeVfioSource(*std::move(opened), {}, vmm_.clock()).ok());
  }
  EXPECT_EQ(device.counters().open_device_fds, 0);
}

TEST_P(OpenerContract, BorrowsFromAVmm) {
  FakeDevice& device = vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  {
    auto opened = opener().Borrow({kVmmPid, kVmmStartTicks}, kUuidA);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_THAT(opened->description, HasSubstr("borrowed from process 4711: fd 31"));
    EXPECT_TRUE(opened->borrowed);
    EXPECT_TRUE(opened->vmm_pidfd.valid());
    Land();
    EXPECT_EQ(device.counters().open_device_fds, 2) << "the VMM's and ours";
    EXPECT_TRUE(MakeVfioSource(*std::move(opened), {}, vmm_.clock()).ok());
  }
  EXPECT_EQ(device.counters().open_device_fds, 1);
}

TEST_P(OpenerContract, ErrorsAreTheSame) {
  vmm_.OpenByGroup(31, FakeProfile::kMdpy, 7, kUuidA);
  const auto other = opener().Borrow({kVmmPid, kVmmStartTicks + 1}, "");
  EXPECT_EQ(other.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("another process by now"));
  EXPECT_EQ(opener().Borrow({kVmmPid, kVmmStartTicks}, kUuidB).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(opener().Borrow({kVmmPid, kVmmStartTicks}, "../x").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(opener().Borrow({0, 1}, "").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(opener().Borrow({kVmmPid, 0}, "").status().code(), absl::StatusCode::kInvalidArgument);
  const auto busy = opener().OpenGroup(7, kUuidA);
  EXPECT_EQ(busy.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(busy.status().message()), HasSubstr("borrow the device from it"));
  EXPECT_EQ(opener().OpenGroup(-1, kUuidA).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(opener().OpenGroup(7, "").status().code(), absl::StatusCode::kInvalidArgument);
  for (const char* path : {"/dev/null", "/dev/vfio/devices/../vfio", "/dev/vfio/devices/vfio",
                           "/dev/vfio/devices/vfio3x", "/dev/vfio/devices/vfio-3"}) {
    EXPECT_EQ(opener().OpenCdev(path).status().code(), absl::StatusCode::kInvalidArgument) << path;
  }
}

TEST_P(OpenerContract, APciFunctionThatIsNoDisplayIsNotEvenOpened) {
  const std::string name = "0000:3b:00.0";
  vmm_.AddDevice(FakeProfile::kMbochs, 3, name);
  vmm_.FailOpens(-EACCES);
  vmm_.SayPciClass(name, "0x020000");
  for (const auto& opened :
       {opener().OpenGroup(3, name), opener().OpenCdev("/dev/vfio/devices/vfio3")}) {
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(opened.status().message()), HasSubstr("its PCI class is 0x020000"));
  }
  vmm_.SayPciClass(name, "0x030000");
  EXPECT_EQ(opener().OpenGroup(3, name).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_P(OpenerContract, AMissingPermissionSaysWhoElseMay) {
  vmm_.AddDevice(FakeProfile::kMdpy, 7, kUuidA);
  vmm_.FailOpens(-EACCES);
  const auto opened = opener().OpenGroup(7, kUuidA);
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr(", or ask somebody else"));
}

TEST_P(OpenerContract, SaysWhatItCouldDo) {
  const OpenerProblems problems = opener().Problems();
  const OpenerProblems local = local_.Problems();
  EXPECT_EQ(problems.group, local.group);
  EXPECT_EQ(problems.cdev, local.cdev);
  EXPECT_EQ(problems.vmm, local.vmm);
}

INSTANTIATE_TEST_SUITE_P(, OpenerContract, testing::Values(Way::kLocal, Way::kBroker),
                         [](const auto& param) {
                           return std::string(param.param == Way::kLocal ? "Local" : "Broker");
                         });

}  // namespace
}  // namespace planecast
