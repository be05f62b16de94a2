// How a whole daemon can be reached: sockets, TLS, health, reflection.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "service/sockets/unix_socket.h"
#include "tests/service/daemon_testing.h"
#include "tests/service/rpc/test_certificates.h"

namespace planecast::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class DaemonListenTest : public DaemonTest {
 protected:
  grpc::Status HostInfo(const std::string& target,
                        const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    Connect(grpc::CreateChannel(target, credentials));
    CallContext context;
    v1::GetHostInfoResponse response;
    return host_->GetHostInfo(&context, {}, &response);
  }
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = dir_.path() + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  /// A listener with TLS on a free port; `client_ca` may be empty.
  std::string TlsListener(const TestCertificate& server, const std::string& client_ca = "") {
    std::string text = " listeners { address: \"127.0.0.1:0\" tls { certificate_path: \"" +
                       Write("cert.pem", server.certificate) + "\" private_key_path: \"" +
                       Write("key.pem", server.key) + "\"";
    if (!client_ca.empty()) {
      text += " client_ca_path: \"" + Write("client_ca.pem", client_ca) + "\"";
    }
    return text + " } anonymous_role: \"operator\" }";
  }
  std::string TlsTarget() const { return daemon_->addresses().at(2).target; }
};

std::shared_ptr<grpc::ChannelCredentials> TlsClient(const TestCertificate& ca,
                                                    const TestCertificate& client = {}) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ca.certificate;
  options.pem_cert_chain = client.certificate;
  options.pem_private_key = client.key;
  return grpc::SslCredentials(options);
}

TEST_F(DaemonListenTest, TheUnixSocketIsItsOwnersAlone) {
  Start();
  struct stat info {};
  ASSERT_EQ(stat(SocketPath().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  EXPECT_TRUE(HostInfo("unix:" + SocketPath(), grpc::InsecureChannelCredentials()).ok());
  daemon_.reset();
  EXPECT_NE(stat(SocketPath().c_str(), &info), 0);
}

TEST_F(DaemonListenTest, AFreePortIsChosenAndLogged) {
  Start();
  const auto& addresses = daemon_->addresses();
  ASSERT_EQ(addresses.size(), 2U);
  EXPECT_EQ(addresses[0].target, "unix:" + SocketPath());
  EXPECT_GT(addresses[1].port, 0);
  EXPECT_EQ(addresses[1].target, "127.0.0.1:" + std::to_string(addresses[1].port));
  EXPECT_THAT(log_.Text(), HasSubstr("listening on " + addresses[1].target + "\n"));
}

TEST_F(DaemonListenTest, ASocketInUseIsLeftAlone) {
  Start();
  LogFile log(dir_.path() + "/log2");
  auto config = ParseConfig("socket_path: \"" + SocketPath() +
                                "\" displays { display_id: \"a\" source { fake { profile: "
                                "\"ideal\" } } }",
                            "test");
  ASSERT_TRUE(config.ok());
  auto second = Daemon::Start(*config, log.logger(), parts_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  // The first one may have it open.
  EXPECT_EQ(opened_, 0);
  EXPECT_TRUE(HostInfo("unix:" + SocketPath(), grpc::InsecureChannelCredentials()).ok());
}

TEST_F(DaemonListenTest, APathIsTakenBeforeItsSocketIsThere) {
  const auto claim = ClaimSocketPath(SocketPath());
  ASSERT_TRUE(claim.ok()) << claim.status();
  EXPECT_EQ(TryStart().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(DaemonListenTest, APathIsFreeAfterADrain) {
  Start();
  daemon_->Drain();
  EXPECT_TRUE(ClaimSocketPath(SocketPath()).ok());
}

TEST_F(DaemonListenTest, AStaleSocketIsReplaced) {
  {
    const Fd fd(KernelSys(), socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = SocketPath();
    std::copy(path.begin(), path.end(), address.sun_path);
    ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  Start();
  EXPECT_TRUE(HostInfo("unix:" + SocketPath(), grpc::InsecureChannelCredentials()).ok());
}

TEST_F(DaemonListenTest, AFileInTheSocketsPlaceIsNotRemoved) {
  std::ofstream(SocketPath()) << "precious";
  EXPECT_EQ(TryStart().code(), absl::StatusCode::kFailedPrecondition);
  std::string text;
  std::ifstream(SocketPath()) >> text;
  EXPECT_EQ(text, "precious");
}

TEST_F(DaemonListenTest, APortInUseIsNotShared) {
  Start();
  auto config =
      ParseConfig("socket_path: \"" + dir_.path() + "/other.sock\" listeners { address: \"" +
                      daemon_->addresses()[1].target + "\" }",
                  "test");
  ASSERT_TRUE(config.ok());
  auto second = Daemon::Start(*config, log_.logger(), parts_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(daemon_->addresses()[1].target + ": Address already in use"));
}

TEST_F(DaemonListenTest, PlainTextOffLoopbackIsRefusedAlsoAtTheLastMoment) {
  auto config = ParseConfig(config_text_, "test");
  ASSERT_TRUE(config.ok());
  config->add_listeners()->set_address("0.0.0.0:0");
  auto daemon = Daemon::Start(*config, log_.logger(), parts_);
  EXPECT_EQ(daemon.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(DaemonListenTest, ARoleForEverybodyIsSaidOutLoud) {
  Start(" listeners { address: \"0.0.0.0:0\" allow_plain_text_off_loopback: true }");
  EXPECT_THAT(daemon_->addresses().at(2).target, Not(::testing::EndsWith(":0")));
  const std::string open = daemon_->addresses().at(1).target;
  EXPECT_THAT(log_.Text(), ContainsRegex("warning [^\n]*" + open + "[^\n]*every local user"));
}

TEST_F(DaemonListenTest, NobodyIsLetInByDefaultWhichYesterdaysOperatorIsTold) {
  config_text_ = "socket_path: \"" + SocketPath() +
                 "\" viewer_socket_path: \"none\" listeners { address: \"127.0.0.1:0\" }";
  Start();
  const grpc::Status status =
      HostInfo(daemon_->addresses().at(1).target, grpc::InsecureChannelCredentials());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(log_.Text(), HasSubstr("anonymous_role: \"operator\""));
}

TEST_F(DaemonListenTest, TlsServesWhoTrustsTheCa) {
  const TestCertificate ca = MakeCa("ca");
  Start(TlsListener(MakeLeaf("server", ca)));
  EXPECT_TRUE(daemon_->addresses().at(2).tls);
  const grpc::Status status = HostInfo(TlsTarget(), TlsClient(ca));
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(HostInfo(TlsTarget(), TlsClient(MakeCa("other"))).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(HostInfo(TlsTarget(), grpc::InsecureChannelCredentials()).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(DaemonListenTest, WithAClientCaOnlyItsClientsAreServed) {
  const TestCertificate ca = MakeCa("ca");
  const TestCertificate client_ca = MakeCa("client ca");
  Start(TlsListener(MakeLeaf("server", ca), client_ca.certificate));
  const grpc::Status status = HostInfo(TlsTarget(), TlsClient(ca, MakeLeaf("client", client_ca)));
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(HostInfo(TlsTarget(), TlsClient(ca)).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(HostInfo(TlsTarget(), TlsClient(ca, MakeLeaf("client", MakeCa("other")))).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(DaemonListenTest, UnusableTlsFilesAreNamed) {
  const TestCertificate ca = MakeCa("ca");
  const TestCertificate server = MakeLeaf("server", ca);
  const std::string listener = TlsListener(server);
  std::ofstream(dir_.path() + "/key.pem") << "garbage";
  absl::Status status = TryStart(listener);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("private key " + dir_.path() + "/key.pem"));

  std::ofstream(dir_.path() + "/key.pem") << MakeLeaf("other", ca).key;
  status = TryStart(listener);
  EXPECT_THAT(std::string(status.message()), HasSubstr("do not belong together"));

  std::filesystem::remove(dir_.path() + "/cert.pem");
  status = TryStart(listener);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/cert.pem"));
}

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using grpc::reflection::v1alpha::ServerReflection;
using grpc::reflection::v1alpha::ServerReflectionRequest;
using grpc::reflection::v1alpha::ServerReflectionResponse;

TEST_F(DaemonListenTest, HealthSaysServingAndThenThatItDrains) {
  Start();
  const auto health = Health::NewStub(channel_);
  CallContext context;
  const auto watch = health->Watch(&context, HealthCheckRequest());
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  std::thread drain([this] { daemon_->Drain(); });
  EXPECT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_FALSE(watch->Read(&response)) << "who watches must not hold up the drain";
  EXPECT_THAT(watch->Finish().error_message(), HasSubstr("shutting down"));
  drain.join();
}

TEST_F(DaemonListenTest, HealthKnowsEachServiceAndNoOther) {
  Start();
  const auto health = Health::NewStub(channel_);
  HealthCheckRequest request;
  HealthCheckResponse response;
  for (const char* service : {"", "planecast.v1.ViewerService"}) {
    CallContext context;
    request.set_service(service);
    EXPECT_TRUE(health->Check(&context, request, &response).ok()) << service;
    EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  }
  request.set_service("planecast.v1.Nothing");
  CallContext context;
  EXPECT_EQ(health->Check(&context, request, &response).error_code(), grpc::StatusCode::NOT_FOUND);
  CallContext watch_context;
  const auto watch = health->Watch(&watch_context, request);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVICE_UNKNOWN);
  watch_context.TryCancel();
}

TEST_F(DaemonListenTest, ReflectionListsTheServicesAndEndsWithTheServer) {
  Start();
  const auto reflection = ServerReflection::NewStub(channel_);
  CallContext context;
  const auto call = reflection->ServerReflectionInfo(&context);
  ServerReflectionRequest request;
  request.set_list_services("*");
  ASSERT_TRUE(call->Write(request));
  ServerReflectionResponse response;
  ASSERT_TRUE(call->Read(&response));
  std::vector<std::string> services;
  for (const auto& service : response.list_services_response().service()) {
    services.push_back(service.name());
  }
  EXPECT_THAT(services,
              UnorderedElementsAre("planecast.v1.HostService", "planecast.v1.DisplayService",
                                   "planecast.v1.ViewerService", "planecast.v1.AccessService",
                                   "planecast.v1.InputService", "grpc.health.v1.Health",
                                   "grpc.reflection.v1alpha.ServerReflection"));
  daemon_->Drain();
  EXPECT_FALSE(call->Read(&response));
  EXPECT_THAT(call->Finish().error_message(), HasSubstr("shutting down"));
}

TEST_F(DaemonListenTest, AnOversizedRequestIsRefused) {
  Start();
  v1::AttachDisplayRequest request = FakeRequest("a");
  request.set_request_id(std::string(100'000, 'x'));
  EXPECT_EQ(Attach(request).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(DaemonListenTest, DrainIsIdempotentAndClosesTheDoor) {
  Start();
  daemon_->Drain();
  daemon_->Drain();
  CallContext context;
  v1::GetHostInfoResponse response;
  EXPECT_EQ(host_->GetHostInfo(&context, {}, &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace planecast::testing
