// The programs of clients/ as a user starts them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "tests/clients/h264_clip.h"
#include "tests/clients/mock_server.h"
#include "tests/clients/test_certificate.h"

namespace planecast {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct ProgramResult {
  int exit_code = -1;
  std::string out;
};

// Runs a shell command; `out` is what it wrote to both outputs.
ProgramResult RunProgram(const std::string& command) {
  FILE* pipe = popen(absl::StrCat("exec 2>&1; ", command).c_str(), "r");
  ProgramResult result;
  std::array<char, 4096> buffer{};
  size_t length = 0;
  while ((length = fread(buffer.data(), 1, buffer.size(), pipe)) > 0) {
    result.out.append(buffer.data(), length);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  return result;
}

std::string Slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class ProgramTest : public ::testing::Test {
 protected:
  ProgramTest() {
    server_.AddDisplay(MakeDisplay("desk"));
    v1::GetSnapshotResponse snapshot;
    snapshot.set_image("PNG bytes");
    server_.SetSnapshot(snapshot);
    server_.SetWatchedEvents({StartedEvent(320, 240), UnitEvent(1, true, clip_[0].data)});
    server_.AddStreamScript([this](const v1::StreamStart&, ServerStream& stream) {
      stream.Write(StartedEvent(320, 240));
      for (size_t i = 0; i < clip_.size(); ++i) {
        stream.Write(UnitEvent(i + 1, clip_[i].key_frame, clip_[i].data, 16'666'667 * i));
      }
      ReadToEnd(stream);
      return grpc::Status::OK;
    });
  }
  std::string Path(const std::string& name) const { return server_.folder() + "/" + name; }

  const std::vector<ClipUnit> clip_ = EncodeClip(320, 240, 3);
  MockServer server_;
};

TEST_F(ProgramTest, ThePythonExampleListsDisplaysAndSavesAFrameInBothForms) {
  const ProgramResult result =
      RunProgram(absl::StrCat("/usr/bin/python3 ", PYTHON_EXAMPLE, " --server ", server_.address(),
                              " --out ", Path("out"), " desk"));
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_THAT(result.out, AllOf(HasSubstr("displays/desk"), HasSubstr("STATE_ACTIVE")));
  EXPECT_EQ(Slurp(Path("out/desk.png")), "PNG bytes");
  EXPECT_EQ(Slurp(Path("out/desk.h264")), clip_[0].data);
}

TEST_F(ProgramTest, ThePythonExampleTakesATicketOverTls) {
  const TestCertificate certificate(server_.folder());
  ASSERT_TRUE(certificate.made()) << "the openssl program is needed: apt-get install openssl";
  MockServer tls(certificate.MakeCredentials());
  tls.AddDisplay(MakeDisplay("desk"));
  tls.SetWatchedEvents({StartedEvent(320, 240), UnitEvent(1, true, clip_[0].data)});
  const ProgramResult result = RunProgram(absl::StrCat(
      "PLANECAST_TICKET=", kMockTicket, " /usr/bin/python3 ", PYTHON_EXAMPLE, " --server ",
      tls.address(), " --tls-ca ", certificate.path(), " --out ", Path("out"), " desk"));
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_EQ(Slurp(Path("out/desk.h264")), clip_[0].data);
  const auto calls = tls.calls();
  EXPECT_EQ(calls.size(), 3U);
  for (const SeenCall& call : calls) {
    EXPECT_EQ(call.authorization, absl::StrCat("Bearer ", kMockTicket)) << call.method;
  }
}

TEST_F(ProgramTest, ThePythonExampleSendsNoTicketInPlainTextToAnotherMachine) {
  const ProgramResult result = RunProgram(absl::StrCat(
      "/usr/bin/python3 ", PYTHON_EXAMPLE, " --server vmhost:7443 --ticket ", kMockTicket));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, AllOf(HasSubstr("--tls-ca"), Not(HasSubstr("abcdef"))));
}

TEST_F(ProgramTest, ThePythonExampleSaysWhatIsWrong) {
  const ProgramResult result =
      RunProgram(absl::StrCat("/usr/bin/python3 ", PYTHON_EXAMPLE, " --server ", server_.address(),
                              " --out ", Path("out"), " other"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, HasSubstr("no display displays/other"));
}

TEST_F(ProgramTest, ThePythonExampleNamesThePackageThatIsMissing) {
  // -S leaves out the folders of installed packages.
  const ProgramResult result = RunProgram(absl::StrCat("/usr/bin/python3 -S ", PYTHON_EXAMPLE));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, AllOf(HasSubstr("apt-get install python3-grpcio"),
                                HasSubstr("/usr/bin/python3"), Not(HasSubstr("Traceback"))));
}

TEST_F(ProgramTest, TheLibrarysExampleWritesAccessUnits) {
  const ProgramResult result = RunProgram(absl::StrCat(
      "PLANECAST_SERVER=", server_.address(), " ", CPP_EXAMPLE, " desk 3 > ", Path("clip.h264")));
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_EQ(Slurp(Path("clip.h264")), clip_[0].data + clip_[1].data + clip_[2].data);
}

TEST_F(ProgramTest, TheCommandLineClientTakesTheServerFromTheEnvironment) {
  const ProgramResult result = RunProgram(absl::StrCat("PLANECAST_SERVER=", server_.address(), " ",
                                                       PLANECAST_PROGRAM, " list -o names"));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "desk\n");
  EXPECT_EQ(RunProgram(absl::StrCat(PLANECAST_PROGRAM, " nonsense")).exit_code, 2);
}

TEST_F(ProgramTest, AnInterruptMakesARecordingWhole) {
  const std::string file = Path("clip.mp4");
  // The server sends the signal once the client has all pictures.
  pid_t pid = 0;
  std::vector<std::string> args = {PLANECAST_PROGRAM, "record",         "desk", "-f", file,
                                   "--server",        server_.address()};
  MockServer interrupting;
  interrupting.AddDisplay(MakeDisplay("desk"));
  interrupting.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(320, 240));
    for (size_t i = 0; i < clip_.size(); ++i) {
      stream.Write(UnitEvent(i + 1, clip_[i].key_frame, clip_[i].data, 16'666'667 * i));
    }
    v1::StreamDisplayRequest request;
    while (stream.Read(&request) && AcknowledgedBy(request) != clip_.size()) {
    }
    kill(pid, SIGINT);
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  args.back() = interrupting.address();
  std::vector<char*> argv;
  argv.reserve(args.size() + 1);
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  ASSERT_EQ(posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), environ), 0);
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  const ProbedClip clip = ProbeClip(file);
  EXPECT_THAT(clip.error, IsEmpty());
  EXPECT_EQ(clip.lumas.size(), 3U);
}

}  // namespace
}  // namespace planecast
