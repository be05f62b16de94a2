// A whole daemon in this process, clients that decode what they receive, and the scene to compare
// it with.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "clients/cpp/client.h"
#include "service/daemon.h"
#include "tests/h264/stream_check.h"
#include "vfio/fake/fake_source.h"
#include "vfio/fake/frame_code.h"
#include "vfio/fake/scene.h"

namespace planecast::testing {

/// What no wait of a test may exceed; a wait ends as soon as its condition holds.
inline constexpr int64_t kPatienceSeconds = 120;

/// Opens every display on one fake of which the test decides each step; `out` lets it do so.
Daemon::Parts SteppedParts(const FakeSourceOptions& options, SteppedFakeSource* out);

/// A daemon on a unix socket in a folder of its own.
class TestDaemon {
 public:
  /// `extra_config` is textproto that is added to the config.
  explicit TestDaemon(const std::string& extra_config = "", Daemon::Parts parts = {});
  ~TestDaemon();
  TestDaemon(const TestDaemon&) = delete;
  TestDaemon& operator=(const TestDaemon&) = delete;

  Client& client() { return *client_; }
  Daemon& daemon() { return *daemon_; }
  /// As PLANECAST_SERVER takes it.
  const std::string& server() const { return server_; }
  /// A folder for this test's files; goes with the daemon.
  const std::string& folder() const { return folder_; }
  std::unique_ptr<Client> NewClient() const;

  /// Attaches a fake display and fails the test if that fails.
  void AttachFake(const std::string& id, const std::string& profile, const std::string& scene,
                  int width_px = 640, int height_px = 368, int frame_rate_hz = 30);
  /// Waits until a display has this many viewers.
  bool WaitForViewers(const std::string& id, int count);

 private:
  std::string folder_;
  std::string server_;
  std::unique_ptr<Logger> log_;
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<Client> client_;
};

/// A picture as it arrived, cropped to the size that StreamStarted said.
struct ReceivedPicture {
  DecodedPicture picture;
  uint64_t sequence = 0;
  bool key_frame = false;
  bool sharp = false;
  int64_t flip_time_ns = 0;
  int64_t capture_time_ns = 0;
  int64_t encoded_time_ns = 0;
  /// What the picture says of itself, if it can be read.
  std::optional<FrameCode> code;
};

/// Streams a display, decodes each unit at once, and keeps everything. Thread-safe.
class TestViewer : public StreamHandler {
 public:
  struct Options {
    StreamOptions stream;
    /// Keep decoded pictures; without it only units are counted.
    bool decode = true;
    /// Stop taking units after this many until Resume.
    int block_after = -1;
  };
  TestViewer(Client& client, const std::string& display, const Options& options);
  TestViewer(Client& client, const std::string& display) : TestViewer(client, display, Options()) {}
  ~TestViewer() override;

  /// Waits for a condition on what was received; false after kPatienceSeconds.
  bool WaitFor(const std::function<bool(const TestViewer&)>& condition);
  bool WaitForPictures(size_t count);
  void Stop();
  /// Lets a blocked viewer go on.
  void Resume();

  // Everything below may be read inside WaitFor's condition, or after Stop.

  std::vector<ReceivedPicture> pictures;
  /// Units since the last StreamStarted with another size, each run a decodable stream of its own.
  std::vector<std::vector<std::vector<uint8_t>>> runs;
  std::vector<v1::StreamStarted> started;
  std::vector<v1::DisplayStateChanged> states;
  std::vector<v1::CursorShape> shapes;
  std::vector<v1::CursorMoved> moves;
  std::vector<v1::StreamStats> stats;
  std::vector<v1::Goodbye> goodbyes;
  std::vector<absl::Status> disconnects;
  /// Names of all events in order: "started", "state", "shape", "moved", "unit", ...
  std::vector<std::string> events;
  /// Rules of the stream contract that were broken.
  std::vector<std::string> violations;
  size_t unit_count = 0;
  uint64_t gap_count = 0;

 private:
  void OnStarted(Stream& stream, const v1::StreamStarted& message) override;
  void OnAccessUnit(Stream& stream, const v1::AccessUnit& unit) override;
  void OnCursorShape(const v1::CursorShape& shape) override;
  void OnCursorMoved(const v1::CursorMoved& moved) override;
  void OnState(const v1::DisplayStateChanged& state) override;
  void OnStats(const v1::StreamStats& message) override;
  void OnGoodbye(const v1::Goodbye& goodbye) override;
  void OnDisconnected(const absl::Status& status,
                      std::optional<std::chrono::milliseconds> retry_in) override;
  void Note(std::string event);

  const Options options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool resumed_ = false;
  uint64_t last_sequence_ = 0;
  std::unique_ptr<AvcodecDecoder> decoder_;
  std::unique_ptr<Stream> stream_;
};

/// How far a decoded picture is from what a scene drew.
struct Difference {
  /// Peak signal to noise ratio in dB, 99 if equal.
  double psnr_y = 0;
  double psnr_u = 0;
  double psnr_v = 0;
  /// Largest mean difference of luma in a block of 16x16.
  double worst_block_y = 0;
};

/// Compares with XRGB8888 pixels without padding, by a floating-point BT.709 limited range.
Difference Compare(const DecodedPicture& picture, const std::vector<uint32_t>& xrgb);

/// Draws the frame that `code` names.
std::vector<uint32_t> RenderScene(const Scene& scene, const FrameCode& code);

/// Expects that a picture shows what its scene drew: readable code, right size, PSNR.
void ExpectShowsScene(const ReceivedPicture& received, const Scene& scene);

/// Expects that what a stopped viewer received kept the stream contract, and that each run of units
/// passes CheckStream.
void ExpectSound(const TestViewer& viewer);

/// Open fds of this process.
size_t OpenFdCount();

}  // namespace planecast::testing
