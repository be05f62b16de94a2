#include "service/rpc/grpc_event_codec.h"

#include <grpcpp/impl/codegen/proto_utils.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "planecast/v1/viewer_service.pb.h"

namespace planecast {
namespace {

v1::StreamStarted Id(const std::string& viewer_id) {
  v1::StreamStarted started;
  started.set_viewer_id(viewer_id);
  return started;
}

template <class T>
T Parse(grpc::ByteBuffer bytes) {
  T message;
  EXPECT_TRUE(grpc::SerializationTraits<T>::Deserialize(&bytes, &message).ok());
  return message;
}

std::shared_ptr<const AccessUnit> MakeUnit(size_t size_bytes) {
  auto unit = std::make_shared<AccessUnit>();
  for (size_t i = 0; i < size_bytes; ++i) unit->bytes.push_back(static_cast<uint8_t>(i * 7));
  unit->key_frame = true;
  unit->quantizer = 31;
  unit->flip_time_ns = 1;
  unit->capture_time_ns = 2'000'000'000'000;
  unit->converted_time_ns = 2;
  unit->encoded_time_ns = 3;
  return unit;
}

class GrpcEventCodecTest : public ::testing::Test {
 protected:
  ManualClock clock_;
  WallClock wall_{clock_};
  GrpcEventCodec codec_{wall_};
};

TEST_F(GrpcEventCodecTest, AUnitIsBothResponsesWhateverItsSize) {
  // The lengths of the nested messages take one to four bytes.
  for (const size_t size : {size_t{1}, size_t{60}, size_t{127}, size_t{128}, size_t{16'383},
                            size_t{16'384}, size_t{3'000'000}}) {
    const auto unit = MakeUnit(size);
    const StreamEventPtr event = MakeEvent(UnitEvent{77, unit}, &codec_);
    const grpc::ByteBuffer message = codec_.Message(*event, Id("id"));
    const auto stream = Parse<v1::StreamDisplayResponse>(message);
    const v1::AccessUnit& parsed = stream.event().access_unit();
    EXPECT_EQ(parsed.sequence(), 77U);
    EXPECT_TRUE(parsed.key_frame());
    EXPECT_EQ(parsed.quantizer(), 31);
    EXPECT_EQ(parsed.capture_time_ns(), 2'000'000'000'000);
    EXPECT_EQ(parsed.converted_time_ns(), 2);
    EXPECT_EQ(parsed.pixel_path(), v1::PIXEL_PATH_CPU_COPY);
    EXPECT_EQ(parsed.data(), std::string(unit->bytes.begin(), unit->bytes.end()));
    const auto watch = Parse<v1::WatchDisplayResponse>(message);
    EXPECT_EQ(watch.event().SerializeAsString(), stream.event().SerializeAsString());
    // Byte for byte what protobuf would have written.
    EXPECT_EQ(stream.SerializeAsString().size(), message.Length());
  }
}

TEST_F(GrpcEventCodecTest, AllViewersShareTheBytesOfAUnit) {
  const auto unit = MakeUnit(100'000);
  const StreamEventPtr event = MakeEvent(UnitEvent{1, unit}, &codec_);
  for (int viewer = 0; viewer < 3; ++viewer) {
    std::vector<grpc::Slice> slices;
    ASSERT_TRUE(codec_.Message(*event, Id("id")).Dump(&slices).ok());
    ASSERT_EQ(slices.size(), 2U);
    EXPECT_EQ(slices[1].begin(), unit->bytes.data());
    EXPECT_EQ(slices[1].size(), unit->bytes.size());
  }
}

TEST_F(GrpcEventCodecTest, AUnitLivesUntilItsLastMessageIsGone) {
  auto unit = MakeUnit(1000);
  const std::weak_ptr<const AccessUnit> alive = unit;
  StreamEventPtr event = MakeEvent(UnitEvent{1, std::move(unit)}, &codec_);
  {
    const grpc::ByteBuffer message = codec_.Message(*event, Id("id"));
    event.reset();
    EXPECT_FALSE(alive.expired());
  }
  EXPECT_TRUE(alive.expired());
}

TEST_F(GrpcEventCodecTest, StartedTellsEachViewerItsOwnIdAndTheTime) {
  StreamStarted started;
  started.display_id = "vm1";
  started.description = StreamDescription{"avc1.42C01F", "constrained-baseline", 64, 32, 60, 30};
  started.cursor_path = CursorPath::kSeparate;
  started.flip_regime = FlipRegime::kIrq;
  started.encoder = "x264";
  const StreamEventPtr event = MakeEvent(started, &codec_);
  clock_.Set(5'000);
  const auto one =
      Parse<v1::StreamDisplayResponse>(codec_.Message(*event, Id("one"))).event().started();
  const auto two =
      Parse<v1::StreamDisplayResponse>(codec_.Message(*event, Id("two"))).event().started();
  EXPECT_EQ(one.viewer_id(), "one");
  EXPECT_EQ(two.viewer_id(), "two");
  EXPECT_EQ(one.name(), "displays/vm1");
  EXPECT_EQ(one.codec(), "avc1.42C01F");
  EXPECT_EQ(one.coded_width_px(), 64);
  EXPECT_EQ(one.visible_height_px(), 30);
  EXPECT_EQ(one.color().matrix(), 1);
  EXPECT_FALSE(one.color().full_range());
  EXPECT_EQ(one.cursor_path(), v1::CURSOR_PATH_SEPARATE);
  EXPECT_EQ(one.flip_regime(), v1::FLIP_REGIME_IRQ);
  EXPECT_EQ(one.server_monotonic_time_ns(), 5'000);
  EXPECT_GT(one.server_time().seconds(), 0);
}

TEST_F(GrpcEventCodecTest, ACursorIsBgraInMemory) {
  auto image = std::make_shared<CursorImage>();
  image->width_px = 2;
  image->height_px = 1;
  image->argb = {0x80402010, 0xff0000ff};
  image->hotspot = CursorImage::Hotspot{1, 0};
  const StreamEventPtr event = MakeEvent(CursorShape{image}, &codec_);
  const auto shape =
      Parse<v1::StreamDisplayResponse>(codec_.Message(*event, Id(""))).event().cursor_shape();
  EXPECT_EQ(shape.argb(), std::string("\x10\x20\x40\x80\xff\x00\x00\xff", 8));
  EXPECT_TRUE(shape.hotspot_known());
  EXPECT_EQ(shape.hotspot_x_px(), 1);
}

TEST_F(GrpcEventCodecTest, TheOtherEventsTranslate) {
  const auto event_of = [this](decltype(StreamEvent::body) body) {
    const StreamEventPtr event = MakeEvent(std::move(body), &codec_);
    return Parse<v1::StreamDisplayResponse>(codec_.Message(*event, Id("id"))).event();
  };
  EXPECT_EQ(event_of(CursorMoved{-3, 4, true}).cursor_moved().x_px(), -3);
  StateChanged changed;
  changed.report = {DisplayState::kImportFailed, "why", "what", clock_.NowNs()};
  EXPECT_EQ(event_of(changed).state_changed().state(), v1::Display::STATE_IMPORT_FAILED);
  EXPECT_EQ(event_of(changed).state_changed().remedy(), "what");
  EXPECT_EQ(event_of(Goodbye{Goodbye::Reason::kStalled, "x", 7}).goodbye().reason(),
            v1::Goodbye::REASON_STALLED);
}

TEST_F(GrpcEventCodecTest, EveryNumberOfTheStatsArrives) {
  StreamStats stats;
  stats.dropped[DropReason::kQueueFull] = 1;
  stats.dropped[DropReason::kQueueAge] = 2;
  stats.dropped[DropReason::kAwaitingKeyFrame] = 3;
  stats.dropped[DropReason::kSuperseded] = 4;
  stats.skipped_no_viewer_ready = 5;
  stats.skipped_frame_rate = 6;
  stats.refinements = 7;
  stats.encode_errors = 8;
  stats.encoder = "x264";
  stats.flip_regime = FlipRegime::kEventfd;
  int64_t ns = 100;
  for (StageLatency* stage :
       {&stats.flip_to_capture, &stats.capture_to_encoded, &stats.capture_to_converted,
        &stats.converted_to_encoded, &stats.encoded_to_written, &stats.encoded_to_sent,
        &stats.sent_to_written, &stats.encoded_to_acknowledged, &stats.network_round_trip,
        &stats.received_to_decoded, &stats.received_to_presented}) {
    stage->p95_ns = ns++;
  }
  const StreamEventPtr event = MakeEvent(stats, &codec_);
  const v1::StreamStats parsed =
      Parse<v1::StreamDisplayResponse>(codec_.Message(*event, Id("id"))).event().stats();
  EXPECT_EQ(parsed.dropped(), 10U);
  EXPECT_EQ(parsed.dropped_by_reason().queue_full(), 1U);
  EXPECT_EQ(parsed.dropped_by_reason().queue_age(), 2U);
  EXPECT_EQ(parsed.dropped_by_reason().awaiting_key_frame(), 3U);
  EXPECT_EQ(parsed.dropped_by_reason().superseded(), 4U);
  EXPECT_EQ(parsed.skipped_no_viewer_ready(), 5U);
  EXPECT_EQ(parsed.skipped_frame_rate(), 6U);
  EXPECT_EQ(parsed.refinements(), 7U);
  EXPECT_EQ(parsed.encode_errors(), 8U);
  EXPECT_EQ(parsed.encoder(), "x264");
  EXPECT_EQ(parsed.flip_regime(), v1::FLIP_REGIME_EVENTFD);
  ns = 100;
  for (const v1::StageLatency* stage :
       {&parsed.flip_to_capture(), &parsed.capture_to_encoded(), &parsed.capture_to_converted(),
        &parsed.converted_to_encoded(), &parsed.encoded_to_written(), &parsed.encoded_to_sent(),
        &parsed.sent_to_written(), &parsed.encoded_to_acknowledged(), &parsed.network_round_trip(),
        &parsed.received_to_decoded(), &parsed.received_to_presented()}) {
    EXPECT_EQ(stage->p95_ns(), ns++);
  }
}

}  // namespace
}  // namespace planecast
