#include "service/telemetry/metrics_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/service/daemon_testing.h"
#include "tests/service/telemetry/metrics_text.h"

namespace planecast {
namespace {

using ::testing::AllOf;
using testing::DaemonTest;
using ::testing::HasSubstr;
using testing::HttpGet;
using ::testing::Not;
using testing::ReadMetrics;
using testing::Samples;
using ::testing::StartsWith;
using testing::Stream;

/// On a daemon in this process.
class MetricsServerTest : public DaemonTest {
 protected:
  void StartWithMetrics(const std::string& address = "127.0.0.1:0") {
    Start("metrics_address: \"" + address + "\"");
  }
  std::string Page() const {
    const std::string answer = HttpGet(daemon_->metrics_address(), "/metrics");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    const size_t body = answer.find("\r\n\r\n");
    return body == std::string::npos ? "" : answer.substr(body + 4);
  }
  Samples Scrape() const {
    const std::string page = Page();
    auto samples = ReadMetrics(page);
    EXPECT_TRUE(samples.ok()) << samples.status() << "\n" << page;
    return samples.ok() ? *samples : Samples();
  }
  /// A viewer that acknowledges `units` units, each with the times that it needed.
  static void Watch(Stream& stream, int units) {
    for (int i = 0; i < units; ++i) {
      const v1::StreamEvent event = stream.Next(v1::StreamEvent::kAccessUnit);
      ASSERT_EQ(event.event_case(), v1::StreamEvent::kAccessUnit);
      v1::StreamDisplayRequest request;
      v1::Acknowledgement& acknowledgement =
          *request.mutable_acknowledgements()->add_acknowledgements();
      acknowledgement.set_sequence(event.access_unit().sequence());
      acknowledgement.set_decode_duration_ns(20'000);
      acknowledgement.set_present_duration_ns(30'000);
      stream.Send(request);
    }
  }
};

std::string Series(const std::string& name, const std::string& display,
                   const std::string& more = "") {
  return absl::StrCat(name, "{display=\"", display, "\"", more.empty() ? "" : ",", more, "}");
}

std::string StageCount(const std::string& display, const std::string& stage) {
  return Series("planecast_stage_seconds_count", display, "stage=\"" + stage + "\"");
}

TEST_F(MetricsServerTest, ServesNothingUnlessItIsAskedTo) {
  Start();
  EXPECT_EQ(daemon_->metrics_address(), "");
}

TEST_F(MetricsServerTest, TheChosenPortIsToldAndLogged) {
  StartWithMetrics();
  EXPECT_THAT(daemon_->metrics_address(), AllOf(StartsWith("127.0.0.1:"), Not(HasSubstr(":0"))));
  EXPECT_THAT(log_.Text(),
              HasSubstr("metrics on http://" + daemon_->metrics_address() + "/metrics"));
  const Samples samples = Scrape();
  EXPECT_EQ(samples.at("planecast_build_info{version=\"" PLANECAST_VERSION "\"}"), 1);
  EXPECT_EQ(samples.at("planecast_displays"), 0);
  EXPECT_EQ(samples.at("planecast_displays_max"), 64);
}

TEST_F(MetricsServerTest, FileDescriptorsAreTold) {
  StartWithMetrics();
  const Samples samples = Scrape();
  EXPECT_GT(samples.at("planecast_open_fds"), 3);
  EXPECT_GT(samples.at("planecast_open_fds_max"), samples.at("planecast_open_fds"));
  EXPECT_EQ(samples.at("planecast_display_fds_claimed"), 0);
  EXPECT_GT(samples.at("planecast_display_fds_max"), 0);
  EXPECT_LT(samples.at("planecast_display_fds_max"), samples.at("planecast_open_fds_max"));
}

TEST_F(MetricsServerTest, LocalhostIsServedToo) {
  StartWithMetrics("localhost:0");
  EXPECT_THAT(daemon_->metrics_address(), StartsWith("127.0.0.1:"));
  Scrape();
}

TEST_F(MetricsServerTest, ATakenPortEndsTheStartWithTheReason) {
  StartWithMetrics();
  const std::string taken = daemon_->metrics_address();
  auto config = ParseConfig(
      "socket_path: \"" + dir_.path() + "/2.sock\" metrics_address: \"" + taken + "\"", "test");
  ASSERT_TRUE(config.ok());
  const absl::Status status = Daemon::Start(*config, log_.logger(), parts_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(taken), HasSubstr("port 0")));
}

TEST_F(MetricsServerTest, OnlyTheOnePageIsServed) {
  StartWithMetrics();
  for (const char* path : {"/", "/../../etc/passwd", "/etc/passwd"}) {
    EXPECT_THAT(HttpGet(daemon_->metrics_address(), path), Not(StartsWith("HTTP/1.1 200"))) << path;
  }
}

TEST_F(MetricsServerTest, ADisplayWithAViewerIsTold) {
  StartWithMetrics();
  AttachFake("a");
  const Samples idle = Scrape();
  EXPECT_EQ(idle.at(Series("planecast_display_state", "a", "state=\"ACTIVE\"")), 1);
  EXPECT_EQ(idle.at(Series("planecast_display_state", "a", "state=\"BLANKED\"")), 0);
  EXPECT_EQ(idle.at(Series("planecast_viewers", "a")), 0);
  EXPECT_EQ(idle.at(Series("planecast_frames_encoded_total", "a")), 0);
  Stream stream(*viewers_, "a", /*acknowledges=*/true);
  Watch(stream, 10);
  const Samples busy = Scrape();
  EXPECT_EQ(busy.at("planecast_displays"), 1);
  EXPECT_EQ(busy.at(Series("planecast_viewers", "a")), 1);
  EXPECT_EQ(busy.at(Series("planecast_display_info", "a",
                           "encoder=\"scripted\",hardware=\"false\",regime=\"polling\"")),
            1);
  const double encoded = busy.at(Series("planecast_frames_encoded_total", "a"));
  EXPECT_GE(encoded, 10);
  EXPECT_GE(busy.at(Series("planecast_frames_captured_total", "a")), encoded);
  EXPECT_GE(busy.at(Series("planecast_encoded_bytes_total", "a")), 1000 * encoded);
  EXPECT_GE(busy.at(Series("planecast_units_sent_total", "a")), 9) << "the last may be in flight";
  EXPECT_GE(busy.at(Series("planecast_key_frames_total", "a")), 1);
  EXPECT_EQ(busy.at(Series("planecast_units_dropped_total", "a", "reason=\"queue_full\"")), 0);
  for (const char* stage : {"flip_to_capture", "capture_to_converted", "converted_to_encoded"}) {
    EXPECT_GE(busy.at(StageCount("a", stage)), 10) << stage;
  }
  // The tenth acknowledgement may be on its way still, and so may the last write's completion.
  for (const char* stage : {"encoded_to_sent", "sent_to_written", "encoded_to_acknowledged",
                            "network_round_trip", "received_to_decoded", "received_to_presented"}) {
    EXPECT_GE(busy.at(StageCount("a", stage)), 7) << stage;
  }
  Watch(stream, 5);
  EXPECT_GT(Scrape().at(Series("planecast_frames_encoded_total", "a")), encoded);
}

TEST_F(MetricsServerTest, ADetachedDisplayVanishes) {
  StartWithMetrics();
  AttachFake("a");
  AttachFake("b");
  EXPECT_EQ(Scrape().at("planecast_displays"), 2);
  ASSERT_TRUE(Detach("displays/a").ok());
  const std::string page = Page();
  EXPECT_THAT(page, AllOf(Not(HasSubstr("display=\"a\"")), HasSubstr("display=\"b\"")));
  EXPECT_TRUE(ReadMetrics(page).ok());
}

TEST_F(MetricsServerTest, ADrainClosesThePort) {
  StartWithMetrics();
  const std::string address = daemon_->metrics_address();
  daemon_->Drain();
  EXPECT_EQ(HttpGet(address, "/metrics"), "");
}

TEST(MetricsTextTest, RefusesWhatNoScraperShouldBeGiven) {
  const std::string counter = "# HELP a_total x\n# TYPE a_total counter\n";
  const std::string histogram = "# HELP h x\n# TYPE h histogram\n";
  EXPECT_TRUE(ReadMetrics(counter + "a_total{b=\"c\"} 1\n").ok());
  EXPECT_TRUE(ReadMetrics(histogram + "h_count 2\nh_sum 1\nh_bucket{le=\"1\"} 1\n"
                                      "h_bucket{le=\"+Inf\"} 2\n")
                  .ok());
  for (const std::string& page :
       {std::string("a_total 1\n"), std::string("# TYPE a_total counter\na_total 1\n"),
        counter + "a_total -1\n", counter + "a_total 1\na_total 1\n", counter + "a_total\n",
        counter + "a_total{b=c} 1\n", histogram + "h_count 1\nh_sum 1\nh_bucket{le=\"1\"} 1\n",
        histogram + "h_count 2\nh_sum 1\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\n",
        histogram + "h_count 2\nh_sum 1\nh_bucket{le=\"+Inf\"} 1\n",
        histogram + "h_count 1\nh_bucket{le=\"+Inf\"} 1\n"}) {
    EXPECT_FALSE(ReadMetrics(page).ok()) << page;
  }
}

}  // namespace
}  // namespace planecast
