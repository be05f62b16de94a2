// A VNC client that decodes what comes: libvncclient.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "tests/bench/watcher.h"

struct _rfbClient;  // NOLINT(bugprone-reserved-identifier): libvncclient's name

namespace planecast::bench {

struct VncEncoding {
  /// As libvncclient names them: "zrle copyrect", "tight copyrect".
  std::string encodings;
  /// 0 to 9, of JPEG; -1 for lossless.
  int jpeg_quality = -1;
  int compress_level = 1;
};

/// Watches a VNC server on a thread of its own. Thread-safe.
class VncClient {
 public:
  /// Connects; `watcher` must outlive the client.
  static absl::StatusOr<std::unique_ptr<VncClient>> Connect(int port, const VncEncoding& encoding,
                                                            Watcher& watcher);
  /// Use Connect. Takes over the client.
  VncClient(_rfbClient* client, Watcher& watcher);
  ~VncClient();
  VncClient(const VncClient&) = delete;
  VncClient& operator=(const VncClient&) = delete;

  /// What TCP delivered so far, in bytes.
  uint64_t received_bytes() const;

 private:
  void Run(const std::stop_token& stop);
  void OnUpdate();

  _rfbClient* client_;
  Watcher& watcher_;
  std::jthread thread_;
};

}  // namespace planecast::bench
