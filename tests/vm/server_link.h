// The host's link to the daemon in the VM: what state its displays are in, and a viewer that
// decodes. Both read on a thread of their own, so that a check can wait with a deadline.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "planecast/v1/display_service.grpc.pb.h"
#include "planecast/v1/viewer_service.grpc.pb.h"
#include "tests/vm/picture.h"

namespace planecast::vmtest {

/// Longest wait for anything; software emulation on a busy machine is slow.
inline constexpr int kWaitMaxS = 60;

/// Follows WatchDisplays. Thread-safe.
class DisplayWatch {
 public:
  explicit DisplayWatch(const std::shared_ptr<grpc::Channel>& channel);
  ~DisplayWatch();
  DisplayWatch(const DisplayWatch&) = delete;
  DisplayWatch& operator=(const DisplayWatch&) = delete;

  /// Waits until the server has told of all displays that there are.
  bool WaitForBookmark();
  /// Waits until a display is in a state; the display as last seen, or none when time is up.
  std::optional<v1::Display> WaitForState(const std::string& id, v1::Display::State state);
  /// What is known of a display, for messages.
  std::string Describe(const std::string& id);

 private:
  void Read();

  std::unique_ptr<v1::DisplayService::Stub> stub_;
  grpc::ClientContext context_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool bookmark_ = false;
  std::map<std::string, v1::Display> displays_;
  std::thread reader_;
};

/// Streams a display, acknowledges and decodes every access unit. Thread-safe.
class Viewer {
 public:
  Viewer(const std::shared_ptr<grpc::Channel>& channel, const std::string& id);
  ~Viewer();
  Viewer(const Viewer&) = delete;
  Viewer& operator=(const Viewer&) = delete;

  /// Waits for a picture that equals the pattern; OK, or how the last picture with the pattern's
  /// code (else the last picture) differs.
  absl::Status WaitForPattern(uint16_t code, const Pattern& pattern);
  /// Waits for a StreamStarted with this visible size.
  bool WaitForSize(uint32_t width_px, uint32_t height_px);
  /// Waits for the stream's end; the goodbye, or none.
  std::optional<v1::Goodbye> WaitForGoodbye();

  /// Stream contract so far: every gap is followed by a key frame, the first unit is one, the
  /// decoder took everything. OK or the first offence.
  absl::Status Offence();
  /// The judgement of others over every unit so far: two decoders and FFmpeg's header trace.
  absl::Status Judgement();
  uint64_t units();

 private:
  void Read();
  void Take(const v1::AccessUnit& unit);

  std::unique_ptr<v1::ViewerService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::StreamDisplayRequest, v1::StreamDisplayResponse>>
      stream_;
  H264Decoder decoder_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Picture> last_;
  uint64_t units_ = 0;
  /// Units by the size that StreamStarted gave.
  std::vector<std::vector<std::vector<uint8_t>>> runs_;
  std::optional<uint64_t> last_sequence_;
  std::vector<v1::StreamStarted> started_;
  std::optional<v1::Goodbye> goodbye_;
  absl::Status offence_;
  bool ended_ = false;
  std::thread reader_;
};

}  // namespace planecast::vmtest
