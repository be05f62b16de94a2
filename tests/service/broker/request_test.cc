#include "service/broker/request.h"

#include <gtest/gtest.h>

#include <string>

#include "planecast/broker/v1/broker.pb.h"

namespace planecast {
namespace {

using broker::v1::OpenRequest;

absl::StatusCode CodeOf(const OpenRequest& request) {
  return ParseBrokerRequest(request.SerializeAsString()).status().code();
}

TEST(BrokerRequestTest, ReadsEachKind) {
  OpenRequest request;
  request.mutable_group_device()->set_group(12);
  request.mutable_group_device()->set_device("0000:00:02.0");
  auto parsed = ParseBrokerRequest(request.SerializeAsString());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(std::get<GroupRequest>(*parsed).group, 12);
  EXPECT_EQ(std::get<GroupRequest>(*parsed).device, "0000:00:02.0");

  request.mutable_cdev_device()->set_number(3);
  parsed = ParseBrokerRequest(request.SerializeAsString());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(std::get<CdevRequest>(*parsed).number, 3);

  request.mutable_vmm_device()->set_pid(4711);
  request.mutable_vmm_device()->set_start_time_ticks(99);
  parsed = ParseBrokerRequest(request.SerializeAsString());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(std::get<BorrowRequest>(*parsed).vmm.pid, 4711);
  EXPECT_EQ(std::get<BorrowRequest>(*parsed).vmm.start_time_ticks, 99);
  EXPECT_EQ(std::get<BorrowRequest>(*parsed).device, "");

  request.mutable_probe();
  parsed = ParseBrokerRequest(request.SerializeAsString());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(std::holds_alternative<ProbeRequest>(*parsed));
}

TEST(BrokerRequestTest, RefusesWhatIsOutOfRange) {
  OpenRequest request;
  EXPECT_EQ(CodeOf(request), absl::StatusCode::kInvalidArgument);
  request.mutable_cdev_device()->set_number(-1);
  EXPECT_EQ(CodeOf(request), absl::StatusCode::kInvalidArgument);
  request.mutable_group_device()->set_group(-1);
  request.mutable_group_device()->set_device("a");
  EXPECT_EQ(CodeOf(request), absl::StatusCode::kInvalidArgument);
  for (const std::string name : {"", "..", "a/b", "/dev/null", "a b", "\x01"}) {
    request.mutable_group_device()->set_group(1);
    request.mutable_group_device()->set_device(name);
    EXPECT_EQ(CodeOf(request), absl::StatusCode::kInvalidArgument) << name;
  }
  broker::v1::VmmDevice& vmm = *request.mutable_vmm_device();
  vmm.set_pid(-1);
  vmm.set_start_time_ticks(1);
  EXPECT_EQ(CodeOf(request), absl::StatusCode::kInvalidArgument);
  vmm.set_pid(1);
  vmm.set_start_time_ticks(0);
  EXPECT_EQ(CodeOf(request), absl::StatusCode::kInvalidArgument);
  vmm.set_start_time_ticks(1);
  vmm.set_device("/dev/vfio/devices/vfio3");
  EXPECT_EQ(CodeOf(request), absl::StatusCode::kInvalidArgument) << "no path";
}

TEST(BrokerRequestTest, RefusesWhatIsNoRequest) {
  for (const std::string& bytes : {std::string("\xff\xff\xff"), std::string(5000, 'a')}) {
    EXPECT_EQ(ParseBrokerRequest(bytes).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace planecast
