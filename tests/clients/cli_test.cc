// The verbs, as someone types them.
#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "clients/cli/output_file.h"
#include "clients/cli/verbs.h"
#include "tests/clients/cli_runner.h"
#include "tests/clients/mock_server.h"

namespace planecast {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

google::protobuf::Struct ParseJson(const std::string& json) {
  google::protobuf::Struct parsed;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &parsed).ok()) << json;
  return parsed;
}

std::string Slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

v1::Display MakeFailedDisplay(const std::string& id) {
  v1::Display display = MakeDisplay(id);
  display.clear_primary_plane();
  display.set_state(v1::Display::STATE_IMPORT_FAILED);
  display.set_state_reason("The dma-buf can't be mapped.");
  display.set_state_remedy("Use an encoder that imports on the GPU.");
  return display;
}

TEST(CliUsageTest, WithoutAVerbPrintsHelpAndFailsAsWrongUsage) {
  const CliResult result = RunCli({});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("Usage: planecast VERB"));
  EXPECT_THAT(result.out, IsEmpty());
}

TEST(CliUsageTest, HelpListsEachVerbAndEachVerbHasHelpWithAnExample) {
  const CliResult program = RunCli({"--help"});
  EXPECT_EQ(program.exit_code, 0);
  for (const cli::Verb* verb : cli::AllVerbs()) {
    const std::string name(verb->syntax.name);
    EXPECT_THAT(program.out, HasSubstr("\n  " + name + " "));
    const CliResult help = RunCli({name, "--help"});
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_THAT(help.out, AllOf(HasSubstr("Usage: planecast " + name), HasSubstr("Examples:"),
                                HasSubstr("--server")));
    EXPECT_EQ(help.out.find("--output") != std::string::npos, verb->takes_output) << name;
    EXPECT_EQ(help.out.find("or names") != std::string::npos, verb->prints_names) << name;
    EXPECT_EQ(RunCli({"help", name}).out, help.out);
  }
}

TEST(CliUsageTest, HasTheVerbsOfTheContract) {
  for (const char* verb :
       {"host", "list", "get", "watch", "attach", "detach", "label", "ticket", "tickets", "revoke",
        "viewers", "kick", "snapshot", "record", "stats", "mode", "completion"}) {
    EXPECT_EQ(RunCli({verb, "--help"}).exit_code, 0) << verb;
  }
}

TEST(CliUsageTest, WrongUsageExitsWithTwoAndPointsAtHelp) {
  const std::vector<std::vector<std::string>> wrong = {
      {"nonsense"},
      {"--nonsense"},
      {"list", "--nonsense"},
      {"list", "surplus"},
      {"list", "-o", "xml"},
      {"get"},
      {"get", "Bad_Name"},
      {"get", "desk", "-o", "names"},
      {"attach", "desk"},
      {"attach", "desk", "--fake", "ideal", "--cdev", "/dev/x"},
      {"attach", "desk", "--fake", ":desktop"},
      {"attach", "desk", "--fake", "ideal:"},
      {"attach", "Desk", "--fake", "ideal"},
      {"attach", "", "--fake", "ideal"},
      {"attach", "desk", "--fake", "foo"},
      {"attach", "desk", "--fake", "ideal:foo"},
      {"attach", "desk", "--fake", "ideal", "--size", "10x10"},
      {"attach", "desk", "--fake", "ideal", "--rate", "1000"},
      {"attach", "desk", "--fake", "ideal", "--size", "big"},
      {"attach", "desk", "--fake", "ideal", "--rate", "0"},
      {"attach", "desk", "--cdev", "/dev/x", "--size", "64x64"},
      {"attach", "desk", "--cdev", "/dev/x", "--device", "d"},
      {"attach", "desk", "--vfio-group", "1"},
      {"attach", "desk", "--vfio-group", "-1", "--device", "d"},
      {"attach", "desk", "--vmm-pid", "0"},
      {"attach", "desk", "--vmm-pid", "1", "--vmm-start", "0"},
      {"attach", "desk", "--cdev", "/dev/x", "--vmm-start", "1"},
      {"attach", "desk", "--vmm-pid", "1", "--server", "127.0.0.1:1"},
      {"attach", "desk", "--fake", "ideal", "--dialect", "v2"},
      {"attach", "desk", "--fake", "ideal", "--flip-events", "all"},
      {"snapshot", "desk"},
      {"snapshot", "desk", "-f", "out.jpg"},
      {"snapshot", "desk", "-f", "-", "-o", "json"},
      {"record", "desk"},
      {"record", "desk", "-f", "out.avi"},
      {"record", "desk", "-f", "out.mp4", "--seconds", "soon"},
      {"record", "desk", "-f", "out.mp4", "--frames", "0"},
      {"stats", "desk", "--count", "0"},
      {"mode", "desk"},
      {"mode", "desk", "wide"},
      {"mode", "desk", "99999x10"},
      {"completion", "tcsh"},
      {"completion", "bash", "-o", "json"},
      {"-o", "json", "completion", "bash"},
      {"list", "--server", "no server"},
      {"list", "--server", ""},
      {"list", "--timeout", "never"},
      {"list", "--tls", "--insecure"},
      {"list", "--tls", "--server", "unix:/tmp/x"},
  };
  for (const auto& args : wrong) {
    std::string line;
    for (const std::string& arg : args) absl::StrAppend(&line, arg, " ");
    // "no server" has a blank, yet is taken as a host's name: it can't be looked up.
    const int expected = args.back() == "no server" ? 1 : 2;
    const CliResult result = RunCli(args);
    EXPECT_EQ(result.exit_code, expected) << line << result.err;
    EXPECT_THAT(result.err, StartsWith("planecast: ")) << line;
    if (expected == 2) {
      EXPECT_THAT(result.err, HasSubstr("--help")) << line;
    }
    EXPECT_THAT(result.out, IsEmpty()) << line;
  }
}

TEST(CliUsageTest, TellsItsVersion) {
  const CliResult result = RunCli({"--version"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, StartsWith("planecast "));
}

TEST(CliUsageTest, AnAbsentServerFailsWithWhatToDo) {
  const CliResult result = RunCli({"--server", "unix:/nonexistent/socket", "list"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err,
            "planecast: can't list displays: no server at unix:/nonexistent/socket (no such "
            "socket): is planecastd running? Set PLANECAST_SERVER or --server to reach another\n");
}

class CliTest : public ::testing::Test {
 protected:
  CliResult Run(std::vector<std::string> args) { return RunCli(server_, std::move(args)); }
  std::string Path(const std::string& name) const { return server_.folder() + "/" + name; }

  MockServer server_;
};

TEST_F(CliTest, HostShowsSourcesAndEncoders) {
  const CliResult table = Run({"host"});
  EXPECT_EQ(table.exit_code, 0);
  EXPECT_THAT(table.out, AllOf(HasSubstr("1.2.3"), HasSubstr("no: no /dev/vfio"),
                               HasSubstr("constrained-baseline"), HasSubstr("64 displays")));
  const auto json = ParseJson(Run({"host", "-o", "json"}).out);
  EXPECT_EQ(json.fields().at("version").string_value(), "1.2.3");
  EXPECT_EQ(json.fields().count("plane_sources"), 1U);
}

TEST_F(CliTest, ListAlignsColumnsAndSaysWhyThereIsNoPicture) {
  server_.AddDisplay(MakeDisplay("a"));
  server_.AddDisplay(MakeFailedDisplay("much-longer"));
  const CliResult result = Run({"list"});
  const std::vector<std::string> lines = absl::StrSplit(result.out, '\n', absl::SkipEmpty());
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_THAT(lines[2], AllOf(HasSubstr("IMPORT_FAILED"), HasSubstr("can't be mapped")));
  for (const char* column : {"STATE", "SIZE", "SOURCE"}) {
    const size_t position = lines[0].find(column);
    ASSERT_NE(position, std::string::npos);
    for (const std::string& line : lines) EXPECT_EQ(line[position - 1], ' ') << line;
  }
  EXPECT_THAT(result.out, Not(HasSubstr(" \n")));
}

TEST_F(CliTest, ListHasFormsForPrograms) {
  for (const char* id : {"a", "b", "c"}) server_.AddDisplay(MakeDisplay(id));
  EXPECT_EQ(Run({"list", "-o", "names"}).out, "a\nb\nc\n");
  const auto json = ParseJson(Run({"list", "--output=json"}).out);
  const auto& displays = json.fields().at("displays").list_value();
  ASSERT_EQ(displays.values_size(), 3);
  const auto& first = displays.values(0).struct_value().fields();
  EXPECT_EQ(first.at("name").string_value(), "displays/a");
  EXPECT_EQ(first.at("state").string_value(), "STATE_ACTIVE");
  EXPECT_EQ(first.at("primary_plane").struct_value().fields().at("width_px").number_value(), 640);
  EXPECT_EQ(first.at("viewer_count").number_value(), 0);
}

TEST_F(CliTest, ListOfNothingSaysHowToAttach) {
  const CliResult result = Run({"list"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, HasSubstr("attach"));
}

TEST_F(CliTest, GetShowsStateReasonAndRemedy) {
  server_.AddDisplay(MakeFailedDisplay("desk"));
  const CliResult result = Run({"get", "displays/desk"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, AllOf(HasSubstr("IMPORT_FAILED"), HasSubstr("can't be mapped"),
                                HasSubstr("imports on the GPU"), HasSubstr("fake ideal")));
  const auto json = ParseJson(Run({"get", "desk", "-o", "json"}).out);
  EXPECT_EQ(json.fields().at("state").string_value(), "STATE_IMPORT_FAILED");
  EXPECT_EQ(Run({"get", "other"}).exit_code, 1);
}

TEST_F(CliTest, GetShowsWhatWasOpened) {
  v1::Display display = MakeDisplay("desk");
  display.set_device_description("borrowed from process 7: fd 3");
  server_.AddDisplay(display);
  EXPECT_THAT(Run({"get", "desk"}).out, HasSubstr("device    borrowed from process 7: fd 3"));
}

TEST_F(CliTest, WatchPrintsChangesUntilInterrupted) {
  server_.SetWatchScript([](grpc::ServerContext& context, auto& writer) {
    v1::WatchDisplaysResponse event;
    *event.mutable_display() = MakeFailedDisplay("desk");
    writer.Write(event);
    event.mutable_bookmark();
    writer.Write(event);
    event.mutable_detached()->set_name("displays/desk");
    writer.Write(event);
    while (!context.IsCancelled()) std::this_thread::yield();
    return grpc::Status::OK;
  });
  // Interrupts as soon as the third line is there.
  class StopAtDetach : public std::stringbuf {
   public:
    explicit StopAtDetach(std::stop_source& stop) : stop_(stop) {}
    int sync() override {
      if (str().find("detached") != std::string::npos) stop_.request_stop();
      return 0;
    }

   private:
    std::stop_source& stop_;
  };
  for (const std::string format : {"table", "json"}) {
    std::stop_source stop;
    StopAtDetach buffer(stop);
    std::ostream out(&buffer);
    std::ostringstream err;
    cli::Environment environment{.out = out, .err = err};
    environment.catch_interrupt = [&stop] { return stop.get_token(); };
    EXPECT_EQ(cli::RunCli({"watch", "-o", format, "--server", server_.address()}, environment), 0);
    const std::vector<std::string> lines = absl::StrSplit(buffer.str(), '\n', absl::SkipEmpty());
    if (format == "table") {
      ASSERT_THAT(lines, SizeIs(2));
      EXPECT_THAT(lines[0], AllOf(StartsWith("desk  IMPORT_FAILED: The dma-buf can't be mapped."),
                                  HasSubstr("imports on the GPU")));
    } else {
      ASSERT_THAT(lines, SizeIs(3));
      for (const std::string& line : lines) ParseJson(line);
    }
  }
}

TEST_F(CliTest, AttachFakeSendsProfileSceneSizeAndRate) {
  const CliResult result = Run({"attach", "desk", "--fake", "ideal:video", "--size", "800x600",
                                "--rate", "30", "--flip-events", "none", "--dialect", "v15"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("ACTIVE"));
  const auto requests = server_.attach_requests();
  ASSERT_THAT(requests, SizeIs(1));
  EXPECT_EQ(requests[0].display_id(), "desk");
  const v1::DisplaySource& source = requests[0].source();
  EXPECT_EQ(source.fake().profile(), "ideal");
  EXPECT_EQ(source.fake().scene(), "video");
  EXPECT_EQ(source.fake().width_px(), 800);
  EXPECT_EQ(source.fake().height_px(), 600);
  EXPECT_EQ(source.fake().frame_rate_hz(), 30);
  EXPECT_EQ(source.flip_events(), v1::DisplaySource::FLIP_EVENTS_NONE);
  EXPECT_EQ(source.dialect(), v1::DisplaySource::DIALECT_V15);
}

TEST_F(CliTest, AttachKnowsEachKindOfDevice) {
  EXPECT_EQ(Run({"attach", "a", "--vfio-group", "12", "--device", "0000:00:02.0"}).exit_code, 0);
  EXPECT_EQ(Run({"attach", "b", "--vmm-pid", "4321", "--vmm-start", "99"}).exit_code, 0);
  EXPECT_EQ(Run({"attach", "c", "--cdev", "/dev/vfio/devices/vfio3"}).exit_code, 0);
  EXPECT_EQ(Run({"attach", "d", "--hand-over-token", "secret"}).exit_code, 0);
  EXPECT_EQ(
      Run({"attach", "e", "--vmm-pid", "1", "--device", "uuid", "--vmm-start", "1"}).exit_code, 0);
  const auto requests = server_.attach_requests();
  ASSERT_THAT(requests, SizeIs(5));
  EXPECT_EQ(requests[0].source().vfio_group().group(), 12);
  EXPECT_EQ(requests[0].source().vfio_group().device(), "0000:00:02.0");
  EXPECT_EQ(requests[1].source().vmm().pid(), 4321);
  EXPECT_EQ(requests[1].source().vmm().start_time_ticks(), 99);
  EXPECT_EQ(requests[2].source().vfio_cdev().path(), "/dev/vfio/devices/vfio3");
  EXPECT_EQ(requests[3].source().handed_over().token(), "secret");
  EXPECT_EQ(requests[4].source().vmm().device(), "uuid");
}

TEST_F(CliTest, WhenTheVmmStartedIsReadHereIfTheServerIsHere) {
  const std::string pid = absl::StrCat(getpid());
  EXPECT_EQ(Run({"attach", "a", "--vmm-pid", pid}).exit_code, 0);
  const auto requests = server_.attach_requests();
  ASSERT_THAT(requests, SizeIs(1));
  // Field 22: the 20th behind the name.
  std::string stat = Slurp(absl::StrCat("/proc/", pid, "/stat"));
  stat = stat.substr(stat.rfind(')') + 2);
  const std::vector<std::string> fields = absl::StrSplit(stat, ' ');
  EXPECT_EQ(absl::StrCat(requests[0].source().vmm().start_time_ticks()), fields.at(19));

  // Beyond what a kernel gives.
  const CliResult none = Run({"attach", "b", "--vmm-pid", "2147483647"});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, HasSubstr("no process 2147483647 on this machine"));
}

TEST_F(CliTest, AttachOfADisplayWithoutPictureSucceedsAndSaysWhyThereIsNone) {
  server_.AddDisplay(MakeFailedDisplay("desk"));
  const CliResult result = Run({"attach", "desk", "--fake", "gvt"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err,
            "desk has no picture: IMPORT_FAILED: The dma-buf can't be mapped. Use an encoder that "
            "imports on the GPU\n");
}

TEST_F(CliTest, AttachPassesOnWhyTheServerRefused) {
  server_.FailCalls("AttachDisplay", {grpc::StatusCode::NOT_FOUND, "no process 7"});
  const CliResult result = Run({"attach", "desk", "--vmm-pid", "7", "--vmm-start", "1"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "planecast: can't attach desk: no process 7\n");
}

TEST_F(CliTest, WhatTheServerCallsInvalidIsWrongUsage) {
  server_.FailCalls("SetDisplayMode", {grpc::StatusCode::INVALID_ARGUMENT, "too wide for it"});
  const CliResult result = Run({"mode", "desk", "7680x4320"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err,
            "planecast: can't set the mode of desk: too wide for it\n"
            "Try 'planecast mode --help'.\n");
}

TEST_F(CliTest, DetachDetachesOnce) {
  server_.AddDisplay(MakeDisplay("desk"));
  EXPECT_EQ(Run({"detach", "desk"}).exit_code, 0);
  const CliResult again = Run({"detach", "desk"});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_EQ(again.err,
            "planecast: can't detach desk: no display displays/desk is attached; 'planecast list' "
            "shows what is attached\n");
}

TEST_F(CliTest, DetachAndModeTellProgramsWhatTheyDid) {
  server_.AddDisplay(MakeDisplay("desk"));
  const auto mode = ParseJson(Run({"mode", "desk", "800x600", "-o", "json"}).out);
  EXPECT_EQ(mode.fields().at("name").string_value(), "displays/desk");
  EXPECT_EQ(mode.fields().at("width_px").number_value(), 800);
  EXPECT_EQ(mode.fields().at("height_px").number_value(), 600);
  const auto detached = ParseJson(Run({"detach", "desk", "-o", "json"}).out);
  EXPECT_EQ(detached.fields().at("name").string_value(), "displays/desk");
}

TEST_F(CliTest, ModeOffersASize) {
  EXPECT_EQ(Run({"mode", "desk", "1920x1080"}).exit_code, 0);
  ASSERT_THAT(server_.mode_requests(), SizeIs(1));
  EXPECT_EQ(server_.mode_requests()[0].width_px(), 1920);
  EXPECT_EQ(server_.mode_requests()[0].height_px(), 1080);
  server_.FailCalls("SetDisplayMode", {grpc::StatusCode::FAILED_PRECONDITION, "no EDID region"});
  EXPECT_THAT(Run({"mode", "desk", "1920x1080"}).err, HasSubstr("no EDID region"));
}

TEST_F(CliTest, SnapshotWritesAWholeFileOrNone) {
  v1::GetSnapshotResponse snapshot;
  snapshot.set_image("PNG bytes");
  snapshot.set_width_px(640);
  snapshot.set_height_px(480);
  server_.SetSnapshot(snapshot);
  const CliResult result = Run({"snapshot", "desk", "-f", Path("a.png"), "--no-cursor"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Slurp(Path("a.png")), "PNG bytes");
  EXPECT_TRUE(server_.snapshot_requests().front().exclude_cursor());
  const auto json = ParseJson(Run({"snapshot", "desk", "-f", Path("a.png"), "-o", "json"}).out);
  EXPECT_EQ(json.fields().at("width_px").number_value(), 640);
  EXPECT_EQ(Run({"snapshot", "desk", "-f", "-"}).out, "PNG bytes");
  const CliResult bad = Run({"snapshot", "desk", "-f", Path("no/such/folder/a.png")});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_THAT(bad.err, HasSubstr("No such file or directory"));
  // Nothing but the picture and the server's socket is left.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(server_.folder()), {}), 2);
}

TEST_F(CliTest, SnapshotWithoutAPictureSaysOnceWhyAndWhatToDo) {
  server_.AddDisplay(MakeFailedDisplay("desk"));
  server_.FailCalls("GetSnapshot", {grpc::StatusCode::FAILED_PRECONDITION,
                                    "display desk has no picture (IMPORT_FAILED): The dma-buf "
                                    "can't be mapped. Use an encoder that imports on the GPU."});
  const CliResult result = Run({"snapshot", "desk", "-f", Path("a.png")});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err,
            "planecast: can't take a snapshot of desk: display desk has no picture "
            "(IMPORT_FAILED): The dma-buf can't be mapped. Use an encoder that imports on the "
            "GPU.\n");
  EXPECT_FALSE(std::filesystem::exists(Path("a.png")));
}

StreamScript ServeStats(int count) {
  return [count](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(640, 480));
    stream.Write(StateEvent(v1::Display::STATE_ACTIVE, "", ""));
    v1::StreamDisplayResponse event;
    v1::StreamStats& stats = *event.mutable_event()->mutable_stats();
    stats.set_viewer_count(2);
    stats.set_frames_per_second(59.9);
    stats.set_bitrate_bps(1'250'000);
    stats.mutable_flip_to_capture()->set_samples(60);
    stats.mutable_flip_to_capture()->set_p50_ns(400'000);
    stats.mutable_network_round_trip()->set_samples(60);
    stats.mutable_network_round_trip()->set_p50_ns(9'000'000);
    stats.set_skipped_frame_rate(4);
    stats.set_dropped(7);
    stats.mutable_dropped_by_reason()->set_queue_age(5);
    stats.mutable_dropped_by_reason()->set_superseded(2);
    stats.set_encoder("x264");
    stats.set_flip_regime(v1::FLIP_REGIME_IRQ);
    for (int i = 0; i < count; ++i) stream.Write(event);
    ReadToEnd(stream);
    return grpc::Status::OK;
  };
}

TEST_F(CliTest, StatsPrintsALineASecondWhereNoTerminalIs) {
  server_.AddDisplay(MakeDisplay("desk"));
  server_.AddStreamScript(ServeStats(3));
  const CliResult result = Run({"stats", "desk", "--count", "2"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const std::vector<std::string> lines = absl::StrSplit(result.out, '\n', absl::SkipEmpty());
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_THAT(lines[0],
              AllOf(HasSubstr("59.9 fps"), HasSubstr("1.2 Mbit/s"), HasSubstr("viewers 2"),
                    HasSubstr("encoder x264"), HasSubstr("flips: flip interrupt"),
                    HasSubstr("skipped 4 (4 frame-rate cap)"),
                    HasSubstr("dropped 7 (5 queue too old, 2 superseded)"),
                    HasSubstr("flip to capture 400 us"), HasSubstr("network round trip 9.0 ms")));
}

TEST_F(CliTest, StatsPrintsJsonLines) {
  server_.AddDisplay(MakeDisplay("desk"));
  server_.AddStreamScript(ServeStats(1));
  const auto json = ParseJson(Run({"stats", "desk", "--count", "1", "-o", "json"}).out);
  EXPECT_EQ(json.fields().at("viewer_count").number_value(), 2);
}

TEST_F(CliTest, StatsRedrawsInATerminal) {
  server_.AddDisplay(MakeDisplay("desk"));
  server_.AddStreamScript(ServeStats(2));
  const CliResult result =
      RunCli(server_, {"stats", "desk", "--count", "2"}, nullptr, /*in_terminal=*/true);
  EXPECT_THAT(result.out, HasSubstr("\x1b["));
  for (const char* row :
       {"flip to capture", "capture to converted", "converted to encoded", "encoded to sent",
        "sent to written", "encoded to acknowledged", "network round trip", "received to decoded",
        "received to presented", "7 (5 queue too old, 2 superseded)", "x264", "flip interrupt"}) {
    EXPECT_THAT(result.out, HasSubstr(row));
  }
}

TEST_F(CliTest, StatsOfADisplayThatIsDetachedFailsWithTheReason) {
  server_.AddDisplay(MakeDisplay("desk"));
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(GoodbyeEvent(v1::Goodbye::REASON_DETACHED, "desk was detached"));
    return grpc::Status::OK;
  });
  const CliResult result = Run({"stats", "desk"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("desk was detached"));
}

TEST(FileExtensionTest, IsInLowerCaseAndOfTheLastPart) {
  EXPECT_EQ(cli::FileExtension("a/b.c/Clip.MP4"), "mp4");
  EXPECT_EQ(cli::FileExtension("a.b/clip"), "");
}

}  // namespace
}  // namespace planecast
