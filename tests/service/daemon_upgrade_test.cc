// A whole daemon with the config of the time before there were rights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "service/sockets/unix_socket.h"
#include "tests/service/config/yesterday.h"
#include "tests/service/daemon_testing.h"
#include "tests/service/rpc/test_certificates.h"

namespace planecast::testing {
namespace {

using ::testing::AnyOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class DaemonUpgradeTest : public DaemonTest {
 protected:
  DaemonUpgradeTest() { config_text_ = YesterdaysConfigIn(dir_.path(), ca_); }

  grpc::StatusCode HostInfo(size_t address,
                            const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    Connect(grpc::CreateChannel(daemon_->addresses().at(address).target, credentials));
    CallContext context;
    v1::GetHostInfoResponse response;
    return host_->GetHostInfo(&context, {}, &response).error_code();
  }
  /// The displays that there are.
  std::string Listed() {
    Connect(grpc::CreateChannel(daemon_->addresses().at(kOperators).target,
                                grpc::InsecureChannelCredentials()));
    CallContext context;
    v1::ListDisplaysResponse response;
    EXPECT_TRUE(displays_->ListDisplays(&context, {}, &response).ok());
    std::string names;
    for (const v1::Display& display : response.displays()) {
      names += (names.empty() ? "" : " ") + display.name();
    }
    return names;
  }
  grpc::StatusCode WithCertificate() {
    const TestCertificate client = MakeLeaf("client", ca_);
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ca_.certificate;
    options.pem_cert_chain = client.certificate;
    options.pem_private_key = client.key;
    return HostInfo(kTls, grpc::SslCredentials(options));
  }

  /// The addresses' order.
  static constexpr size_t kOperators = 0;
  static constexpr size_t kTls = 2;
  static constexpr size_t kPlain = 3;
  const TestCertificate ca_ = MakeCa("ca");
};

TEST_F(DaemonUpgradeTest, ItStartsAndSaysWhatItGivesNoMore) {
  const absl::Status status = TryStart();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(HostInfo(kOperators, grpc::InsecureChannelCredentials()), grpc::StatusCode::OK);
  const auto refused =
      AnyOf(grpc::StatusCode::UNAUTHENTICATED, grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(HostInfo(kPlain, grpc::InsecureChannelCredentials()), refused);
  EXPECT_THAT(WithCertificate(), refused);
  EXPECT_THAT(log_.Text(), ContainsRegex("warning listeners.0.[^\n]*bindings \\{"));
  EXPECT_THAT(log_.Text(), ContainsRegex("warning listeners.1.[^\n]*anonymous_role: \"operator\""));
  EXPECT_THAT(log_.Text(),
              ContainsRegex("warning displays.0., demo[^\n]*allow_fake_devices: true"));
  EXPECT_EQ(Listed(), "displays/vm1");
}

TEST_F(DaemonUpgradeTest, WithTheAdvisedLinesItGivesWhatItGave) {
  const std::string plain = "listeners { address: \"127.0.0.1:0\"";
  const size_t at = config_text_.find(plain);
  ASSERT_NE(at, std::string::npos);
  config_text_.insert(at + plain.size(), " anonymous_role: \"operator\"");
  const absl::Status status = TryStart(
      "bindings { certificate_subject: \"CN=client\" role: \"operator\" displays: \"*\" } "
      "allow_fake_devices: true");
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(HostInfo(kPlain, grpc::InsecureChannelCredentials()), grpc::StatusCode::OK);
  EXPECT_EQ(WithCertificate(), grpc::StatusCode::OK);
  EXPECT_EQ(Listed(), "displays/demo displays/vm1");
  EXPECT_THAT(log_.Text(), Not(HasSubstr("ntil now")));
}

TEST_F(DaemonUpgradeTest, AViewersSocketThatNobodyAskedForMayBeTaken) {
  const auto claim = ClaimSocketPath(dir_.path() + "/viewers.sock");
  ASSERT_TRUE(claim.ok()) << claim.status();
  EXPECT_TRUE(TryStart().ok());
  EXPECT_THAT(log_.Text(), HasSubstr("warning no socket for viewers: "));
  daemon_.reset();
  // One that was asked for may not.
  const auto other = ClaimSocketPath(dir_.path() + "/other.sock");
  EXPECT_EQ(TryStart("viewer_socket_path: \"" + dir_.path() + "/other.sock\"").code(),
            absl::StatusCode::kAlreadyExists);
}

}  // namespace
}  // namespace planecast::testing
