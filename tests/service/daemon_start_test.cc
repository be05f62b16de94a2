// The order of a daemon's start: what may need privileges, then letting go of them, then the rest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/service/daemon_testing.h"

namespace planecast::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class DaemonStartTest : public DaemonTest {
 protected:
  bool Exists(const std::string& name) const {
    return std::filesystem::exists(dir_.path() + "/" + name);
  }
  std::string Fake() const {
    return " displays { display_id: \"a\" source { fake { profile: \"ideal\" } } } ";
  }
};

TEST_F(DaemonStartTest, AllThatMayNeedPrivilegesIsOpenWhenTheyAreDropped) {
  std::vector<std::string> calls;
  parts_.on_bound = [&] {
    calls.emplace_back("bound");
    EXPECT_TRUE(Exists("s.sock"));
    EXPECT_TRUE(Exists("hand-over.sock"));
    EXPECT_TRUE(Exists("audit"));
    EXPECT_EQ(opened_, 0);
    return absl::OkStatus();
  };
  parts_.on_probed = [&] {
    calls.emplace_back("probed");
    EXPECT_EQ(opened_, 0) << "a device was opened before system calls are filtered";
    return absl::OkStatus();
  };
  Start(Fake() + " hand_over_socket_path: \"" + dir_.path() +
        "/hand-over.sock\" audit { file_path: \"" + dir_.path() + "/audit\" }");
  EXPECT_THAT(calls, ElementsAre("bound", "probed"));
  EXPECT_EQ(opened_, 1);
}

TEST_F(DaemonStartTest, CertificatesAreReadByWhomTheProcessHasBecome) {
  const std::string key = dir_.path() + "/key.pem";
  bool bound = false;
  parts_.on_bound = [&] {
    bound = true;
    return absl::OkStatus();
  };
  const absl::Status status =
      TryStart(" listeners { address: \"127.0.0.1:0\" tls { certificate_path: \"" + key +
               "\" private_key_path: \"" + key + "\" } }");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(bound) << "the key was looked for too early";
}

TEST_F(DaemonStartTest, AStepThatFailsEndsTheStartAndLeavesNoSocket) {
  for (auto step : {&Daemon::Parts::on_bound, &Daemon::Parts::on_probed}) {
    parts_.on_bound = nullptr;
    parts_.*step = [] { return absl::PermissionDeniedError("not today"); };
    const absl::Status status =
        TryStart(Fake() + " hand_over_socket_path: \"" + dir_.path() + "/hand-over.sock\"");
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_THAT(std::string(status.message()), HasSubstr("not today"));
    EXPECT_FALSE(Exists("s.sock"));
    EXPECT_FALSE(Exists("hand-over.sock"));
    EXPECT_EQ(opened_, 0);
  }
}

TEST_F(DaemonStartTest, OnlyOperatorsAreToldWhatTheProcessMay) {
  parts_.confinement = [] {
    Confinement confinement;
    confinement.user = "planecast (uid 998)";
    confinement.broker = true;
    confinement.system_call_filter_problem = "turned off";
    return confinement;
  };
  Start(" listeners { address: \"[::1]:0\" anonymous_role: \"viewer\" }");
  CallContext context;
  v1::GetHostInfoResponse response;
  ASSERT_TRUE(host_->GetHostInfo(&context, {}, &response).ok());
  EXPECT_EQ(response.confinement().user(), "planecast (uid 998)");
  EXPECT_EQ(response.confinement().opener(), "broker");
  EXPECT_FALSE(response.confinement().system_calls_filtered());
  EXPECT_EQ(response.confinement().system_call_filter_problem(), "turned off");

  Connect(
      grpc::CreateChannel(daemon_->addresses().at(2).target, grpc::InsecureChannelCredentials()));
  CallContext viewers_context;
  ASSERT_TRUE(host_->GetHostInfo(&viewers_context, {}, &response).ok());
  EXPECT_FALSE(response.has_confinement());
}

}  // namespace
}  // namespace planecast::testing
