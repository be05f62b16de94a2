#include "service/rpc/tcp_acceptor.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/server.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "service/rpc/connection_guard.h"
#include "service/rpc/grpc_queue.h"
#include "tests/service/rpc/test_gate.h"

namespace planecast {
namespace {

using ::testing::HasSubstr;

TEST(ListenOnTcpTest, TakesAFreePortAndKeepsIt) {
  const auto first = ListenOnTcp("127.0.0.1:0");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_GT(first->port, 0);
  const auto second = ListenOnTcp(absl::StrCat("127.0.0.1:", first->port));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use"));
}

TEST(ListenOnTcpTest, ANameMayStandForSeveralAddressesOfOnePort) {
  const auto listener = ListenOnTcp("localhost:0");
  ASSERT_TRUE(listener.ok()) << listener.status();
  ASSERT_GE(listener->sockets.size(), 1u);
  for (const Fd& socket : listener->sockets) {
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    ASSERT_EQ(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    // The port is at the same place in both families.
    EXPECT_EQ(ntohs(reinterpret_cast<sockaddr_in&>(address).sin_port), listener->port);
  }
}

TEST(ListenOnTcpTest, AnAddressOfAnotherMachineIsAnError) {
  EXPECT_FALSE(ListenOnTcp("192.0.2.1:0").ok());
  EXPECT_FALSE(ListenOnTcp("no port").ok());
}

TEST(TcpAcceptorTest, HandsConnectionsToGrpcUntilItIsStopped) {
  auto listener = ListenOnTcp("127.0.0.1:0");
  ASSERT_TRUE(listener.ok()) << listener.status();
  const std::string target = absl::StrCat("127.0.0.1:", listener->port);
  TcpAcceptor acceptor;
  grpc::ServerBuilder builder;
  acceptor.Add(builder, *std::move(listener), grpc::InsecureServerCredentials());
  testing::TestGate gate;
  GrpcQueue queue(MonotonicClock(), gate.gate());
  queue.AddTo(builder);
  const auto server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  queue.Serve();
  ASSERT_TRUE(acceptor.Start().ok());
  const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(120);
  const auto channel = grpc::CreateChannel(target, grpc::InsecureChannelCredentials());
  EXPECT_TRUE(channel->WaitForConnected(deadline));
  acceptor.Stop();
  EXPECT_EQ(channel->GetState(false), GRPC_CHANNEL_READY) << "who is in stays in";
  const Fd late(KernelSys(), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(target.substr(target.find(':') + 1))));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_NE(connect(late.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  server->Shutdown();
  queue.Stop();
}

TEST(TcpAcceptorTest, StopsWhileConnectionsKeepComing) {
  auto listener = ListenOnTcp("127.0.0.1:0");
  ASSERT_TRUE(listener.ok()) << listener.status();
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(listener->port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // Refuses them all: what is to be seen is how they are accepted.
  const Logger log(LogLevel::kError);
  ConnectionGuard::Options options;
  options.shares.all_max = 0;
  auto guard = ConnectionGuard::Make(log, std::move(options));
  ASSERT_TRUE(guard.ok()) << guard.status();
  TcpAcceptor acceptor(guard->get());
  grpc::ServerBuilder builder;
  acceptor.Add(builder, *std::move(listener), grpc::InsecureServerCredentials());
  testing::TestGate gate;
  GrpcQueue queue(MonotonicClock(), gate.gate());
  queue.AddTo(builder);
  const auto server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  queue.Serve();
  ASSERT_TRUE(acceptor.Start().ok());
  // Who connects faster than anybody can accept: the socket's backlog is never empty.
  std::atomic<bool> done = false;
  std::atomic<int> came = 0;
  std::vector<std::thread> storm;
  for (int i = 0; i < 4; ++i) {
    storm.emplace_back([&] {
      while (!done) {
        const Fd fd(KernelSys(), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) ++came;
      }
    });
  }
  while (came < 100) std::this_thread::yield();
  acceptor.Stop();
  done = true;
  for (std::thread& thread : storm) thread.join();
  server->Shutdown();
  queue.Stop();
}

TEST(TcpAcceptorTest, WithoutListenersThereIsNothingToDo) {
  TcpAcceptor acceptor;
  EXPECT_TRUE(acceptor.Start().ok());
  acceptor.Stop();
  acceptor.Stop();
}

}  // namespace
}  // namespace planecast
