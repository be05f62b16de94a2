// A config of the time before there were rights starts a whole daemon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/service/config/yesterday.h"
#include "tests/service/daemon_access_testing.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;

class DaemonYesterdayTest : public DaemonTest {
 protected:
  DaemonYesterdayTest() { config_text_ = YesterdaysConfigIn(dir_.path(), ca_); }
  As OverTls(const TestCertificate& client) const {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ca_.certificate;
    options.pem_cert_chain = client.certificate;
    options.pem_private_key = client.key;
    for (const BoundAddress& address : daemon_->addresses()) {
      if (address.tls) return {grpc::CreateChannel(address.target, grpc::SslCredentials(options))};
    }
    ADD_FAILURE() << "no listener has TLS";
    return {};
  }
  static std::string HostInfo(const As& as) {
    v1::GetHostInfoResponse response;
    return Told(Call(as, &v1::HostService::Stub::GetHostInfo, v1::GetHostInfoRequest(), &response));
  }

  const TestCertificate ca_ = MakeCa("ca");
};

TEST_F(DaemonYesterdayTest, ItStartsServesOperatorsAndTellsThemWhoIsNoLongerLetIn) {
  const absl::Status status = TryStart();
  ASSERT_TRUE(status.ok()) << status;
  const auto& addresses = daemon_->addresses();
  ASSERT_EQ(addresses.size(), 4U);
  EXPECT_EQ(addresses[0].target, "unix:" + dir_.path() + "/planecast.sock");
  EXPECT_EQ(addresses[1].target, "unix:" + dir_.path() + "/viewers.sock");
  Connect(grpc::CreateChannel(addresses[0].target, grpc::InsecureChannelCredentials()));
  EXPECT_EQ(Display("demo").state(), v1::Display::STATE_ACTIVE);
  EXPECT_TRUE(Display("vm1").configured());
  EXPECT_NE(daemon_->metrics_address(), "");
  // The listeners are there, and let nobody in until the config says whom.
  const As plain{grpc::CreateChannel(addresses[3].target, grpc::InsecureChannelCredentials())};
  EXPECT_EQ(HostInfo(plain), "UNAUTHENTICATED CREDENTIALS_MISSING");
  EXPECT_EQ(HostInfo(OverTls(MakeLeaf("client", ca_))), "PERMISSION_DENIED PERMISSION_MISSING");
  EXPECT_EQ(HostInfo(OverTls(MakeLeaf("client", MakeCa("other")))), "UNAVAILABLE");
  EXPECT_THAT(log_.Text(), HasSubstr("anonymous_role: \"operator\""));
  EXPECT_THAT(log_.Text(), HasSubstr("certificate"));
}

}  // namespace
}  // namespace planecast::testing
