// planecastd as a process that root has started: what is left of root.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "planecast/v1/display_service.grpc.pb.h"
#include "planecast/v1/host_service.grpc.pb.h"
#include "planecast/v1/viewer_service.grpc.pb.h"
#include "service/process/drop.h"
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

// A shell's redirection, `exec 9</etc/shadow`.
TEST_F(ConfinedProcessTest, WhatRootHadOpenIsClosedInBothProcesses) {
  const std::string secret = dir_.path() + "/secret";
  std::ofstream(secret) << "root's";
  {
    const Fd file(KernelSys(), open(secret.c_str(), O_RDONLY | O_CLOEXEC));
    const Fd inherited(KernelSys(), fcntl(file.get(), F_DUPFD, 200));
    ASSERT_TRUE(inherited.valid());
    Start();
  }
  std::vector<pid_t> processes = Children(program_->pid());
  ASSERT_EQ(processes.size(), 1U);
  processes.push_back(program_->pid());
  for (const pid_t pid : processes) {
    int count = 0;
    for (const auto& fd : std::filesystem::directory_iterator(ProcOf(pid) / "fd")) {
      std::error_code error;
      EXPECT_NE(std::filesystem::read_symlink(fd.path(), error), secret);
      ++count;
    }
    EXPECT_GT(count, 3);
  }
}

/// planecastd on a terminal of its own, started by a shell, whose process this is the parent of.
class OnTerminal {
 public:
  explicit OnTerminal(const std::vector<std::string>& arguments) {
    master_ = Fd(KernelSys(), posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    EXPECT_EQ(grantpt(master_.get()), 0);
    EXPECT_EQ(unlockpt(master_.get()), 0);
    std::array<char, 64> name{};
    EXPECT_EQ(ptsname_r(master_.get(), name.data(), name.size()), 0);
    std::string line = PLANECASTD;
    for (const std::string& argument : arguments) line += " '" + argument + "'";
    // With something to do behind it the shell starts a process, and stays the session's leader.
    line += "; echo \"ended with $?\"";
    pid_ = fork();
    if (pid_ != 0) return;
    setsid();
    const int terminal = open(name.data(), O_RDWR);
    for (const int stream : {0, 1, 2}) dup2(terminal, stream);
    signal(SIGPIPE, SIG_DFL);
    execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
    _exit(127);
  }
  ~OnTerminal() {
    kill(-pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  OnTerminal(const OnTerminal&) = delete;
  OnTerminal& operator=(const OnTerminal&) = delete;

  bool AwaitText(const std::string& text) {
    std::array<char, 4096> buffer{};
    while (printed_.find(text) == std::string::npos) {
      const ssize_t size = read(master_.get(), buffer.data(), buffer.size());
      if (size <= 0) return false;
      printed_.append(buffer.data(), static_cast<size_t>(size));
    }
    return true;
  }
  void Type(const std::string& keys) const {
    EXPECT_EQ(write(master_.get(), keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  pid_t shell() const { return pid_; }
  const std::string& printed() const { return printed_; }

 private:
  Fd master_;
  pid_t pid_ = -1;
  std::string printed_;
};

/// How a process has an fd open, as open(2)'s flags.
unsigned OpenFlags(pid_t pid, int fd) {
  std::ifstream info(ProcOf(pid) / "fdinfo" / std::to_string(fd));
  for (std::string word; info >> word;) {
    if (word == "flags:" && info >> word) {
      return static_cast<unsigned>(std::stoul(word, nullptr, 8));
    }
  }
  return ~0U;
}

TEST_F(ConfinedProcessTest, RootsTerminalIsOnlyWrittenTo) {
  OnTerminal terminal(Arguments());
  ASSERT_TRUE(terminal.AwaitText("listening on unix:")) << terminal.printed();
  const std::vector<pid_t> daemons = Children(terminal.shell());
  ASSERT_EQ(daemons.size(), 1U);
  std::error_code error;
  EXPECT_EQ(std::filesystem::read_symlink(ProcOf(daemons[0]) / "fd" / "0", error), "/dev/null");
  for (const int stream : {1, 2}) {
    EXPECT_EQ(OpenFlags(daemons[0], stream) & O_ACCMODE, unsigned{O_WRONLY}) << stream;
  }
  // Field 7 of stat is the controlling terminal.
  std::ifstream stat(ProcOf(daemons[0]) / "stat");
  std::string word;
  for (int field = 1; field <= 7; ++field) stat >> word;
  EXPECT_EQ(word, "0");
  terminal.Type("\x03");
  EXPECT_TRUE(terminal.AwaitText("stopped")) << terminal.printed();
}

TEST_F(ConfinedProcessTest, OfGroupsOnlyThoseOfRenderNodesAreAdded) {
  Start();
  std::set<std::string> allowed;
  for (const gid_t group : RenderNodeGroups()) allowed.insert(std::to_string(group));
  for (const gid_t group : GroupOfName("render")) allowed.insert(std::to_string(group));
  std::istringstream groups(Status(ProcOf(program_->pid())).at("Groups"));
  for (std::string group; groups >> group;) EXPECT_TRUE(allowed.contains(group)) << group;
}

// As a unit's AmbientCapabilities= gives it, in a network where no other program has the port.
TEST_F(ConfinedProcessTest, APortOfRootsIsBoundWithACapabilityThatIsGivenUp) {
  const std::string daemon = dir_.path() + "/planecastd";
  std::filesystem::copy_file(PLANECASTD, daemon);
  ASSERT_EQ(chown(dir_.path().c_str(), FreeUid(), FreeUid()), 0);
  const auto start = [&](const std::vector<std::string>& capabilities) {
    std::vector<std::string> arguments = {"--net", "/usr/bin/setpriv", "--reuid", uid_, "--regid",
                                          uid_,    "--clear-groups"};
    arguments.insert(arguments.end(), capabilities.begin(), capabilities.end());
    arguments.insert(arguments.end(), {daemon, "--socket", Socket(), "--viewer-socket", "none",
                                       "--listen", "0.0.0.0:443", "--insecure"});
    program_ = std::make_unique<Program>(arguments, true, "/usr/bin/unshare");
  };
  start({});
  program_->Wait();
  if (program_->printed().find("unshare failed") != std::string::npos) {
    GTEST_SKIP() << "no network of its own: " << program_->printed();
  }
  EXPECT_THAT(program_->printed(), HasSubstr("AmbientCapabilities=CAP_NET_BIND_SERVICE"));
  start({"--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service"});
  ASSERT_TRUE(program_->AwaitText("listening on 0.0.0.0:443")) << program_->printed();
  EXPECT_THAT(program_->printed(), Not(HasSubstr("with privileges")));
  const auto status = Status(ProcOf(program_->pid()));
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) {
    EXPECT_EQ(status.at(set), std::string(16, '0')) << set;
  }
  EXPECT_EQ(status.at("NoNewPrivs"), "1");
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

TEST_F(ConfinedProcessTest, AConfigThatWhoStartsItCannotReadNamesTheRemedy) {
  const std::string daemon = dir_.path() + "/planecastd";
  std::filesystem::copy_file(PLANECASTD, daemon);
  const std::string path = Config("");
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  ASSERT_EQ(chown(dir_.path().c_str(), FreeUid(), FreeUid()), 0);
  Program program(std::vector<std::string>{"--reuid", uid_, "--regid", uid_, "--clear-groups",
                                           daemon, "--config", path},
                  true, "/usr/bin/setpriv");
  EXPECT_EQ(program.Wait(), 1);
  EXPECT_THAT(program.printed(), HasSubstr("can't be opened by uid " + uid_));
  EXPECT_THAT(program.printed(), HasSubstr("chgrp"));
}

TEST_F(ConfinedProcessTest, TheCertificatesKeyIsForTheConfigsUser) {
  const std::string config = Config("user: \"" + uid_ + "\"");
  const std::string folder = dir_.path() + "/tls";
  Program program(std::vector<std::string>{"--make-certificate", folder, "--host", "localhost",
                                           "--config", config});
  EXPECT_EQ(program.Wait(), 0) << program.printed();
  struct stat info {};
  ASSERT_EQ(stat((folder + "/server.key").c_str(), &info), 0);
  EXPECT_EQ(std::to_string(info.st_gid), uid_);
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
