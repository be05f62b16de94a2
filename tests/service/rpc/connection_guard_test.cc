#include "service/rpc/connection_guard.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "service/rpc/grpc_queue.h"
#include "service/rpc/grpc_unary.h"
#include "service/rpc/tcp_acceptor.h"
#include "tests/service/daemon_testing.h"
#include "tests/service/rpc/test_gate.h"
#include "tests/service/sockets/connection_watch_testing.h"

namespace planecast {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ::testing::HasSubstr;

constexpr int64_t kSecondNs = 1'000'000'000;
/// Somebody who isn't connected at all, as gRPC names him.
constexpr char kPeer[] = "ipv4:10.0.0.9:1000";

/// Moved by the test while others read it.
class SharedClock final : public Clock {
 public:
  int64_t NowNs() override { return now_ns_; }
  void Advance(int64_t duration_ns) { now_ns_ += duration_ns; }

 private:
  std::atomic<int64_t> now_ns_ = 1000 * kSecondNs;
};

Fd ConnectTo(const std::string& host, int port) {
  const bool v6 = host.find(':') != std::string::npos;
  sockaddr_storage address{};
  socklen_t size = v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  const auto network_port = htons(static_cast<uint16_t>(port));
  if (v6) {
    auto& to = reinterpret_cast<sockaddr_in6&>(address);
    to.sin6_family = AF_INET6;
    to.sin6_port = network_port;
    inet_pton(AF_INET6, host.c_str(), &to.sin6_addr);
  } else {
    auto& to = reinterpret_cast<sockaddr_in&>(address);
    to.sin_family = AF_INET;
    to.sin_port = network_port;
    inet_pton(AF_INET, host.c_str(), &to.sin_addr);
  }
  Fd fd(KernelSys(), socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) fd.Reset();
  return fd;
}

/// A client's end and the server's.
std::pair<Fd, Fd> UnixEnds() {
  std::array<int, 2> ends = {-1, -1};
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  return {Fd(KernelSys(), ends[0]), Fd(KernelSys(), ends[1])};
}

/// Waits for the server to close it, reading what it says before.
bool EndsSoon(const Fd& socket) {
  std::array<char, 4096> bytes;
  while (true) {
    pollfd one{socket.get(), POLLIN, 0};
    if (poll(&one, 1, 120'000) != 1) return false;
    if (recv(socket.get(), bytes.data(), bytes.size(), 0) <= 0) return true;
  }
}

class ConnectionGuardTest : public ::testing::Test {
 protected:
  ConnectionGuardTest() {
    options_.clock = &clock_;
    options_.on_refusal = [this](const std::string& peer, const std::string& limit_key,
                                 ConnectionRefusal why) {
      const std::lock_guard lock(mutex_);
      refusals_.push_back(absl::StrCat(peer.substr(0, peer.rfind(':')), "|", limit_key, "|",
                                       std::string(ConnectionRefusalName(why))));
    };
  }
  void TearDown() override { Stop(); }

  void MakeGuard() {
    auto guard = ConnectionGuard::Make(log_.logger(), options_);
    ASSERT_TRUE(guard.ok()) << guard.status();
    guard_ = *std::move(guard);
  }
  /// A server with one method, which answers.
  void Serve(
      const std::string& address = "127.0.0.1:0",
      std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials()) {
    auto listener = ListenOnTcp(address);
    if (!listener.ok()) GTEST_SKIP() << listener.status();
    port_ = listener->port;
    if (guard_ == nullptr) MakeGuard();
    acceptor_ = std::make_unique<TcpAcceptor>(guard_.get());
    queue_ = std::make_unique<GrpcQueue>(MonotonicClock(), gate_.gate(), guard_.get());
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    acceptor_->Add(builder, *std::move(listener), std::move(credentials), -1);
    queue_->AddTo(builder);
    AddUnary(*queue_, "grpc.health.v1.Health.Check", HandlerThread::kQueue, &service_,
             &Health::AsyncService::RequestCheck, [this](const auto& exchange) {
               ++handled_;
               exchange->Finish(absl::OkStatus());
             });
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    queue_->Serve();
    guard_->Start();
    ASSERT_TRUE(acceptor_->Start().ok());
  }
  void Stop() {
    if (acceptor_ != nullptr) acceptor_->Stop();
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    if (queue_ != nullptr) queue_->Stop();
    if (guard_ != nullptr) guard_->Stop();
  }
  /// A client with a connection of its own.
  std::unique_ptr<Health::Stub> Client(const std::string& host) const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return Health::NewStub(grpc::CreateCustomChannel(
        absl::StrCat(host, ":", port_), grpc::InsecureChannelCredentials(), arguments));
  }
  static grpc::Status Check(Health::Stub& stub) {
    testing::CallContext context;
    HealthCheckResponse response;
    return stub.Check(&context, HealthCheckRequest(), &response);
  }
  /// A connection that is kPeer's for the guard.
  testing::Ends TakeOneOfPeers() {
    sockaddr_storage address{};
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(1000);
    inet_pton(AF_INET, "10.0.0.9", &v4.sin_addr);
    testing::Ends ends = testing::TcpPair();
    EXPECT_TRUE(guard_->TakeTcp(ends.server.get(), address, -1));
    return ends;
  }
  void AwaitNobody() {
    while (guard_->Read().tcp_open > 0) guard_->Turn(120'000);
  }
  uint64_t Refused(ConnectionRefusal why) const {
    return guard_->Read().refused[static_cast<size_t>(why)];
  }
  std::vector<std::string> refusals() {
    const std::lock_guard lock(mutex_);
    return refusals_;
  }
  /// A client may hear of its end before the log does.
  std::string AwaitRefusal() {
    while (refusals().empty()) std::this_thread::yield();
    return refusals().front();
  }

  testing::TempDir dir_;
  testing::LogFile log_{dir_.path() + "/log"};
  SharedClock clock_;
  ConnectionGuard::Options options_;
  std::mutex mutex_;
  std::vector<std::string> refusals_;
  testing::TestGate gate_;
  Health::AsyncService service_;
  std::atomic<int> handled_ = 0;
  int port_ = 0;
  std::unique_ptr<ConnectionGuard> guard_;
  std::unique_ptr<TcpAcceptor> acceptor_;
  std::unique_ptr<GrpcQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(ConnectionGuardTest, TheNewestOfTooManyIsClosedUntilOneLeaves) {
  options_.shares.address_max = 2;
  // That is another rule, and so is the pace.
  options_.watch.first_call_max_ns = 1'000'000 * kSecondNs;
  Serve();
  Fd first = ConnectTo("127.0.0.1", port_);
  while (guard_->Read().tcp_open != 1) std::this_thread::yield();
  clock_.Advance(100 * kSecondNs);
  const Fd second = ConnectTo("127.0.0.1", port_);
  while (guard_->Read().tcp_open != 2) std::this_thread::yield();
  clock_.Advance(100 * kSecondNs);
  const Fd third = ConnectTo("127.0.0.1", port_);
  EXPECT_TRUE(EndsSoon(third));
  EXPECT_EQ(guard_->Read().tcp_open, 2u);
  EXPECT_EQ(Refused(ConnectionRefusal::kAddressShare), 1u);
  EXPECT_EQ(refusals(), std::vector<std::string>{"127.0.0.1|127.0.0.1|address_share"});
  EXPECT_THAT(log_.Text(), HasSubstr("a connection of 127.0.0.1:"));
  first.Reset();
  while (guard_->Read().tcp_open != 1) std::this_thread::yield();
  clock_.Advance(100 * kSecondNs);
  auto stub = Client("127.0.0.1");
  EXPECT_TRUE(Check(*stub).ok());
}

TEST_F(ConnectionGuardTest, AConnectionThatWasNeverCalledOnIsCutOff) {
  Serve();
  auto stub = Client("127.0.0.1");
  EXPECT_TRUE(Check(*stub).ok());
  const Fd silent = ConnectTo("127.0.0.1", port_);
  while (guard_->Read().tcp_open != 2) std::this_thread::yield();
  // It counts a moment before it is watched.
  while (refusals().empty()) {
    clock_.Advance(options_.watch.first_call_max_ns);
    guard_->Turn(0);
  }
  EXPECT_TRUE(EndsSoon(silent));
  EXPECT_EQ(AwaitRefusal(), "127.0.0.1|127.0.0.1|silent");
  EXPECT_EQ(Refused(ConnectionRefusal::kSilent), 1u);
  EXPECT_EQ(guard_->Read().tcp_open, 1u) << "who has called stays";
  EXPECT_TRUE(Check(*stub).ok());
}

TEST_F(ConnectionGuardTest, WhoCallsTooMuchIsCutOffAndKeptOutForAWhile) {
  options_.calls.connection_burst = 20;
  Serve();
  auto stub = Client("127.0.0.1");
  int answered = 0;
  while (answered < 1000 && Check(*stub).ok()) ++answered;
  EXPECT_EQ(answered, 20);
  EXPECT_EQ(handled_, 20);
  EXPECT_EQ(AwaitRefusal(), "127.0.0.1|127.0.0.1|calls");
  EXPECT_EQ(Refused(ConnectionRefusal::kCalls), 1u);
  const Fd again = ConnectTo("127.0.0.1", port_);
  EXPECT_TRUE(EndsSoon(again));
  EXPECT_GE(Refused(ConnectionRefusal::kAfterFlood), 1u);
  clock_.Advance(kFirstBarNs);
  auto later = Client("127.0.0.1");
  EXPECT_TRUE(Check(*later).ok());
}

TEST_F(ConnectionGuardTest, ItKnowsIpv6ConnectionsByTheNameThatGrpcGivesThem) {
  options_.calls.connection_burst = 3;
  Serve("[::1]:0");
  if (IsSkipped()) return;
  auto stub = Client("[::1]");
  while (Check(*stub).ok()) {
  }
  EXPECT_EQ(AwaitRefusal(), "[::1]|::/64|calls");
}

TEST_F(ConnectionGuardTest, ItKnowsIpv4ConnectionsOnAnIpv6SocketByTheNameThatGrpcGivesThem) {
  options_.calls.connection_burst = 3;
  Serve("[::]:0");
  if (IsSkipped()) return;
  auto stub = Client("127.0.0.1");
  while (Check(*stub).ok()) {
  }
  EXPECT_EQ(AwaitRefusal(), "127.0.0.1|127.0.0.1|calls");
}

TEST_F(ConnectionGuardTest, WhoCallsTooMuchAndLeavesIsKeptOutToo) {
  options_.calls.connection_burst = 3;
  MakeGuard();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(guard_->OnCall(kPeer, nullptr));
  EXPECT_FALSE(guard_->OnCall(kPeer, nullptr));
  EXPECT_EQ(AwaitRefusal(), "10.0.0.9|10.0.0.9|calls");
  sockaddr_storage address{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(address);
  v4.sin_family = AF_INET;
  inet_pton(AF_INET, "10.0.0.9", &v4.sin_addr);
  const Fd any(KernelSys(), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_FALSE(guard_->TakeTcp(any.get(), address, 0));
}

TEST_F(ConnectionGuardTest, WhoComesByAPortThatWasUsedBeforeBecomesKnownToo) {
  MakeGuard();
  for (int i = 0; i < 2; ++i) {
    testing::Ends ends = TakeOneOfPeers();
    EXPECT_TRUE(guard_->OnCall(kPeer, nullptr));
    guard_->OnAdmitted(kPeer, nullptr);
    // More than anybody unknown may send.
    constexpr int kBytes = 40'000;
    testing::Send(ends.client, kBytes);
    testing::AwaitBytes(ends.server, kBytes);
    guard_->Turn(0);
    clock_.Advance(options_.watch.look_interval_ns);
    guard_->Turn(0);
    EXPECT_TRUE(refusals().empty()) << i;
    ends.client.Reset();
    AwaitNobody();
    clock_.Advance(100 * kSecondNs);
  }
}

TEST_F(ConnectionGuardTest, AViewerThatEndsLateTakesNothingFromWhoHasItsPortNow) {
  options_.calls = {.connection_hz = 1, .connection_burst = 2, .viewer_hz = 10};
  MakeGuard();
  testing::Ends ends = TakeOneOfPeers();
  auto late = guard_->OnViewer(kPeer, nullptr);
  ends.client.Reset();
  AwaitNobody();
  ends = TakeOneOfPeers();
  const auto viewer = guard_->OnViewer(kPeer, nullptr);
  late = {};
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(guard_->OnCall(kPeer, nullptr));
  clock_.Advance(kSecondNs / 10);
  EXPECT_TRUE(guard_->OnCall(kPeer, nullptr)) << "a viewer's, of which there is one still";
}

TEST_F(ConnectionGuardTest, WhatTheSieveHoldsBackReachesNoHandler) {
  auto credentials = grpc::experimental::LocalServerCredentials(LOCAL_TCP);
  std::atomic<bool> lets = true;
  StampConnections(*credentials,
                   std::make_shared<DoorStamp>(DoorIdentity{Door::kLoopback, std::nullopt, 0}),
                   [&lets](const DoorIdentity& identity) {
                     EXPECT_EQ(identity.door, Door::kLoopback);
                     return lets.load();
                   });
  Serve("127.0.0.1:0", credentials);
  auto stub = Client("127.0.0.1");
  EXPECT_TRUE(Check(*stub).ok());
  lets = false;
  EXPECT_EQ(Check(*stub).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(handled_, 1);
}

TEST_F(ConnectionGuardTest, ATurnTakesSoManyCallsInAndOperatorsComeThroughAllTheSame) {
  options_.calls_per_turn_max = 3;
  MakeGuard();
  const DoorIdentity remote{Door::kRemote, std::nullopt, 0};
  for (int turn = 0; turn < 2; ++turn) {
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(guard_->AdmitCall(remote));
    EXPECT_FALSE(guard_->AdmitCall(remote));
    EXPECT_FALSE(guard_->AdmitCall({Door::kViewerSocket, 5, -1}));
    EXPECT_TRUE(guard_->AdmitCall({Door::kOperatorSocket, 0, -1}));
    guard_->NextTurn();
  }
}

TEST_F(ConnectionGuardTest, AUserOfAUnixSocketMakesSoManyCallsAndAnOperatorMore) {
  options_.calls = {
      .connection_hz = 1, .connection_burst = 1, .address_factor = 4, .operator_factor = 10};
  options_.calls_per_turn_max = 1000;
  MakeGuard();
  const auto count = [&](const DoorIdentity& identity) {
    int admitted = 0;
    while (guard_->AdmitCall(identity)) ++admitted;
    return admitted;
  };
  EXPECT_EQ(count({Door::kViewerSocket, 5, -1}), 4);
  EXPECT_EQ(count({Door::kViewerSocket, 6, -1}), 4);
  EXPECT_EQ(count({Door::kOperatorSocket, 5, -1}), 10);
}

TEST_F(ConnectionGuardTest, AUserOfAUnixSocketWhoCallsTooMuchIsCutOff) {
  options_.calls = {.connection_hz = 1, .connection_burst = 1, .address_factor = 1};
  MakeGuard();
  const auto [client, server] = UnixEnds();
  const DoorIdentity identity{Door::kViewerSocket, 5, -1};
  EXPECT_TRUE(guard_->TakeUnix(server.get(), 5, identity));
  EXPECT_EQ(guard_->Read().unix_open, 1u);
  ASSERT_EQ(send(client.get(), "x", 1, 0), 1);
  EXPECT_TRUE(guard_->AdmitCall(identity));
  EXPECT_FALSE(guard_->AdmitCall(identity));
  EXPECT_TRUE(EndsSoon(client));
  EXPECT_EQ(guard_->Read().unix_open, 0u);
  EXPECT_EQ(Refused(ConnectionRefusal::kCalls), 1u);
  EXPECT_FALSE(guard_->TakeUnix(server.get(), 5, identity));
  EXPECT_EQ(Refused(ConnectionRefusal::kAfterFlood), 1u);
  EXPECT_TRUE(guard_->TakeUnix(server.get(), 6, {Door::kViewerSocket, 6, -1}));
  EXPECT_TRUE(guard_->TakeUnix(server.get(), 5, {Door::kOperatorSocket, 5, -1}));
}

TEST_F(ConnectionGuardTest, AUserOfTheViewersSocketHasHisShareAndAnOperatorNone) {
  options_.shares.address_max = 2;
  MakeGuard();
  const auto [client, server] = UnixEnds();
  const DoorIdentity shared{Door::kViewerSocket, std::nullopt, -1};
  for (const bool taken : {true, true, false}) {
    EXPECT_EQ(guard_->TakeUnix(server.get(), 5, shared), taken);
    // The pace is another rule.
    clock_.Advance(100 * kSecondNs);
  }
  EXPECT_TRUE(guard_->TakeUnix(server.get(), 6, shared));
  EXPECT_EQ(refusals(),
            std::vector<std::string>{"uid 5 on the viewers' socket|uid 5 on the viewers' socket|"
                                     "address_share"});
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(guard_->TakeUnix(server.get(), 0, {Door::kOperatorSocket, 0, -1}));
  }
}

TEST_F(ConnectionGuardTest, TcpAndTheViewersSocketHaveOneNumberOfConnections) {
  options_.shares = {.all_max = 2, .address_max = 2};
  MakeGuard();
  sockaddr_storage peer{};
  peer.ss_family = AF_INET;
  const auto [client, server] = UnixEnds();
  EXPECT_TRUE(guard_->TakeTcp(server.get(), peer, 0));
  EXPECT_TRUE(guard_->TakeUnix(server.get(), 5, {Door::kViewerSocket, 5, -1}));
  EXPECT_FALSE(guard_->TakeTcp(server.get(), peer, 0));
  EXPECT_FALSE(guard_->TakeUnix(server.get(), 6, {Door::kViewerSocket, 6, -1}));
  EXPECT_EQ(Refused(ConnectionRefusal::kAllTaken), 2u);
  EXPECT_TRUE(guard_->TakeUnix(server.get(), 0, {Door::kOperatorSocket, 0, -1}));
}

TEST_F(ConnectionGuardTest, WhoIsKnownOnTheViewersSocketComesInDuringASiege) {
  MakeGuard();
  const auto [client, server] = UnixEnds();
  guard_->OnAdmitted(DoorIdentity{Door::kViewerSocket, 5, -1});
  for (const uint32_t uid : {11u, 12u, 13u}) {
    const DoorIdentity flooder{Door::kViewerSocket, uid, -1};
    while (guard_->AdmitCall(flooder)) guard_->NextTurn();
  }
  int strangers = 0;
  while (guard_->TakeUnix(server.get(), 100 + static_cast<uint32_t>(strangers),
                          {Door::kViewerSocket, std::nullopt, -1})) {
    ++strangers;
  }
  EXPECT_LE(strangers, static_cast<int>(kSiegeHz));
  EXPECT_EQ(Refused(ConnectionRefusal::kSiege), 1u);
  EXPECT_TRUE(guard_->TakeUnix(server.get(), 5, {Door::kViewerSocket, 5, -1}));
}

TEST_F(ConnectionGuardTest, AnOperatorsFloodIsNoSiegeOfTheViewersSocket) {
  options_.calls = {.connection_hz = 1, .connection_burst = 1, .address_factor = 1};
  MakeGuard();
  for (const uint32_t uid : {1u, 2u, 3u}) {
    const auto [client, server] = UnixEnds();
    const DoorIdentity flooder{Door::kOperatorSocket, uid, -1};
    EXPECT_TRUE(guard_->TakeUnix(server.get(), uid, flooder));
    ASSERT_EQ(send(client.get(), "x", 1, 0), 1);
    while (guard_->AdmitCall(flooder)) {
    }
    EXPECT_TRUE(EndsSoon(client));
  }
  EXPECT_EQ(Refused(ConnectionRefusal::kCalls), 3u);
  const auto [client, server] = UnixEnds();
  for (uint32_t uid = 100; uid < 100 + 2 * static_cast<uint32_t>(kSiegeHz); ++uid) {
    EXPECT_TRUE(guard_->TakeUnix(server.get(), uid, {Door::kViewerSocket, std::nullopt, -1}));
  }
}

TEST_F(ConnectionGuardTest, ViewersOnTheViewersSocketMayCallMoreForAsLongAsTheyAreThere) {
  options_.calls = {
      .connection_hz = 1, .connection_burst = 1, .viewer_hz = 20, .address_factor = 1};
  MakeGuard();
  const DoorIdentity gateway{Door::kViewerSocket, 5, -1};
  const auto in_a_second = [&] {
    clock_.Advance(kSecondNs);
    int calls = 0;
    while (guard_->AdmitCall(gateway)) {
      ++calls;
      // A bucket holds one.
      clock_.Advance(kSecondNs / 20);
      if (calls == 20) break;
    }
    return calls;
  };
  {
    const ConnectionGuard::ViewerHold hold = guard_->OnViewer(gateway);
    EXPECT_EQ(in_a_second(), 20);
  }
  EXPECT_EQ(in_a_second(), 1);
  EXPECT_EQ(guard_->Read().tcp_open, 0u);
}

TEST_F(ConnectionGuardTest, TheLogIsNotFilledByWhoIsRefused) {
  options_.shares.address_max = 1;
  MakeGuard();
  sockaddr_storage peer{};
  peer.ss_family = AF_INET;
  const auto [client, server] = UnixEnds();
  EXPECT_TRUE(guard_->TakeTcp(server.get(), peer, 0));
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(guard_->TakeTcp(server.get(), peer, 0));
  const auto lines = [this] {
    const std::string text = log_.Text();
    return std::count(text.begin(), text.end(), '\n');
  };
  EXPECT_EQ(lines(), 10);
  clock_.Advance(60 * kSecondNs);
  EXPECT_FALSE(guard_->TakeTcp(server.get(), peer, 0));
  EXPECT_EQ(lines(), 11);
  EXPECT_THAT(log_.Text(), HasSubstr("so were 40 more"));
}

}  // namespace
}  // namespace planecast
