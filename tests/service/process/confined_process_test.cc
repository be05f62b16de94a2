// planecastd as a process that root has started: what is left of root.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "planecast/v1/display_service.grpc.pb.h"
#include "planecast/v1/host_service.grpc.pb.h"
#include "planecast/v1/viewer_service.grpc.pb.h"
#include "service/process/system_call_filter.h"
#include "tests/service/daemon_testing.h"
#include "tests/service/program.h"
#include "tests/service/rpc/test_certificates.h"
#include "tests/service/temp_dir.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// The lines of a /proc/PID/status, or of a thread's, by name.
std::map<std::string, std::string> Status(const std::filesystem::path& folder) {
  std::map<std::string, std::string> lines;
  std::ifstream status(folder / "status");
  for (std::string line; std::getline(status, line);) {
    const size_t colon = line.find(':');
    std::istringstream words(line.substr(colon + 1));
    std::string& value = lines[line.substr(0, colon)];
    for (std::string word; words >> word;) value += value.empty() ? word : " " + word;
  }
  return lines;
}

std::filesystem::path ProcOf(pid_t pid) {
  return "/proc/" + std::to_string(pid);
}

/// Threads, each as its status.
std::vector<std::map<std::string, std::string>> Threads(pid_t pid) {
  std::vector<std::map<std::string, std::string>> threads;
  for (const auto& task : std::filesystem::directory_iterator(ProcOf(pid) / "task")) {
    threads.push_back(Status(task.path()));
  }
  return threads;
}

/// The processes that a process has started and that live.
std::vector<pid_t> Children(pid_t pid) {
  std::ifstream file(ProcOf(pid) / "task" / std::to_string(pid) / "children");
  std::vector<pid_t> children;
  for (pid_t child = 0; file >> child;) children.push_back(child);
  return children;
}

/// Blocks until a process that is no child of this one has ended.
bool AwaitEnd(int pidfd) {
  pollfd one{pidfd, POLLIN, 0};
  return poll(&one, 1, 60'000) == 1;
}

class ConfinedProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root has something to let go of";
    filtered_ = std::string(SystemCallFilterProblem()).empty();
    uid_ = std::to_string(FreeUid());
  }
  std::string Socket() const { return dir_.path() + "/s.sock"; }
  std::vector<std::string> Arguments(std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"--socket", Socket(), "--viewer-socket", "none"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return AsServingUser(dir_, std::move(arguments));
  }
  void Start(std::vector<std::string> more = {}) {
    program_ = std::make_unique<Program>(Arguments(std::move(more)));
    ASSERT_TRUE(program_->AwaitText("listening on unix:" + Socket())) << program_->printed();
  }
  /// A config file that the daemon's user may read.
  std::string Config(const std::string& text) const {
    const std::string path = dir_.path() + "/config";
    std::ofstream(path) << text;
    return path;
  }
  v1::GetHostInfoResponse HostInfo() {
    const auto channel =
        grpc::CreateChannel("unix:" + Socket(), grpc::InsecureChannelCredentials());
    CallContext context;
    v1::GetHostInfoResponse info;
    const grpc::Status status = v1::HostService::NewStub(channel)->GetHostInfo(&context, {}, &info);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return info;
  }

  const TempDir dir_;
  bool filtered_ = false;
  std::string uid_;
  std::unique_ptr<Program> program_;
};

TEST_F(ConfinedProcessTest, NothingOfRootIsLeftInAnyThread) {
  Start();
  const std::string none(16, '0');
  const std::string four = uid_ + " " + uid_ + " " + uid_ + " " + uid_;
  const auto threads = Threads(program_->pid());
  EXPECT_GT(threads.size(), 1U);
  for (const auto& thread : threads) {
    EXPECT_EQ(thread.at("Uid"), four);
    EXPECT_EQ(thread.at("Gid"), four);
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
      EXPECT_EQ(thread.at(set), none) << set;
    }
    EXPECT_EQ(thread.at("NoNewPrivs"), "1");
    EXPECT_EQ(thread.at("Seccomp"), filtered_ ? "2" : "0") << thread.at("Name");
  }
}

TEST_F(ConfinedProcessTest, OperatorsAreToldWhatTheProcessMay) {
  Start();
  const v1::Confinement confinement = HostInfo().confinement();
  EXPECT_EQ(confinement.user(), "uid " + uid_);
  EXPECT_FALSE(confinement.privileged());
  EXPECT_EQ(confinement.opener(), "broker");
  EXPECT_EQ(confinement.opener_problem(), "");
  EXPECT_EQ(confinement.system_calls_filtered(), filtered_);
  EXPECT_EQ(confinement.system_call_filter_problem(), SystemCallFilterProblem());
}

TEST_F(ConfinedProcessTest, ItsSocketsGoWithIt) {
  Start({"--viewer-socket", dir_.path() + "/v.sock"});
  program_->Signal(SIGTERM);
  EXPECT_EQ(program_->Wait(), 0) << program_->printed();
  EXPECT_FALSE(std::filesystem::exists(Socket()));
  EXPECT_FALSE(std::filesystem::exists(dir_.path() + "/v.sock"));
  EXPECT_THAT(program_->printed(), Not(HasSubstr("the system call")));
}

TEST_F(ConfinedProcessTest, TheBrokerEndsWithTheDaemonHoweverThatEnds) {
  for (const int signal : {SIGTERM, SIGKILL}) {
    Start();
    const std::vector<pid_t> children = Children(program_->pid());
    ASSERT_EQ(children.size(), 1U);
    EXPECT_EQ(Status(ProcOf(children[0])).at("Name"), "planecast-broke");
    const Fd broker(KernelSys(), KernelSys().PidfdOpen(children[0]));
    ASSERT_TRUE(broker.valid());
    program_->Signal(signal);
    program_->Wait();
    EXPECT_TRUE(AwaitEnd(broker.get())) << "after signal " << signal;
  }
}

TEST_F(ConfinedProcessTest, ABrokerThatEndedIsToldOf) {
  Start();
  const std::vector<pid_t> children = Children(program_->pid());
  ASSERT_EQ(children.size(), 1U);
  kill(children[0], SIGKILL);
  ASSERT_TRUE(program_->AwaitText("has ended")) << program_->printed();
  EXPECT_THAT(HostInfo().confinement().opener_problem(), HasSubstr("planecast-broker has ended"));
}

TEST_F(ConfinedProcessTest, AStreamRunsAndNoCallIsMissed) {
  Start({"--metrics", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--config",
         Config("allow_fake_devices: true audit { file_path: \"" + dir_.path() +
                "/log/audit\" } "
                "displays { display_id: \"a\" source { fake { profile: \"ideal\" } } } "
                "displays { display_id: \"b\" source { fake { profile: \"mdpy\" } } }")});
  {
    const auto channel =
        grpc::CreateChannel("unix:" + Socket(), grpc::InsecureChannelCredentials());
    const auto viewers = v1::ViewerService::NewStub(channel);
    for (const char* id : {"a", "b"}) {
      Stream stream(*viewers, id);
      for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(stream.Next(v1::StreamEvent::kAccessUnit).has_access_unit()) << id;
      }
    }
    CallContext context;
    v1::GetSnapshotRequest request;
    request.set_name("displays/a");
    v1::GetSnapshotResponse snapshot;
    const grpc::Status taken =
        v1::DisplayService::NewStub(channel)->GetSnapshot(&context, request, &snapshot);
    EXPECT_TRUE(taken.ok()) << taken.error_message();
  }
  program_->Signal(SIGTERM);
  EXPECT_EQ(program_->Wait(), 0);
  EXPECT_THAT(program_->printed(), Not(HasSubstr("the system call")));
  struct stat info {};
  ASSERT_EQ(stat((dir_.path() + "/log/audit").c_str(), &info), 0);
  EXPECT_EQ(std::to_string(info.st_uid), uid_);
  EXPECT_GT(info.st_size, 0);
}

TEST_F(ConfinedProcessTest, AKeyThatTheUserCannotReadIsAnErrorAtStart) {
  const TestCertificate server = MakeLeaf("server", MakeCa("ca"));
  const std::string certificate = dir_.path() + "/cert.pem";
  const std::string key = dir_.path() + "/key.pem";
  std::ofstream(certificate) << server.certificate;
  std::ofstream(key) << server.key;
  ASSERT_EQ(chmod(key.c_str(), 0600), 0);
  Program program(Arguments(
      {"--config", Config("listeners { address: \"127.0.0.1:0\" tls { certificate_path: \"" +
                          certificate + "\" private_key_path: \"" + key + "\" } }")}));
  EXPECT_EQ(program.Wait(), 1);
  EXPECT_THAT(program.printed(),
              HasSubstr("can't open the private key " + key + " as uid " + uid_));
  EXPECT_FALSE(std::filesystem::exists(Socket()));
}

TEST_F(ConfinedProcessTest, AConfigThatTheUserCannotReadIsAnErrorAtStart) {
  const std::string path = Config("");
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  Program program(Arguments({"--config", path}));
  EXPECT_EQ(program.Wait(), 1);
  EXPECT_THAT(program.printed(),
              HasSubstr("uid " + uid_ + ", whom the daemon has become, can't read " + path));
}

TEST_F(ConfinedProcessTest, AnAuditFileThatTheUserCannotWriteIsAnErrorAtStart) {
  const std::string path = dir_.path() + "/audit";
  std::ofstream file(path);
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  Program program(Arguments({"--config", Config("audit { file_path: \"" + path + "\" }")}));
  EXPECT_EQ(program.Wait(), 1);
  EXPECT_THAT(program.printed(), HasSubstr("can't write " + path));
}

TEST_F(ConfinedProcessTest, AMissingUserIsAnErrorThatNamesTheRemedy) {
  Program program({"--socket", Socket(), "--user", "planecast-nobody-has"});
  EXPECT_EQ(program.Wait(), 1);
  EXPECT_THAT(program.printed(), HasSubstr("useradd --system planecast-nobody-has"));
}

TEST_F(ConfinedProcessTest, RootThatStaysRootIsSaidOutLoud) {
  program_ = std::make_unique<Program>(std::vector<std::string>{
      "--socket", Socket(), "--viewer-socket", "none", "--user", "root", "--no-seccomp"});
  ASSERT_TRUE(program_->AwaitText("listening on unix:")) << program_->printed();
  EXPECT_THAT(program_->printed(), HasSubstr("warning runs as root (uid 0) with privileges"));
  EXPECT_THAT(program_->printed(), HasSubstr("warning the daemon may make every system call"));
  const v1::Confinement confinement = HostInfo().confinement();
  EXPECT_TRUE(confinement.privileged());
  EXPECT_EQ(confinement.opener(), "daemon");
  EXPECT_FALSE(confinement.system_calls_filtered());
  EXPECT_THAT(confinement.system_call_filter_problem(), HasSubstr("--no-seccomp"));
  EXPECT_TRUE(Children(program_->pid()).empty());
}

TEST_F(ConfinedProcessTest, TheSystemsBrokerIsUsedByWhomRootDidNotStart) {
  // setpriv becomes the user before planecastd starts, which he must be able to read.
  const std::string daemon = dir_.path() + "/planecastd";
  std::filesystem::copy_file(PLANECASTD, daemon);
  ASSERT_EQ(chown(dir_.path().c_str(), FreeUid(), FreeUid()), 0);
  const std::string missing = dir_.path() + "/broker.sock";
  const std::string config = Config("broker_socket_path: \"" + missing + "\"");
  program_ = std::make_unique<Program>(
      std::vector<std::string>{"--reuid", uid_, "--regid", uid_, "--clear-groups", daemon,
                               "--socket", Socket(), "--viewer-socket", "none", "--config", config},
      true, "/usr/bin/setpriv");
  ASSERT_TRUE(program_->AwaitText("listening on unix:")) << program_->printed();
  EXPECT_THAT(program_->printed(), HasSubstr("warning the broker's socket " + missing));
  const v1::Confinement confinement = HostInfo().confinement();
  EXPECT_FALSE(confinement.privileged());
  EXPECT_EQ(confinement.opener(), "daemon");
  EXPECT_THAT(confinement.opener_problem(), HasSubstr(missing));
  EXPECT_EQ(confinement.system_calls_filtered(), filtered_);
}

}  // namespace
}  // namespace planecast::testing
