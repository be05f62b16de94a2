// What comes by a connection and is for nothing.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "service/sockets/token_bucket.h"

namespace planecast {

/// A client gives the window back, of the stream and of the connection.
inline constexpr double kWindowUpdateBytes = 2 * (9 + 4) + 29;
/// At least whenever so much of it was used.
inline constexpr double kWindowUpdateEveryBytes = 8 << 10;
/// Without the message itself; with it often goes the window for what was taken.
inline constexpr size_t kMessageFramingBytes = 9 + 5 + 29 + 2 * (9 + 4);
/// A call's frames, and what metadata all have.
inline constexpr size_t kCallFramingBytes = 256;
/// Of the metadata so much counts: who has sent it once may send it again in a few bytes.
inline constexpr size_t kCallMetadataMaxBytes = 1 << 10;

inline constexpr double kAimlessBytesPerSecond = 1 << 10;
/// At once: a handshake, and two requests of the largest size of which the first isn't read yet.
inline constexpr double kAimlessBurstBytes = 128 << 10;
/// Go's clients measure the line by a ping for each piece of a picture: 60 pictures a second, and
/// some.
inline constexpr double kAimlessViewerBytesPerSecond = 4 << 10;
/// One ping is under way at a time, whoever it is for.
inline constexpr int kAimlessViewersMax = 8;

/// What a connection's bytes were of use for, as far as calls know; only ever more. Whoever reads
/// messages on it counts here. Thread-safe.
class UsefulBytes {
 public:
  void NoteMessage(size_t message_bytes) { Add(kMessageFramingBytes + message_bytes); }
  void NoteCall(size_t metadata_bytes) {
    Add(kCallFramingBytes + std::min(metadata_bytes, kCallMetadataMaxBytes));
  }
  uint64_t Read() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  void Add(uint64_t bytes) { bytes_.fetch_add(bytes, std::memory_order_relaxed); }

  std::atomic<uint64_t> bytes_ = 0;
};

/// Of use is a message that a call has read, a call's metadata, and the window that is given back
/// for what the peer has taken, each with its framing, windows twice. Of the rest (a handshake,
/// pings, what is still under way) the parser alone knows, and what does most harm never becomes
/// anything: a header in crumbs, which gRPC parses anew with each. While one comes nothing else
/// can, so that what may come for nothing at once is as long as it can get, and patience adds
/// little.
///
/// Thread-compatible. Times are monotonic.
class AimlessMeter {
 public:
  /// In bytes; of `introduction`, at first, last() doesn't tell.
  AimlessMeter(double rate_per_s, double burst, double introduction)
      : bucket_(rate_per_s, burst), burst_(burst), introduction_(introduction) {}

  /// Of a connection, since it began. `useful` is not to be newer than the others.
  struct Counts {
    uint64_t useful = 0;
    uint64_t received = 0;
    /// What was sent to the peer, as far as it has it.
    uint64_t acknowledged = 0;
  };
  /// False if too much has come for nothing. `unread`, of what was received, is asked only then:
  /// what nobody has read yet may still be of use, and has cost nothing.
  bool Take(const Counts& counts, const std::function<int()>& unread, int64_t now_ns);
  /// What the last Take took; less than 0 if more was of use than came.
  double last() const { return last_; }
  void SetRate(double rate_per_s, int64_t now_ns) { bucket_.Resize(rate_per_s, burst_, now_ns); }

 private:
  bool TakeBytes(uint64_t came, double of_use, int64_t now_ns);

  TokenBucket bucket_;
  double burst_;
  double introduction_;
  Counts seen_;
  double last_ = 0;
};

}  // namespace planecast
