// Who is told apart on the unix sockets of a whole daemon.
#include "service/rpc/unix_acceptor.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel_posix.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/service/daemon_testing.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;

constexpr char kNobody[] = "UNAUTHENTICATED";
/// Nobody on any machine, it is to be hoped.
constexpr uint32_t kFirstUid = 1'900'000'000;

uint32_t UidOf(size_t number) {
  return kFirstUid + static_cast<uint32_t>(number);
}
std::string NameOf(size_t number) {
  return "uid:" + std::to_string(UidOf(number));
}

/// A connection to a unix socket; one that failed is an error of the test.
Fd ConnectTo(const std::string& path) {
  Fd fd(KernelSys(), socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0)
      << path << ": " << strerror(errno);
  return fd;
}

/// A connection by somebody with this uid. The kernel notes who connects, whoever uses the
/// connection then.
Fd ConnectAs(uint32_t uid, const std::string& path) {
  Fd fd;
  std::thread([&] {
    // The system call changes this thread alone; the library's function changes all.
    EXPECT_EQ(syscall(SYS_setresuid, -1, uid, -1), 0);
    fd = ConnectTo(path);
  }).join();
  return fd;
}

/// Somebody's connection.
class Client {
 public:
  Client(uint32_t uid, const std::string& path)
      : channel_(grpc::CreateInsecureChannelFromFd("unix", ConnectAs(uid, path).Release())),
        stub_(v1::HostService::NewStub(channel_)) {}

  /// Who the daemon takes him for; or the code that he is told.
  std::string Principal() const {
    CallContext context;
    v1::GetHostInfoResponse response;
    const grpc::Status status = stub_->GetHostInfo(&context, {}, &response);
    return status.ok()
               ? response.principal()
               : absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code()));
  }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::HostService::Stub> stub_;
};

class UnixAcceptorTest : public DaemonTest {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can be several users";
    config_text_ =
        "socket_path: \"" + SocketPath() + "\" viewer_socket_path: \"" + ViewerSocketPath() + "\" ";
  }
  std::string ViewerSocketPath() const { return dir_.path() + "/v.sock"; }

  /// Starts, and lets everybody at the operators' socket as well, as if all were in its group.
  void StartForAll(const std::string& more = "") {
    const absl::Status status = TryStart(more);
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_EQ(chmod(dir_.path().c_str(), 0711), 0);
    ASSERT_EQ(chmod(SocketPath().c_str(), 0666), 0);
  }
  static std::string Binding(size_t number) {
    return " bindings { uid: " + std::to_string(UidOf(number)) +
           " role: \"viewer\" displays: \"*\" }";
  }
  int CountOf(const std::string& words) const {
    const std::string text = log_.Text();
    int count = 0;
    for (size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) {
      ++count;
    }
    return count;
  }
  /// Tries until there is a way in: the daemon notices that somebody left when it next looks.
  std::string PrincipalOnceLetIn(size_t number, const std::string& path,
                                 std::unique_ptr<Client>* client) const {
    const auto deadline = std::chrono::steady_clock::now() + kCallMax;
    std::string principal;
    do {
      *client = std::make_unique<Client>(UidOf(number), path);
      principal = (*client)->Principal();
    } while (principal == "UNAVAILABLE" && std::chrono::steady_clock::now() < deadline);
    return principal;
  }
};

TEST_F(UnixAcceptorTest, OnTheOperatorsSocketEachIsAnOperatorByHisOwnName) {
  StartForAll();
  const Client root(0, SocketPath());
  const Client one(UidOf(1), SocketPath());
  const Client two(UidOf(2), SocketPath());
  const Client again(UidOf(1), SocketPath());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(root.Principal(), "uid:0");
    EXPECT_EQ(one.Principal(), NameOf(1));
    EXPECT_EQ(two.Principal(), NameOf(2));
    EXPECT_EQ(again.Principal(), NameOf(1));
  }
}

TEST_F(UnixAcceptorTest, ABindingCountsOnBothSockets) {
  StartForAll(Binding(1));
  EXPECT_EQ(Client(UidOf(1), ViewerSocketPath()).Principal(), NameOf(1));
  // All others are nobody there, root too.
  EXPECT_EQ(Client(UidOf(2), ViewerSocketPath()).Principal(), kNobody);
  EXPECT_EQ(Client(0, ViewerSocketPath()).Principal(), kNobody);
  // And a binding takes an operator's rights from him.
  const auto fd = ConnectAs(UidOf(1), SocketPath());
  v1::DisplayService::Stub stub(grpc::CreateInsecureChannelFromFd("unix", dup(fd.get())));
  CallContext context;
  v1::AttachDisplayResponse response;
  EXPECT_EQ(stub.AttachDisplay(&context, FakeRequest("a"), &response).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(UnixAcceptorTest, TheSeventeenthIsTurnedAwayUntilSomebodyLeaves) {
  StartForAll();
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < kUnixUidsMax; ++i) {
    clients.push_back(std::make_unique<Client>(UidOf(i), SocketPath()));
    EXPECT_EQ(clients.back()->Principal(), NameOf(i));
  }
  const size_t late = kUnixUidsMax;
  EXPECT_EQ(Client(UidOf(late), SocketPath()).Principal(), "UNAVAILABLE");
  EXPECT_THAT(log_.Text(), HasSubstr("uid " + std::to_string(UidOf(late)) +
                                     " on the operators' socket was turned away"));
  // However often he comes.
  for (int i = 0; i < 30; ++i) ConnectAs(UidOf(late), SocketPath());
  EXPECT_EQ(Client(UidOf(late), SocketPath()).Principal(), "UNAVAILABLE");
  EXPECT_LE(CountOf(" was turned away"), 10);
  // Who is in already may connect again.
  EXPECT_EQ(Client(UidOf(3), SocketPath()).Principal(), NameOf(3));
  clients[5] = nullptr;
  EXPECT_EQ(PrincipalOnceLetIn(late, SocketPath(), &clients[5]), NameOf(late));
  for (size_t i = 0; i < kUnixUidsMax; ++i) {
    EXPECT_EQ(clients[i]->Principal(), NameOf(i == 5 ? late : i));
  }
}

TEST_F(UnixAcceptorTest, AWayInThatIsUsedAgainNeverSpeaksForWhoHadItBefore) {
  StartForAll();
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i + 1 < kUnixUidsMax; ++i) {
    clients.push_back(std::make_unique<Client>(UidOf(i), SocketPath()));
    EXPECT_EQ(clients.back()->Principal(), NameOf(i));
  }
  // One way is left, for fifty users in turn.
  std::unique_ptr<Client> client;
  for (size_t i = kUnixUidsMax; i < kUnixUidsMax + 50; ++i) {
    ASSERT_EQ(PrincipalOnceLetIn(i, SocketPath(), &client), NameOf(i));
    ASSERT_EQ(client->Principal(), NameOf(i));
  }
}

TEST_F(UnixAcceptorTest, WhoSaysNothingYetKeepsHisWay) {
  StartForAll();
  // Nobody has asked anything when all are in.
  std::vector<Fd> fds;
  for (size_t i = 0; i < kUnixUidsMax; ++i) fds.push_back(ConnectAs(UidOf(i), SocketPath()));
  EXPECT_EQ(Client(UidOf(kUnixUidsMax), SocketPath()).Principal(), "UNAVAILABLE");
  for (size_t i = 0; i < kUnixUidsMax; ++i) {
    const auto channel = grpc::CreateInsecureChannelFromFd("unix", fds[i].Release());
    CallContext context;
    v1::GetHostInfoResponse response;
    EXPECT_TRUE(v1::HostService::NewStub(channel)->GetHostInfo(&context, {}, &response).ok());
    EXPECT_EQ(response.principal(), NameOf(i));
  }
}

TEST_F(UnixAcceptorTest, TheUnknownTakeNoPlacesFromTheBound) {
  StartForAll(Binding(100));
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < kUnixUidsMax + 4; ++i) {
    clients.push_back(std::make_unique<Client>(UidOf(i), ViewerSocketPath()));
    EXPECT_EQ(clients.back()->Principal(), kNobody);
  }
  const Client bound(UidOf(100), ViewerSocketPath());
  EXPECT_EQ(bound.Principal(), NameOf(100));
  for (const auto& client : clients) EXPECT_EQ(client->Principal(), kNobody);
}

TEST_F(UnixAcceptorTest, AStrangerHasSoManyConnectionsAndTheLogSaysSo) {
  StartForAll();
  std::vector<Fd> fds;
  for (size_t i = 0; i < kStrangersConnectionsMax; ++i) {
    fds.push_back(ConnectAs(UidOf(1), ViewerSocketPath()));
  }
  EXPECT_EQ(Client(UidOf(1), ViewerSocketPath()).Principal(), "UNAVAILABLE");
  EXPECT_THAT(log_.Text(), HasSubstr("uid " + std::to_string(UidOf(1)) +
                                     " on the viewers' socket was turned away: users without"));
  EXPECT_EQ(Client(UidOf(2), ViewerSocketPath()).Principal(), kNobody);
}

TEST_F(UnixAcceptorTest, AStormOnOneSocketKeepsNobodyFromTheOther) {
  StartForAll();
  // Who connects faster than anybody can accept: the socket's backlog is never empty.
  std::atomic<bool> done = false;
  std::vector<std::thread> storm;
  for (size_t i = 0; i < 4; ++i) {
    storm.emplace_back([this, &done] {
      while (!done) ConnectTo(ViewerSocketPath());
    });
  }
  for (size_t i = 0; i < 5 && !HasFailure(); ++i) {
    EXPECT_EQ(Client(UidOf(i), SocketPath()).Principal(), NameOf(i));
  }
  done = true;
  for (std::thread& thread : storm) thread.join();
}

}  // namespace
}  // namespace planecast::testing
