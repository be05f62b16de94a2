// `planecast record`, from a scripted server to a file that libavformat reads.
#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "clients/cli/clip_writer.h"
#include "tests/clients/cli_runner.h"
#include "tests/clients/h264_clip.h"
#include "tests/clients/mock_server.h"

namespace planecast {
namespace {

using ::testing::AllOf;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int64_t kMs = 1'000'000;

// Sends units with these flip times, then nothing until the client goes.
StreamScript ServeClip(std::vector<ClipUnit> clip, std::vector<int64_t> flips_ms) {
  return [clip = std::move(clip), flips_ms = std::move(flips_ms)](const v1::StreamStart&,
                                                                  ServerStream& stream) {
    stream.Write(StartedEvent(320, 240, flips_ms[0] * kMs));
    stream.Write(StateEvent(v1::Display::STATE_ACTIVE, "", ""));
    for (size_t i = 0; i < clip.size(); ++i) {
      stream.Write(UnitEvent(i + 1, clip[i].key_frame, clip[i].data, flips_ms[i] * kMs));
    }
    ReadToEnd(stream);
    return grpc::Status::OK;
  };
}

class RecordTest : public ::testing::Test {
 protected:
  RecordTest() { server_.AddDisplay(MakeDisplay("desk")); }
  CliResult Record(const std::string& name, std::vector<std::string> more = {},
                   std::stop_source* stop = nullptr) {
    std::vector<std::string> args = {"record", "desk", "-f", Path(name)};
    args.insert(args.end(), more.begin(), more.end());
    return RunCli(server_, args, stop);
  }
  std::string Path(const std::string& name) const { return server_.folder() + "/" + name; }
  size_t FileCount() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(server_.folder())) {
      if (entry.is_regular_file()) ++count;
    }
    return count;
  }

  MockServer server_;
};

TEST_F(RecordTest, Mp4HasEachPictureAtItsFlipTime) {
  server_.AddStreamScript(ServeClip(EncodeClip(320, 240, 4), {1000, 1017, 1050, 1150}));
  const CliResult result = Record("a.mp4", {"--frames", "4"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("4 pictures"));
  const ProbedClip clip = ProbeClip(Path("a.mp4"));
  EXPECT_THAT(clip.error, IsEmpty());
  EXPECT_TRUE(clip.has_avcc);
  EXPECT_EQ(clip.width_px, 320);
  EXPECT_EQ(clip.height_px, 240);
  EXPECT_THAT(clip.times_s, ElementsAre(DoubleNear(0, 1e-4), DoubleNear(0.017, 1e-4),
                                        DoubleNear(0.050, 1e-4), DoubleNear(0.150, 1e-4)));
  EXPECT_THAT(clip.lumas, ElementsAre(32, 40, 48, 56));
  EXPECT_EQ(FileCount(), 1U);
}

TEST_F(RecordTest, TellsAProgramWhatItRecorded) {
  server_.AddStreamScript(ServeClip(EncodeClip(320, 240, 2), {1000, 1500}));
  const CliResult result = Record("a.mp4", {"--frames", "2", "-ojson"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  google::protobuf::Struct report;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(result.out, &report).ok()) << result.out;
  const auto& fields = report.fields();
  ASSERT_EQ(fields.at("files").list_value().values_size(), 1);
  EXPECT_EQ(fields.at("files").list_value().values(0).string_value(), Path("a.mp4"));
  EXPECT_GE(fields.at("duration_s").number_value(), 0.5);
  EXPECT_EQ(fields.at("pictures").number_value(), 2);
  EXPECT_GT(fields.at("bytes").number_value(), 0);
}

TEST_F(RecordTest, TheLastPictureLastsUntilTheEndOfTheRecording) {
  server_.AddStreamScript(ServeClip(EncodeClip(320, 240, 2), {1000, 1100}));
  EXPECT_EQ(Record("a.mp4", {"--seconds", "0.6"}).exit_code, 0);
  const ProbedClip clip = ProbeClip(Path("a.mp4"));
  EXPECT_THAT(clip.error, IsEmpty());
  EXPECT_EQ(clip.lumas.size(), 2U);
  EXPECT_NEAR(clip.duration_s, 0.6, 0.002);
}

TEST_F(RecordTest, AnInterruptFinishesTheFile) {
  std::stop_source stop;
  const std::vector<ClipUnit> clip = EncodeClip(320, 240, 2);
  server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(320, 240));
    stream.Write(UnitEvent(1, true, clip[0].data, kMs));
    stream.Write(UnitEvent(2, false, clip[1].data, 20 * kMs));
    v1::StreamDisplayRequest request;
    while (stream.Read(&request) && AcknowledgedBy(request) != 2) {
    }
    stop.request_stop();
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  EXPECT_EQ(Record("a.mp4", {}, &stop).exit_code, 0);
  const ProbedClip probed = ProbeClip(Path("a.mp4"));
  EXPECT_THAT(probed.error, IsEmpty());
  EXPECT_EQ(probed.lumas.size(), 2U);
}

TEST_F(RecordTest, AChangeOfSizeBeginsAnotherFile) {
  const std::vector<ClipUnit> small = EncodeClip(320, 240, 2);
  const std::vector<ClipUnit> large = EncodeClip(640, 480, 2);
  server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(320, 240));
    stream.Write(UnitEvent(1, true, small[0].data, 0));
    stream.Write(UnitEvent(2, false, small[1].data, 100 * kMs));
    stream.Write(StartedEvent(640, 480));
    stream.Write(UnitEvent(3, true, large[0].data, 300 * kMs));
    stream.Write(UnitEvent(4, false, large[1].data, 400 * kMs));
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const CliResult result = Record("a.mp4", {"--frames", "4"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("a-2.mp4"));
  const ProbedClip first = ProbeClip(Path("a.mp4"));
  const ProbedClip second = ProbeClip(Path("a-2.mp4"));
  EXPECT_THAT(first.error + second.error, IsEmpty());
  EXPECT_EQ(first.width_px, 320);
  EXPECT_NEAR(first.duration_s, 0.3, 0.002);
  EXPECT_EQ(second.width_px, 640);
  EXPECT_THAT(second.times_s, ElementsAre(DoubleNear(0, 1e-4), DoubleNear(0.1, 1e-4)));
  EXPECT_THAT(second.lumas, ElementsAre(32, 40));
}

TEST_F(RecordTest, ARepeatedKeyFrameStaysInTheSameFile) {
  const std::vector<ClipUnit> clip = EncodeClip(320, 240, 2);
  server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(320, 240));
    stream.Write(UnitEvent(1, true, clip[0].data, 0));
    stream.Write(UnitEvent(2, false, clip[1].data, 50 * kMs));
    stream.Write(UnitEvent(3, true, clip[0].data, 100 * kMs));
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  EXPECT_EQ(Record("a.mp4", {"--frames", "3"}).exit_code, 0);
  EXPECT_THAT(ProbeClip(Path("a.mp4")).lumas, ElementsAre(32, 40, 32));
  EXPECT_EQ(FileCount(), 1U);
}

TEST_F(RecordTest, RawRecordingsAreTheStreamsBytes) {
  const std::vector<ClipUnit> clip = EncodeClip(320, 240, 3);
  server_.AddStreamScript(ServeClip(clip, {0, 16, 33}));
  EXPECT_EQ(Record("a.h264", {"--frames", "3"}).exit_code, 0);
  std::ifstream file(Path("a.h264"), std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  EXPECT_EQ(bytes.str(), clip[0].data + clip[1].data + clip[2].data);
  EXPECT_THAT(ProbeClip(Path("a.h264")).lumas, ElementsAre(32, 40, 48));
}

TEST_F(RecordTest, GoesOnInTheSameFileAfterAReconnect) {
  const std::vector<ClipUnit> clip = EncodeClip(320, 240, 2);
  server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(320, 240, 900'000 * kMs));
    stream.Write(UnitEvent(1, true, clip[0].data, 900'000 * kMs));
    stream.Write(GoodbyeEvent(v1::Goodbye::REASON_DRAINING, "restarting", 100));
    return grpc::Status::CANCELLED;
  });
  server_.AddStreamScript(ServeClip(clip, {5, 105}));
  const CliResult result = Record("a.mp4", {"--frames", "3"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("restarting; trying again"));
  const ProbedClip probed = ProbeClip(Path("a.mp4"));
  EXPECT_THAT(probed.error, IsEmpty());
  ASSERT_EQ(probed.times_s.size(), 3U);
  EXPECT_GE(probed.times_s[1], 0.1);
  EXPECT_NEAR(probed.times_s[2] - probed.times_s[1], 0.1, 1e-3);
}

TEST_F(RecordTest, ADetachEndsARecordingWithoutLimitsWell) {
  const std::vector<ClipUnit> clip = EncodeClip(320, 240, 1);
  server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(320, 240));
    stream.Write(UnitEvent(1, true, clip[0].data));
    stream.Write(GoodbyeEvent(v1::Goodbye::REASON_DETACHED, "desk was detached"));
    return grpc::Status::OK;
  });
  const CliResult result = Record("a.mp4");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("desk was detached"));
  EXPECT_EQ(ProbeClip(Path("a.mp4")).lumas.size(), 1U);
}

TEST_F(RecordTest, ADetachBeforeTheLimitFailsButKeepsTheFile) {
  const std::vector<ClipUnit> clip = EncodeClip(320, 240, 1);
  server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(320, 240));
    stream.Write(UnitEvent(1, true, clip[0].data));
    stream.Write(GoodbyeEvent(v1::Goodbye::REASON_DETACHED, "desk was detached"));
    return grpc::Status::OK;
  });
  const CliResult result = Record("a.mp4", {"--seconds", "30"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("wrote "), HasSubstr("desk was detached")));
  EXPECT_EQ(ProbeClip(Path("a.mp4")).lumas.size(), 1U);
}

TEST_F(RecordTest, WithoutAPictureFailsWithStateReasonAndRemedy) {
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream& stream) {
    v1::StreamDisplayResponse started = StartedEvent(0, 0);
    started.mutable_event()->mutable_started()->set_cursor_path(v1::CURSOR_PATH_SEPARATE);
    stream.Write(started);
    stream.Write(StateEvent(v1::Display::STATE_WAITING_FOR_GUEST, "No framebuffer yet.",
                            "Wait for the guest's driver."));
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const CliResult result = Record("a.mp4", {"--timeout", "2s"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err,
              HasSubstr("desk is WAITING_FOR_GUEST: No framebuffer yet. Wait for the guest's "
                        "driver"));
  EXPECT_THAT(result.err, Not(HasSubstr("cursor")));
  EXPECT_EQ(FileCount(), 0U);
}

TEST_F(RecordTest, SaysThatASeparateCursorIsNotRecorded) {
  const std::vector<ClipUnit> clip = EncodeClip(320, 240, 1);
  server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    v1::StreamDisplayResponse started = StartedEvent(320, 240);
    started.mutable_event()->mutable_started()->set_cursor_path(v1::CURSOR_PATH_SEPARATE);
    stream.Write(started);
    stream.Write(UnitEvent(1, true, clip[0].data));
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  EXPECT_THAT(Record("a.mp4", {"--frames", "1"}).err, HasSubstr("cursor"));
}

TEST_F(RecordTest, AFolderThatIsNotThereFailsWithoutALeftover) {
  server_.AddStreamScript(ServeClip(EncodeClip(320, 240, 1), {0}));
  const CliResult mp4 = Record("no/such/a.mp4");
  EXPECT_EQ(mp4.exit_code, 1);
  EXPECT_THAT(mp4.err, HasSubstr("No such file or directory"));
  server_.AddStreamScript(ServeClip(EncodeClip(320, 240, 1), {0}));
  EXPECT_THAT(Record("no/such/a.h264").err, HasSubstr("No such file or directory"));
}

TEST_F(RecordTest, KeepsNothingOfADisplayThatMayOnlyBeWatched) {
  const std::vector<ClipUnit> clip = EncodeClip(320, 240, 1);
  for (const bool told : {true, false}) {
    server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
      v1::StreamDisplayResponse started = StartedEvent(320, 240);
      auto& permissions = *started.mutable_event()->mutable_started()->mutable_permissions();
      permissions.Clear();
      if (told) permissions.Add(v1::PERMISSION_WATCH);
      stream.Write(started);
      stream.Write(UnitEvent(1, true, clip[0].data));
      ReadToEnd(stream);
      return grpc::Status::OK;
    });
    const CliResult result = Record("a.mp4", {"--frames", "1"});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.err,
              "planecast: can't record desk: you may watch it, but not keep what you see: ask an "
              "operator for a ticket whose role has RECORD\n");
    EXPECT_EQ(FileCount(), 0U);
  }
}

TEST_F(RecordTest, AnEvictionFailsButKeepsTheFile) {
  const std::vector<ClipUnit> clip = EncodeClip(320, 240, 1);
  server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(320, 240));
    stream.Write(UnitEvent(1, true, clip[0].data));
    stream.Write(GoodbyeEvent(v1::Goodbye::REASON_EVICTED, "an operator ended it"));
    return grpc::Status::OK;
  });
  const CliResult result = Record("a.mp4");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("wrote "), HasSubstr("an operator ended it")));
  EXPECT_EQ(ProbeClip(Path("a.mp4")).lumas.size(), 1U);
}

TEST_F(RecordTest, AnAbsentDisplayFailsAtOnce) {
  const CliResult result = RunCli(server_, {"record", "other", "-f", Path("a.mp4")});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("no display displays/other"));
}

TEST(ClipWriterTest, AStreamWithoutParameterSetsIsRefused) {
  const MockServer files;  // For its folder.
  const auto writer = cli::MakeMp4Writer(files.folder() + "/a.mp4");
  v1::AccessUnit unit;
  unit.set_data(std::string("\0\0\0\1\x41zzz", 8));
  EXPECT_THAT(std::string(writer->Write(unit, 0).message()), HasSubstr("parameter sets"));
}

}  // namespace
}  // namespace planecast
