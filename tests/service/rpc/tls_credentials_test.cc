// Which clients MakeTlsCredentials lets in.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"
#include "service/rpc/listen.h"
#include "tests/service/rpc/test_certificates.h"
#include "tests/service/temp_dir.h"

namespace planecast::testing {
namespace {

using config::v1::TlsConfig;
using grpc::health::v1::Health;

/// No call may take longer; far beyond what any needs.
constexpr std::chrono::seconds kCallMax{30};

/// Answers who gets through.
class Answerer final : public Health::Service {
 public:
  grpc::Status Check(grpc::ServerContext* context,
                     const grpc::health::v1::HealthCheckRequest* /*request*/,
                     grpc::health::v1::HealthCheckResponse* /*response*/) override {
    authenticated = context->auth_context()->IsPeerAuthenticated();
    return grpc::Status::OK;
  }
  bool authenticated = false;
};

class TlsCredentialsTest : public ::testing::Test {
 protected:
  void Serve(TlsConfig::ClientCertificate certificate) {
    TlsConfig tls;
    const TestCertificate server = MakeLeaf("server", ca_);
    tls.set_certificate_path(Write("cert.pem", server.certificate));
    tls.set_private_key_path(Write("key.pem", server.key));
    tls.set_client_ca_path(Write("client_ca.pem", client_ca_.certificate));
    tls.set_client_certificate(certificate);
    auto credentials = MakeTlsCredentials(tls);
    ASSERT_TRUE(credentials.ok()) << credentials.status();
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", *std::move(credentials), &port_);
    builder.RegisterService(&answerer_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  grpc::StatusCode Call(const TestCertificate& client = {}) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ca_.certificate;
    options.pem_cert_chain = client.certificate;
    options.pem_private_key = client.key;
    const auto stub = Health::NewStub(
        grpc::CreateChannel("127.0.0.1:" + std::to_string(port_), grpc::SslCredentials(options)));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallMax);
    grpc::health::v1::HealthCheckResponse response;
    return stub->Check(&context, {}, &response).error_code();
  }

  const TestCertificate ca_ = MakeCa("ca");
  const TestCertificate client_ca_ = MakeCa("client ca");
  Answerer answerer_;

 private:
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = dir_.path() + "/" + name;
    std::ofstream(path) << text;
    return path;
  }

  const TempDir dir_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(TlsCredentialsTest, AnOptionalCertificateMayBeMissingButNotAForeigners) {
  Serve(TlsConfig::CLIENT_CERTIFICATE_OPTIONAL);
  EXPECT_EQ(Call(), grpc::StatusCode::OK);
  EXPECT_FALSE(answerer_.authenticated);
  EXPECT_EQ(Call(MakeLeaf("client", client_ca_)), grpc::StatusCode::OK);
  EXPECT_TRUE(answerer_.authenticated);
  EXPECT_EQ(Call(MakeLeaf("client", MakeCa("other"))), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsCredentialsTest, ARequiredCertificateMayNotBeMissing) {
  for (const auto certificate :
       {TlsConfig::CLIENT_CERTIFICATE_REQUIRED, TlsConfig::CLIENT_CERTIFICATE_UNSPECIFIED}) {
    Serve(certificate);
    EXPECT_EQ(Call(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_EQ(Call(MakeLeaf("client", MakeCa("other"))), grpc::StatusCode::UNAVAILABLE);
    EXPECT_EQ(Call(MakeLeaf("client", client_ca_)), grpc::StatusCode::OK);
    EXPECT_TRUE(answerer_.authenticated);
  }
}

}  // namespace
}  // namespace planecast::testing
