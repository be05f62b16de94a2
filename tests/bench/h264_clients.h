// Clients that decode H.264: of planecast, and of an FFmpeg that sends to a TCP port.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "clients/cpp/client.h"
#include "tests/bench/watcher.h"
#include "tests/h264/stream_check.h"
#include "vfio/fd.h"

namespace planecast::bench {

/// Decodes access units and tells a watcher; counts bytes. Bound to one thread.
class H264Eye {
 public:
  explicit H264Eye(Watcher& watcher) : watcher_(watcher) {}
  void OnUnit(std::span<const uint8_t> unit);

 private:
  Watcher& watcher_;
  testing::AvcodecDecoder decoder_;
};

/// Streams display "d" of a planecast server. Thread-safe.
class PlanecastClient : public StreamHandler {
 public:
  static absl::StatusOr<std::unique_ptr<PlanecastClient>> Connect(const std::string& server,
                                                                  Watcher& watcher);
  /// Use Connect.
  explicit PlanecastClient(Watcher& watcher) : eye_(watcher) {}
  ~PlanecastClient() override;

  /// Messages of units, in bytes.
  uint64_t received_bytes() const { return received_bytes_; }

 private:
  void OnAccessUnit(Stream& stream, const v1::AccessUnit& unit) override;

  H264Eye eye_;
  std::atomic<uint64_t> received_bytes_ = 0;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Stream> stream_;
};

/// Listens on a port of the loopback interface for one sender of NUT with a single video stream:
/// the container whose packets need not wait for the next one. Destroy it after the sender.
/// Thread-safe.
class NutListener {
 public:
  static absl::StatusOr<std::unique_ptr<NutListener>> Listen(Watcher& watcher);
  /// Use Listen.
  NutListener(Fd listener, int port, Watcher& watcher);
  ~NutListener();
  NutListener(const NutListener&) = delete;
  NutListener& operator=(const NutListener&) = delete;

  int port() const { return port_; }
  uint64_t received_bytes() const { return received_bytes_; }

 private:
  void Run();
  int Read(uint8_t* data, int size_bytes);

  Fd listener_;
  const int port_;
  H264Eye eye_;
  Fd connection_;
  std::atomic<uint64_t> received_bytes_ = 0;
  std::atomic<bool> stopped_ = false;
  std::thread thread_;
};

}  // namespace planecast::bench
