// ViewerService of a whole daemon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/service/daemon_testing.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;
using Event = v1::StreamEvent;

using DaemonStreamsTest = DaemonTest;

TEST_F(DaemonStreamsTest, AStreamBeginsWithStartedStateAndAKeyFrame) {
  Start();
  AttachFake("a");
  Stream stream(*viewers_, "a");
  const Event first = stream.Next();
  ASSERT_EQ(first.event_case(), Event::kStarted);
  EXPECT_EQ(first.started().name(), "displays/a");
  EXPECT_NE(first.started().viewer_id(), "");
  EXPECT_EQ(first.started().codec(), "avc1.42C01F");
  EXPECT_EQ(first.started().visible_width_px(), 64);
  EXPECT_EQ(first.started().encoder(), "scripted");
  const Event second = stream.Next();
  ASSERT_EQ(second.event_case(), Event::kStateChanged);
  EXPECT_EQ(second.state_changed().state(), v1::Display::STATE_ACTIVE);
  const Event third = stream.Next(Event::kAccessUnit);
  EXPECT_TRUE(third.access_unit().key_frame());
  EXPECT_EQ(third.access_unit().data(), std::string(1000, 0x5a));
  EXPECT_EQ(stream.Next(Event::kAccessUnit).access_unit().sequence(),
            third.access_unit().sequence() + 1);
}

TEST_F(DaemonStreamsTest, ASeparateCursorComesBeforeThePicture) {
  const auto script = Script("ideal");
  script->info.cursor_separate = true;
  auto image = std::make_shared<CursorImage>();
  image->width_px = image->height_px = 2;
  image->argb.assign(4, 0xffffffff);
  script->look.cursor = {true, 5, 6, image};
  Start();
  AttachFake("a");
  Stream stream(*viewers_, "a");
  std::vector<Event::EventCase> kinds;
  for (;;) {
    const Event event = stream.Next();
    ASSERT_NE(event.event_case(), Event::EVENT_NOT_SET);
    kinds.push_back(event.event_case());
    if (event.event_case() == Event::kAccessUnit) break;
  }
  EXPECT_THAT(kinds,
              ::testing::ElementsAre(Event::kStarted, Event::kStateChanged, Event::kCursorShape,
                                     Event::kCursorMoved, Event::kAccessUnit));
}

TEST_F(DaemonStreamsTest, ACursorThatIsAskedForInThePictureIsThereForAll) {
  const auto script = Script("ideal");
  script->info.cursor_separate = true;
  auto image = std::make_shared<CursorImage>();
  image->width_px = image->height_px = 2;
  image->argb.assign(4, 0xffffffff);
  script->look.cursor = {true, 5, 6, image};
  Start();
  AttachFake("a");
  Stream other(*viewers_, "a");
  EXPECT_EQ(other.Next(Event::kStarted).started().cursor_path(), v1::CURSOR_PATH_SEPARATE);
  ASSERT_TRUE(other.Next(Event::kAccessUnit).has_access_unit());
  {
    Stream stream(*viewers_);
    v1::StreamDisplayRequest request;
    request.mutable_start()->set_name("displays/a");
    request.mutable_start()->set_cursor_in_picture(true);
    stream.Send(request);
    EXPECT_EQ(stream.Next(Event::kStarted).started().cursor_path(), v1::CURSOR_PATH_IN_PICTURE);
    EXPECT_EQ(other.Next(Event::kStarted).started().cursor_path(), v1::CURSOR_PATH_IN_PICTURE);
    EXPECT_TRUE(other.Next(Event::kAccessUnit).access_unit().key_frame());
  }
  EXPECT_EQ(other.Next(Event::kStarted).started().cursor_path(), v1::CURSOR_PATH_SEPARATE);
  EXPECT_EQ(other.Next(Event::kCursorMoved).cursor_moved().x_px(), 5);
}

TEST_F(DaemonStreamsTest, WatchDisplayGivesTheSameEvents) {
  Start();
  AttachFake("a");
  CallContext context;
  v1::WatchDisplayRequest request;
  request.set_name("displays/a");
  auto reader = viewers_->WatchDisplay(&context, request);
  v1::WatchDisplayResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_TRUE(response.event().has_started());
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_TRUE(response.event().has_state_changed());
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_TRUE(response.event().access_unit().key_frame());
  context.TryCancel();
  while (reader->Read(&response)) {
  }
  reader->Finish();
}

TEST_F(DaemonStreamsTest, DetachEndsAStreamWithGoodbye) {
  Start();
  AttachFake("a");
  Stream stream(*viewers_, "a");
  ASSERT_EQ(stream.Next().event_case(), Event::kStarted);
  ASSERT_TRUE(Detach("displays/a").ok());
  const Event last = stream.Next(Event::kGoodbye);
  EXPECT_EQ(last.goodbye().reason(), v1::Goodbye::REASON_DETACHED);
  const grpc::Status status = stream.Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(DaemonStreamsTest, ADrainEndsAllStreamsWithGoodbye) {
  Start();
  AttachFake("a");
  Stream one(*viewers_, "a");
  Stream two(*viewers_, "a");
  Stream unstarted(*viewers_);
  ASSERT_EQ(one.Next().event_case(), Event::kStarted);
  ASSERT_EQ(two.Next().event_case(), Event::kStarted);
  std::thread drain([this] { daemon_->Drain(); });
  for (Stream* stream : {&one, &two}) {
    EXPECT_EQ(stream->Next(Event::kGoodbye).goodbye().reason(), v1::Goodbye::REASON_DRAINING);
    EXPECT_TRUE(stream->Finish().ok());
  }
  EXPECT_EQ(unstarted.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  drain.join();
  const std::lock_guard<std::mutex> lock(Script("ideal")->mutex);
  EXPECT_TRUE(scripts_["ideal"]->destroyed);
}

TEST_F(DaemonStreamsTest, WhoComesBackDuringADrainIsToldWhy) {
  encoder_->unit_bytes = 200'000;
  Start();
  AttachFake("a");
  // It never reads, so that its goodbye is stuck behind a full window and the drain lasts. On a
  // connection of its own, for the window to be its own.
  grpc::ChannelArguments own;
  own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto stub = v1::ViewerService::NewStub(grpc::CreateCustomChannel(
      daemon_->addresses().at(1).target, grpc::InsecureChannelCredentials(), own));
  Stream stalled(*stub, "a");
  Stream viewer(*viewers_, "a");
  for (int i = 0; i < 60; ++i) {
    ASSERT_EQ(viewer.Next(Event::kAccessUnit).event_case(), Event::kAccessUnit);
  }
  std::thread drain([this] { daemon_->Drain(); });
  EXPECT_EQ(viewer.Next(Event::kGoodbye).goodbye().reason(), v1::Goodbye::REASON_DRAINING);
  EXPECT_TRUE(viewer.Finish().ok());
  Stream late(*viewers_, "a");
  const grpc::Status status = late.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "the server is shutting down");
  stalled.Cancel();
  drain.join();
}

TEST_F(DaemonStreamsTest, AWrongStartIsRefused) {
  Start();
  AttachFake("a");
  using Request = v1::StreamDisplayRequest;
  using Code = grpc::StatusCode;
  const std::vector<std::pair<std::function<void(Request&)>, Code>> cases = {
      {[](Request& r) { r.mutable_key_frame(); }, Code::INVALID_ARGUMENT},
      {[](Request&) {}, Code::INVALID_ARGUMENT},
      {[](Request& r) { r.mutable_start()->set_name("a"); }, Code::INVALID_ARGUMENT},
      {[](Request& r) { r.mutable_start()->set_name("displays/none"); }, Code::NOT_FOUND},
      {[](Request& r) {
         r.mutable_start()->set_name("displays/a");
         r.mutable_start()->mutable_limits()->set_bitrate_max_bps(-1);
       },
       Code::INVALID_ARGUMENT},
      {[](Request& r) {
         r.mutable_start()->set_name("displays/a");
         r.mutable_start()->mutable_limits()->set_frame_rate_max_hz(241);
       },
       Code::INVALID_ARGUMENT},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    Stream stream(*viewers_);
    Request request;
    cases[i].first(request);
    stream.Send(request);
    const grpc::Status status = stream.Finish();
    EXPECT_EQ(status.error_code(), cases[i].second) << "case " << i;
    EXPECT_NE(status.error_message(), "") << "case " << i;
  }
  Stream silent(*viewers_);
  silent.CloseRequests();
  EXPECT_EQ(silent.Finish().error_code(), Code::INVALID_ARGUMENT);
}

TEST_F(DaemonStreamsTest, AWrongRequestEndsTheStream) {
  Start();
  AttachFake("a");
  using Request = v1::StreamDisplayRequest;
  const std::vector<std::function<void(Request&)>> changes = {
      [](Request& r) { r.mutable_start()->set_name("displays/a"); },
      [](Request& r) {
        r.mutable_acknowledgements()->add_acknowledgements()->set_sequence(UINT64_MAX);
      },
      [](Request& r) {
        r.mutable_acknowledgements()->add_acknowledgements()->set_decode_duration_ns(-1);
      },
      [](Request& r) { r.mutable_limits()->set_frame_rate_max_hz(-1); },
      [](Request& r) { r.mutable_limits()->set_bitrate_max_bps(INT64_MIN); },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    Stream stream(*viewers_, "a", true);
    ASSERT_EQ(stream.Next(Event::kAccessUnit).event_case(), Event::kAccessUnit);
    Request request;
    changes[i](request);
    stream.Send(request);
    EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT) << "case " << i;
  }
}

TEST_F(DaemonStreamsTest, AClientThatOnlyListensMayCloseItsSide) {
  Start();
  AttachFake("a");
  Stream stream(*viewers_, "a");
  stream.CloseRequests();
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(stream.Next(Event::kAccessUnit).event_case(), Event::kAccessUnit);
  }
}

TEST_F(DaemonStreamsTest, AKeyFrameCanBeAskedFor) {
  Start();
  AttachFake("a");
  Stream stream(*viewers_, "a");
  ASSERT_TRUE(stream.Next(Event::kAccessUnit).access_unit().key_frame());
  ASSERT_FALSE(stream.Next(Event::kAccessUnit).access_unit().key_frame());
  v1::StreamDisplayRequest request;
  request.mutable_key_frame();
  stream.Send(request);
  Event event;
  do {
    event = stream.Next(Event::kAccessUnit);
    ASSERT_EQ(event.event_case(), Event::kAccessUnit);
  } while (!event.access_unit().key_frame());
}

TEST_F(DaemonStreamsTest, UnitsStopUntilTheyAreAcknowledged) {
  Start();
  AttachFake("a");
  Stream stream(*viewers_, "a", true);
  uint64_t last = 0;
  uint64_t units = 0;
  // Stats come once a second whatever happens; what came before them is all that will come.
  for (Event event = stream.Next(); event.event_case() != Event::kStats; event = stream.Next()) {
    ASSERT_NE(event.event_case(), Event::EVENT_NOT_SET);
    if (!event.has_access_unit()) continue;
    last = event.access_unit().sequence();
    ++units;
  }
  EXPECT_EQ(units, kUnacknowledgedUnitsFirst);
  stream.Acknowledge(last);
  const Event next = stream.Next(Event::kAccessUnit);
  EXPECT_EQ(next.access_unit().sequence(), last + 1);
}

TEST_F(DaemonStreamsTest, AWatcherReportsByItsId) {
  Start();
  AttachFake("a");
  CallContext watch_context;
  v1::WatchDisplayRequest watch;
  watch.set_name("displays/a");
  watch.set_acknowledges(true);
  auto reader = viewers_->WatchDisplay(&watch_context, watch);
  v1::WatchDisplayResponse response;
  v1::ReportViewerRequest report;
  const auto send = [this](const v1::ReportViewerRequest& request) {
    CallContext context;
    v1::ReportViewerResponse ignored;
    return viewers_->ReportViewer(&context, request, &ignored).error_code();
  };
  // Three windows of units arrive only if the acknowledgements do.
  uint64_t units = 0;
  while (units < 3 * kUnacknowledgedUnitsFirst) {
    ASSERT_TRUE(reader->Read(&response));
    if (response.event().has_started()) {
      report.set_viewer_id(response.event().started().viewer_id());
    }
    if (!response.event().has_access_unit()) continue;
    ++units;
    report.add_acknowledgements()->set_sequence(response.event().access_unit().sequence());
    ASSERT_EQ(send(report), grpc::StatusCode::OK);
  }
  v1::ReportViewerRequest wrong = report;
  wrong.set_viewer_id("nobody");
  EXPECT_EQ(send(wrong), grpc::StatusCode::NOT_FOUND);
  wrong = report;
  wrong.add_acknowledgements()->set_present_duration_ns(-1);
  EXPECT_EQ(send(wrong), grpc::StatusCode::INVALID_ARGUMENT);
  wrong = report;
  wrong.mutable_limits()->set_frame_rate_max_hz(1000);
  EXPECT_EQ(send(wrong), grpc::StatusCode::INVALID_ARGUMENT);
  watch_context.TryCancel();
  while (reader->Read(&response)) {
  }
  reader->Finish();
  Await("a", [](const v1::Display& display) { return display.viewer_count() == 0; });
  EXPECT_EQ(send(report), grpc::StatusCode::NOT_FOUND);
}

TEST_F(DaemonStreamsTest, AClientThatVanishesIsForgotten) {
  Start();
  AttachFake("a");
  {
    Stream stream(*viewers_, "a");
    ASSERT_EQ(stream.Next(Event::kAccessUnit).event_case(), Event::kAccessUnit);
    EXPECT_EQ(Display("a").viewer_count(), 1);
  }
  Await("a", [](const v1::Display& display) { return display.viewer_count() == 0; });
  const std::lock_guard<std::mutex> lock(Script("ideal")->mutex);
  EXPECT_FALSE(scripts_["ideal"]->watched);
}

TEST_F(DaemonStreamsTest, TheLimitOfViewersHolds) {
  Start(" limits { viewers_per_display_max: 1 }");
  AttachFake("a");
  Stream first(*viewers_, "a");
  ASSERT_EQ(first.Next().event_case(), Event::kStarted);
  Stream second(*viewers_, "a");
  EXPECT_EQ(second.Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(DaemonStreamsTest, AViewerThatResumesNeedsNoRoomOfItsOwn) {
  Start(" limits { viewers_per_display_max: 1 }");
  AttachFake("a");
  Stream first(*viewers_, "a");
  const std::string id = first.Next(Event::kStarted).started().viewer_id();
  Stream second(*viewers_);
  v1::StreamDisplayRequest request;
  request.mutable_start()->set_name("displays/a");
  request.mutable_start()->set_resumed_viewer_id(id);
  second.Send(request);
  EXPECT_EQ(second.Next(Event::kStarted).started().viewer_id(), id);
  EXPECT_TRUE(second.Next(Event::kAccessUnit).access_unit().key_frame());
  const Event goodbye = first.Next(Event::kGoodbye);
  EXPECT_EQ(goodbye.goodbye().reason(), v1::Goodbye::REASON_RESUMED);
  EXPECT_TRUE(first.Finish().ok());
}

TEST_F(DaemonStreamsTest, ManyViewersComeAndGo) {
  Start();
  AttachFake("a");
  for (int round = 0; round < 3; ++round) {
    std::vector<std::unique_ptr<Stream>> streams;
    for (int i = 0; i < 50; ++i) streams.push_back(std::make_unique<Stream>(*viewers_, "a"));
    for (auto& stream : streams) {
      ASSERT_TRUE(stream->Next(Event::kAccessUnit).access_unit().key_frame());
    }
  }
  Await("a", [](const v1::Display& display) { return display.viewer_count() == 0; });
}

TEST_F(DaemonStreamsTest, ADisplayWithoutPictureStreamsItsState) {
  const auto script = Script("gvt");
  script->look =
      LookWithout(PlaneLook::Primary::kFailed, absl::FailedPreconditionError("needs a GPU import"));
  Start();
  AttachFake("a", "gvt");
  Stream stream(*viewers_, "a");
  const Event started = stream.Next();
  ASSERT_EQ(started.event_case(), Event::kStarted);
  EXPECT_EQ(started.started().codec(), "");
  const Event state = stream.Next();
  EXPECT_EQ(state.state_changed().state(), v1::Display::STATE_IMPORT_FAILED);
  EXPECT_EQ(state.state_changed().reason(), "Needs a GPU import.");
}

/// An encoder whose units are counted while they live.
struct UnitCount {
  std::mutex mutex;
  std::vector<std::weak_ptr<const AccessUnit>> units;
  size_t Alive() {
    const std::lock_guard<std::mutex> lock(mutex);
    std::erase_if(units, [](const auto& unit) { return unit.expired(); });
    return units.size();
  }
};

class CountedEncoder : public Encoder {
 public:
  CountedEncoder(std::unique_ptr<Encoder> encoder, std::shared_ptr<UnitCount> count)
      : encoder_(std::move(encoder)), count_(std::move(count)) {}
  absl::StatusOr<EncodeResult> Encode(const Frame& frame, const EncodeRequest& request) override {
    auto result = encoder_->Encode(frame, request);
    if (result.ok() && result->unit != nullptr) {
      const std::lock_guard<std::mutex> lock(count_->mutex);
      count_->units.push_back(result->unit);
    }
    return result;
  }
  void SetRate(const RateParams& rate) override { encoder_->SetRate(rate); }
  const StreamDescription& description() const override { return encoder_->description(); }
  const EncoderIdentity& identity() const override { return encoder_->identity(); }

 private:
  std::unique_ptr<Encoder> encoder_;
  std::shared_ptr<UnitCount> count_;
};

TEST_F(DaemonStreamsTest, AStalledViewerHoldsLittleMemoryAndHurtsNobody) {
  constexpr size_t kUnitBytes = 200'000;
  constexpr int kUnits = 200;
  encoder_->unit_bytes = kUnitBytes;
  const auto count = std::make_shared<UnitCount>();
  parts_.make_encoder = [count, make = parts_.make_encoder](
                            const EncoderParams& params,
                            const RateParams& rate) -> absl::StatusOr<std::unique_ptr<Encoder>> {
    auto encoder = make(params, rate);
    if (!encoder.ok()) return encoder.status();
    return std::make_unique<CountedEncoder>(*std::move(encoder), count);
  };
  Start();
  AttachFake("a");
  // A connection of its own, so that it fills a window of its own. It never reads.
  grpc::ChannelArguments own;
  own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto stub = v1::ViewerService::NewStub(grpc::CreateCustomChannel(
      daemon_->addresses().at(1).target, grpc::InsecureChannelCredentials(), own));
  Stream stalled(*stub, "a");
  Stream fast(*viewers_, "a");
  size_t alive_max = 0;
  uint64_t last = 0;
  for (int i = 0; i < kUnits; ++i) {
    const Event event = fast.Next(Event::kAccessUnit);
    ASSERT_EQ(event.event_case(), Event::kAccessUnit);
    // Nothing is lost for who reads.
    if (i > 0) {
      EXPECT_EQ(event.access_unit().sequence(), last + 1);
    }
    last = event.access_unit().sequence();
    alive_max = std::max(alive_max, count->Alive());
  }
  // The transport takes 4 MiB for a client that never reads, the viewer's queue kQueueUnitsMax; the
  // fast viewer and the display hold a few.
  const size_t bound = (size_t{4} << 20) / kUnitBytes + kQueueUnitsMax + 12;
  EXPECT_LT(alive_max, bound);
  RecordProperty("units_alive_max", static_cast<int>(alive_max));
}

}  // namespace
}  // namespace planecast::testing
