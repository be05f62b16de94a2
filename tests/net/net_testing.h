// Viewers behind bad networks, and what they got.
#pragma once

#include <grpcpp/client_context.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "clients/cpp/client.h"
#include "planecast/v1/viewer_service.grpc.pb.h"
#include "tests/e2e/e2e_testing.h"
#include "tests/net/relay.h"

namespace planecast::testing {

inline constexpr int64_t kMillisecond = 1'000'000;
inline constexpr int64_t kOneSecond = 1'000'000'000;

/// Sums up what a viewer got over a time.
struct LinkReport {
  double seconds = 0;
  size_t units = 0;
  size_t key_frames = 0;
  double units_per_second = 0;
  double bits_per_second = 0;
  /// From a coded unit to its arrival.
  int64_t latency_p50_ns = 0;
  int64_t latency_p95_ns = 0;
  int64_t latency_max_ns = 0;
  /// The longest time without a unit.
  int64_t gap_max_ns = 0;
  int quantizer_p50 = 0;
  /// Readable frame codes among the decoded pictures.
  size_t readable = 0;
};

/// One unit as it arrived.
struct LinkUnit {
  uint64_t sequence = 0;
  int64_t encoded_ns = 0;
  int64_t arrival_ns = 0;
  size_t bytes = 0;
  bool key_frame = false;
  bool readable = false;
  int quantizer = 0;
};

/// For a person who reads the test's log.
std::string Describe(const LinkReport& report);

/// Streams a display of this process and notes when each unit came. The server's clock and ours are
/// the same one. Thread-safe.
class LinkViewer : public StreamHandler {
 public:
  struct Options {
    StreamOptions stream;
    /// Decode all units and read their frame codes.
    bool decode = false;
  };
  LinkViewer(Client& client, const std::string& display, const Options& options);
  ~LinkViewer() override;

  /// Waits for a condition, checked with each event; false after kPatienceSeconds.
  bool WaitFor(const std::function<bool(const LinkViewer&)>& condition);
  /// Waits for so many units from now on.
  bool WaitForUnits(size_t count);
  /// Lets events come for a time, and sums up the units in it.
  LinkReport Observe(double seconds);
  /// Sums up the last seconds.
  LinkReport Last(double seconds);
  void Stop();

  // May be read inside WaitFor's condition, or after Stop.

  std::vector<LinkUnit> units;
  std::vector<v1::StreamStarted> started;
  std::vector<v1::StreamStats> stats;
  std::vector<v1::Goodbye> goodbyes;
  /// When each connection was lost.
  std::vector<int64_t> disconnected_ns;
  size_t gaps = 0;
  /// The last picture, if they are decoded.
  std::optional<ReceivedPicture> picture;

 private:
  void OnStarted(Stream& stream, const v1::StreamStarted& message) override;
  void OnAccessUnit(Stream& stream, const v1::AccessUnit& unit) override;
  void OnStats(const v1::StreamStats& message) override;
  void OnGoodbye(const v1::Goodbye& goodbye) override;
  void OnDisconnected(const absl::Status& status,
                      std::optional<std::chrono::milliseconds> retry_in) override;
  const Options options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<AvcodecDecoder> decoder_;
  std::unique_ptr<Stream> stream_;
};

/// A viewer that does not acknowledge, with gRPC's own settings: it would take megabytes.
class ForeignViewer {
 public:
  /// Watches display "d" at a port of this machine.
  explicit ForeignViewer(int port);
  ~ForeignViewer();
  ForeignViewer(const ForeignViewer&) = delete;
  ForeignViewer& operator=(const ForeignViewer&) = delete;

  /// Sums up the last seconds.
  LinkReport Last(double seconds);

 private:
  void Run();

  std::unique_ptr<v1::ViewerService::Stub> stub_;
  grpc::ClientContext context_;
  std::mutex mutex_;
  std::vector<LinkUnit> units_;
  std::thread thread_;  // Last: it uses all of the above.
};

/// A daemon on TCP, with a display "d" that shows a scene at 60 Hz.
class NetDaemon {
 public:
  explicit NetDaemon(const std::string& scene, int width_px = 1280, int height_px = 720,
                     const std::string& extra_config = "");

  TestDaemon& daemon() { return daemon_; }
  int port() const { return port_; }
  /// A client that connects to a port of this machine, such as a relay's.
  static std::unique_ptr<Client> NewClient(int port);
  std::unique_ptr<Client> NewClient() const { return NewClient(port_); }
  std::unique_ptr<Relay> NewRelay(const LinkShape& shape, uint32_t seed = 1) const;

 private:
  TestDaemon daemon_;
  int port_ = 0;
};

}  // namespace planecast::testing
