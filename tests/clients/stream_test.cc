#include "clients/cpp/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "clients/cpp/client.h"
#include "tests/clients/mock_server.h"

namespace planecast {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Request = v1::StreamDisplayRequest;

// Writes down what it is told, as text.
class Log : public StreamHandler {
 public:
  void OnStarted(Stream& /*stream*/, const v1::StreamStarted& started) override {
    Add(absl::StrCat("started ", started.visible_width_px()));
  }
  void OnAccessUnit(Stream& stream, const v1::AccessUnit& unit) override {
    Add(absl::StrCat(unit.key_frame() ? "key " : "unit ", unit.sequence()));
    if (on_unit) on_unit(stream, unit);
  }
  void OnCursorShape(const v1::CursorShape& shape) override {
    Add(absl::StrCat("shape ", shape.width_px()));
  }
  void OnCursorMoved(const v1::CursorMoved& moved) override {
    Add(absl::StrCat("moved ", moved.x_px()));
  }
  void OnState(const v1::DisplayStateChanged& state) override {
    Add(absl::StrCat("state ", state.reason()));
  }
  void OnStats(const v1::StreamStats& stats) override {
    Add(absl::StrCat("stats ", stats.viewer_count()));
  }
  void OnGoodbye(const v1::Goodbye& goodbye) override {
    Add(absl::StrCat("goodbye ", goodbye.message()));
  }
  void OnDisconnected(const absl::Status& status, std::optional<milliseconds> retry_in) override {
    Add(absl::StrCat("disconnected ", status.message(), retry_in ? "" : ", for good"));
    if (retry_in) last_retry = *retry_in;
  }

  std::vector<std::string> lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

  // Waits for this line; the tests' time limit is the limit.
  void WaitFor(const std::string& line) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return std::count(lines_.begin(), lines_.end(), line) > 0; });
  }

  std::function<void(Stream&, const v1::AccessUnit&)> on_unit;
  milliseconds last_retry{0};

 private:
  void Add(std::string line) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(std::move(line));
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
};

// A cursor's image as a server sends it.
v1::CursorShape RawShape(uint32_t id, int side_px) {
  v1::CursorShape shape;
  shape.set_width_px(side_px);
  shape.set_height_px(side_px);
  shape.set_shape_id(id);
  shape.set_argb(std::string(static_cast<size_t>(side_px * side_px * 4), 'x'));
  return shape;
}

class StreamTest : public ::testing::Test {
 protected:
  StreamTest() {
    ClientOptions options;
    options.server = server_.address();
    options.deadline = std::chrono::seconds(120);
    client_ = *Client::Connect(options);
    options_.backoff_min = milliseconds(1);
    options_.backoff_max = milliseconds(5);
  }

  std::unique_ptr<Stream> Start() { return *client_->StreamDisplay("desk", options_, log_); }

  MockServer server_;
  std::unique_ptr<Client> client_;
  StreamOptions options_;
  Log log_;
};

TEST_F(StreamTest, TellsEachKindOfEventInOrder) {
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(640, 480));
    stream.Write(StateEvent(v1::Display::STATE_ACTIVE, "fine", ""));
    v1::StreamDisplayResponse event;
    *event.mutable_event()->mutable_cursor_shape() = RawShape(0, 32);
    stream.Write(event);
    event.mutable_event()->mutable_cursor_moved()->set_x_px(-5);
    stream.Write(event);
    stream.Write(UnitEvent(7, true));
    stream.Write(UnitEvent(8, false));
    event.mutable_event()->mutable_stats()->set_viewer_count(3);
    stream.Write(event);
    stream.Write(GoodbyeEvent(v1::Goodbye::REASON_DETACHED, "detached"));
    return grpc::Status::OK;
  });
  const absl::Status status = Start()->Wait();
  EXPECT_THAT(log_.lines(),
              ElementsAre("started 640", "state fine", "shape 32", "moved -5", "key 7", "unit 8",
                          "stats 3", "goodbye detached", "disconnected detached, for good"));
  EXPECT_EQ(status.message(), "detached");
}

TEST_F(StreamTest, CursorsThatAreNamedAreToldWhole) {
  std::promise<v1::ClientCapabilities> seen;
  server_.AddStreamScript([&](const v1::StreamStart& start, ServerStream& stream) {
    seen.set_value(start.capabilities());
    stream.Write(StartedEvent(640, 480));
    v1::StreamDisplayResponse event;
    for (const uint32_t id : {1U, 2U}) {
      *event.mutable_event()->mutable_cursor_shape() = RawShape(id, static_cast<int>(16 * id));
      stream.Write(event);
    }
    for (const uint32_t id : {2U, 1U, 1U, 2U}) {
      event.mutable_event()->mutable_cursor_moved()->set_shape_id(id);
      stream.Write(event);
    }
    stream.Write(GoodbyeEvent(v1::Goodbye::REASON_DETACHED, "detached"));
    return grpc::Status::OK;
  });
  (void)Start()->Wait();
  EXPECT_THAT(log_.lines(), ElementsAre("started 640", "shape 16", "shape 32", "moved 0",
                                        "shape 16", "moved 0", "moved 0", "shape 32", "moved 0",
                                        "goodbye detached", "disconnected detached, for good"));
  const v1::ClientCapabilities told = seen.get_future().get();
  EXPECT_EQ(told.cursors_kept(), 32);
  EXPECT_THAT(told.cursor_encodings(), ElementsAre(v1::CursorShape::ENCODING_PNG));
}

TEST_F(StreamTest, AServerThatNamesACursorThatItNeverSentLosesTheConnection) {
  v1::StreamDisplayResponse named;
  named.mutable_event()->mutable_cursor_moved()->set_shape_id(1);
  server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    v1::StreamDisplayResponse event;
    *event.mutable_event()->mutable_cursor_shape() = RawShape(1, 16);
    stream.Write(event);
    event.mutable_event()->mutable_cursor_moved()->set_shape_id(7);
    stream.Write(event);
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  // What another connection was given does not count.
  server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(named);
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const absl::Status status = Start()->Wait();
  const auto lines = log_.lines();
  ASSERT_GE(lines.size(), 3u);
  EXPECT_EQ(lines[0], "shape 16");
  EXPECT_THAT(lines[1], HasSubstr("there was no image 7"));
  EXPECT_THAT(lines[2], HasSubstr("there was no image 1"));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << "there is no third script";
}

TEST_F(StreamTest, StartsWithNameLimitsAndAcknowledgement) {
  options_.bitrate_max_bps = 5'000'000;
  options_.frame_rate_max_hz = 30;
  std::promise<v1::StreamStart> seen;
  server_.AddStreamScript([&](const v1::StreamStart& start, ServerStream& stream) {
    seen.set_value(start);
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const auto stream = Start();
  const v1::StreamStart start = seen.get_future().get();
  EXPECT_EQ(start.name(), "displays/desk");
  EXPECT_EQ(start.limits().bitrate_max_bps(), 5'000'000);
  EXPECT_EQ(start.limits().frame_rate_max_hz(), 30);
  EXPECT_TRUE(start.acknowledges());
}

TEST_F(StreamTest, AcknowledgesWhenTheHandlerReturns) {
  std::promise<v1::Acknowledgement> seen;
  log_.on_unit = [](Stream&, const v1::AccessUnit&) {};
  server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(640, 480));
    stream.Write(UnitEvent(41, true));
    seen.set_value(
        ReadRequest(stream, Request::kAcknowledgements).acknowledgements().acknowledgements(0));
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const auto stream = Start();
  const v1::Acknowledgement acknowledgement = seen.get_future().get();
  EXPECT_EQ(acknowledgement.sequence(), 41U);
  EXPECT_GT(acknowledgement.present_duration_ns(), 0);
}

TEST_F(StreamTest, LeavesAcknowledgingToAnExplicitHandler) {
  options_.acknowledge = AcknowledgeMode::kExplicit;
  std::promise<Request> seen;
  server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(640, 480));
    stream.Write(UnitEvent(1, true));
    stream.Write(UnitEvent(2, false));
    Request request;
    stream.Read(&request);
    seen.set_value(request);
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const auto stream = Start();
  log_.WaitFor("unit 2");
  stream->Acknowledge(99, {}, {});  // Was never delivered: not sent.
  stream->Acknowledge(2, milliseconds(3), milliseconds(4));
  const Request request = seen.get_future().get();
  EXPECT_EQ(AcknowledgedBy(request), 2U);
  EXPECT_EQ(request.acknowledgements().acknowledgements(0).decode_duration_ns(), 3'000'000);
  EXPECT_EQ(request.acknowledgements().acknowledgements(0).present_duration_ns(), 4'000'000);
}

TEST_F(StreamTest, NeverAcknowledgesIfToldNotTo) {
  options_.acknowledge = AcknowledgeMode::kNever;
  std::promise<Request> seen;
  server_.AddStreamScript([&](const v1::StreamStart& start, ServerStream& stream) {
    EXPECT_FALSE(start.acknowledges());
    stream.Write(UnitEvent(1, true));
    Request request;
    stream.Read(&request);
    seen.set_value(request);
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const auto stream = Start();
  log_.WaitFor("key 1");
  stream->RequestKeyFrame();
  EXPECT_TRUE(seen.get_future().get().has_key_frame());
}

TEST_F(StreamTest, DropsUnitsAfterAGapUntilTheKeyFrameItAsksFor) {
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(640, 480));
    stream.Write(UnitEvent(1, true));
    stream.Write(UnitEvent(2, false));
    stream.Write(UnitEvent(5, false));
    stream.Write(UnitEvent(6, false));
    ReadRequest(stream, Request::kKeyFrame);
    stream.Write(UnitEvent(7, true));
    stream.Write(UnitEvent(8, false));
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const auto stream = Start();
  log_.WaitFor("unit 8");
  EXPECT_THAT(log_.lines(), ElementsAre("started 640", "key 1", "unit 2", "key 7", "unit 8"));
}

TEST_F(StreamTest, AcknowledgesWhatItDropsSoThatTheServerGoesOn) {
  options_.acknowledge = AcknowledgeMode::kExplicit;
  std::promise<Request> seen;
  server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(UnitEvent(3, false));
    seen.set_value(ReadRequest(stream, Request::kAcknowledgements));
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const auto stream = Start();
  EXPECT_EQ(AcknowledgedBy(seen.get_future().get()), 3U);
}

TEST_F(StreamTest, DoesNotAskForAKeyFrameWhereAGapEndsWithOne) {
  std::promise<Request> seen;
  server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(UnitEvent(1, true));
    stream.Write(UnitEvent(9, true));
    // Were there a request for a key frame, it would come before this one's acknowledgement.
    Request request;
    while (stream.Read(&request) && !request.has_key_frame() && AcknowledgedBy(request) != 9) {
    }
    seen.set_value(request);
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const auto stream = Start();
  EXPECT_EQ(AcknowledgedBy(seen.get_future().get()), 9U);
}

TEST_F(StreamTest, ReconnectsAfterABrokenConnection) {
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(640, 480));
    return grpc::Status(grpc::StatusCode::INTERNAL, "broken");
  });
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(800, 600));
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const auto stream = Start();
  log_.WaitFor("started 800");
  EXPECT_THAT(log_.lines(), ElementsAre("started 640", "disconnected broken", "started 800"));
}

TEST_F(StreamTest, ReconnectsWhenTheServerComesBack) {
  const auto serve = [](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(640, 480));
    stream.Write(UnitEvent(1000, true));
    ReadToEnd(stream);
    return grpc::Status::OK;
  };
  server_.AddStreamScript(serve);
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream& stream) {
    // A new server counts afresh; that is no gap.
    stream.Write(UnitEvent(1, true));
    stream.Write(UnitEvent(2, false));
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const auto stream = Start();
  log_.WaitFor("key 1000");
  server_.StopServing();
  server_.StartServing();
  log_.WaitFor("unit 2");
}

TEST_F(StreamTest, HonoursTheWaitOfAGoodbye) {
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(GoodbyeEvent(v1::Goodbye::REASON_DRAINING, "restarting", 60));
    return grpc::Status::OK;
  });
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(640, 480));
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const auto start = std::chrono::steady_clock::now();
  const auto stream = Start();
  log_.WaitFor("started 640");
  EXPECT_EQ(log_.last_retry, milliseconds(60));
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(60));
}

TEST_F(StreamTest, GoesOnAfterAGoodbyeThatSaysWhenToComeBack) {
  for (const auto reason : {v1::Goodbye::REASON_AWAY, v1::Goodbye::REASON_MOVED}) {
    server_.AddStreamScript([reason](const v1::StreamStart&, ServerStream& stream) {
      stream.Write(GoodbyeEvent(reason, "gone", 0));
      return grpc::Status::OK;
    });
  }
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(GoodbyeEvent(v1::Goodbye::REASON_MOVED, "gone for good"));
    return grpc::Status::OK;
  });
  EXPECT_TRUE(absl::IsUnavailable(Start()->Wait()));
  EXPECT_THAT(log_.lines(),
              ElementsAre("goodbye gone", "disconnected gone", "goodbye gone", "disconnected gone",
                          "goodbye gone for good", "disconnected gone for good, for good"));
}

TEST_F(StreamTest, NeverComesBackWhereItWasSentAway) {
  for (const auto reason : {v1::Goodbye::REASON_EVICTED, v1::Goodbye::REASON_REVOKED}) {
    Log log;
    server_.AddStreamScript([reason](const v1::StreamStart&, ServerStream& stream) {
      stream.Write(GoodbyeEvent(reason, "sent away", 1));
      return grpc::Status::OK;
    });
    const auto stream = *client_->StreamDisplay("desk", options_, log);
    EXPECT_TRUE(absl::IsPermissionDenied(stream->Wait()));
    EXPECT_THAT(log.lines(), ElementsAre("goodbye sent away", "disconnected sent away, for good"));
  }
}

TEST_F(StreamTest, TheReasonOfAnErrorSaysWhetherToTryAgain) {
  // Codes that say the opposite.
  for (const auto reason : {v1::ERROR_REASON_DISPLAY_ATTACHING, v1::ERROR_REASON_DRAINING}) {
    server_.AddStreamScript([reason](const v1::StreamStart&, ServerStream&) {
      return MakeError(grpc::StatusCode::FAILED_PRECONDITION, "not yet", reason);
    });
  }
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream&) {
    return MakeError(grpc::StatusCode::UNAVAILABLE, "no", v1::ERROR_REASON_TICKET_INVALID);
  });
  const absl::Status status = Start()->Wait();
  EXPECT_EQ(ReasonOf(status), v1::ERROR_REASON_TICKET_INVALID);
  EXPECT_THAT(log_.lines(),
              ElementsAre("disconnected not yet", "disconnected not yet", HasSubstr("for good")));
}

TEST_F(StreamTest, EndsForGoodWhereTryingAgainIsNoUse) {
  const absl::Status status = Start()->Wait();  // The mock has no such display.
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(log_.lines(), ElementsAre(HasSubstr("for good")));
}

TEST_F(StreamTest, EndsAfterOneConnectionIfNotToReconnect) {
  options_.reconnect = false;
  server_.StopServing();
  const absl::Status status = Start()->Wait();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("is planecastd running?"));
}

TEST_F(StreamTest, KeepsChangedLimitsAcrossAReconnect) {
  std::promise<v1::ViewerLimits> changed;
  std::promise<v1::ViewerLimits> restarted;
  server_.AddStreamScript([&](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(640, 480));
    changed.set_value(ReadRequest(stream, Request::kLimits).limits());
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "broken");
  });
  server_.AddStreamScript([&](const v1::StreamStart& start, ServerStream& stream) {
    restarted.set_value(start.limits());
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const auto stream = Start();
  log_.WaitFor("started 640");
  stream->SetLimits(250'000, 15);
  EXPECT_EQ(changed.get_future().get().bitrate_max_bps(), 250'000);
  EXPECT_EQ(restarted.get_future().get().frame_rate_max_hz(), 15);
}

TEST_F(StreamTest, ComesBackAsTheSameViewer) {
  std::promise<std::string> first;
  std::promise<std::string> second;
  server_.AddStreamScript([&](const v1::StreamStart& start, ServerStream& stream) {
    first.set_value(start.resumed_viewer_id());
    v1::StreamDisplayResponse response = StartedEvent(640, 480);
    response.mutable_event()->mutable_started()->set_viewer_id("secret");
    stream.Write(response);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "broken");
  });
  server_.AddStreamScript([&](const v1::StreamStart& start, ServerStream& stream) {
    second.set_value(start.resumed_viewer_id());
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const auto stream = Start();
  EXPECT_EQ(first.get_future().get(), "");
  EXPECT_EQ(second.get_future().get(), "secret");
}

TEST_F(StreamTest, TakesUnitsBeyondGrpcsDefaultLimit) {
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(UnitEvent(1, true, std::string(5 << 20, 'x')));
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const auto stream = Start();
  log_.WaitFor("key 1");
}

TEST_F(StreamTest, StopsWhileTheServerIsSilent) {
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(StartedEvent(640, 480));
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const auto stream = Start();
  log_.WaitFor("started 640");
  stream->Stop();
  EXPECT_TRUE(stream->Wait().ok());
  EXPECT_THAT(log_.lines(), ElementsAre("started 640"));
}

TEST_F(StreamTest, StopsWhileItWaitsToTryAgain) {
  options_.backoff_min = std::chrono::hours(1);
  options_.backoff_max = std::chrono::hours(1);
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream&) {
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "broken");
  });
  const auto stream = Start();
  log_.WaitFor("disconnected broken");
  stream->Stop();
  EXPECT_TRUE(stream->Wait().ok());
}

TEST_F(StreamTest, CanBeStoppedByItsOwnHandler) {
  log_.on_unit = [](Stream& stream, const v1::AccessUnit&) { stream.Stop(); };
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream& stream) {
    stream.Write(UnitEvent(1, true));
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  EXPECT_TRUE(Start()->Wait().ok());
}

TEST_F(StreamTest, StaysAliveWhileManyThreadsMakeRequests) {
  server_.AddStreamScript([](const v1::StreamStart&, ServerStream& stream) {
    for (uint64_t i = 1; i <= 200; ++i) stream.Write(UnitEvent(i, i == 1));
    ReadToEnd(stream);
    return grpc::Status::OK;
  });
  const auto stream = Start();
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&stream, i] {
      for (int j = 0; j < 200; ++j) {
        stream->RequestKeyFrame();
        stream->Acknowledge(static_cast<uint64_t>(j), {}, {});
        stream->SetLimits(j, i);
      }
    });
  }
  log_.WaitFor("unit 200");
  threads.clear();
  stream->Stop();
}

}  // namespace
}  // namespace planecast
