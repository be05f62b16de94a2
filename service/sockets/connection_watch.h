// Watches the connections that gRPC has from outside: how much comes in, who has gone, who calls
// nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "service/sockets/aimless_meter.h"
#include "service/sockets/connection_shares.h"
#include "service/sockets/token_bucket.h"
#include "vfio/clock.h"
#include "vfio/fd.h"

namespace planecast {

// What a client needs to send, in bytes of a connection, and twice that.
//
// A viewer's hand: 1,000 events of a mouse or a pen a second, and an acknowledgement for each of
// 240 pictures. Each may come in a message, a frame and a TLS record of its own: 9 bytes of HTTP/2,
// 5 of gRPC, 29 of TLS, and a message of up to 85.
inline constexpr double kEventsHz = 1000;
inline constexpr double kAcknowledgementsHz = 240;
inline constexpr double kMessageBytes = 9 + 5 + 29 + 85;
// For each picture it gives the window back.
inline constexpr double kViewerBytesPerSecond =
    2 * (kEventsHz * kMessageBytes + kAcknowledgementsHz * (kMessageBytes + kWindowUpdateBytes));
// Of the viewers on one connection one has the hand and is watched closely. Of the others, a wall
// of displays, each acknowledges 60 pictures.
inline constexpr double kFurtherViewerBytesPerSecond =
    2 * 60 * (kMessageBytes + kWindowUpdateBytes);
// At once: a TLS handshake with a client's certificates, the metadata of some calls, and one
// request of the largest size.
inline constexpr double kBurstBytes = (16 << 10) + (16 << 10) + (64 << 10);
// Before anybody has shown a right to anything on it: a handshake, and a few calls with their
// metadata.
inline constexpr double kUnknownBytesPerSecond = 16 << 10;
inline constexpr double kUnknownBurstBytes = (16 << 10) + (16 << 10);
// Who is to become known is so by then: a handshake with a certificate, and a first call. What the
// unknown of all addresses send beyond it, or sent that left unknown, is limited together: many
// addresses at once are no way around.
inline constexpr double kIntroductionBytes = 8 << 10;
inline constexpr double kAllUnknownBytesPerSecond = 64 << 10;
inline constexpr double kAllUnknownBurstBytes = 128 << 10;
// What all connections of an address may send, in connections that use all they may. Few do: most
// viewers send some 10 kB/s, and a handshake with a certificate and a first call have 8 KiB.
inline constexpr double kAddressConnections = 4;

/// What is watched for; tests choose less.
struct WatchLimits {
  double bytes_per_s = kViewerBytesPerSecond;
  double further_viewer_bytes_per_s = kFurtherViewerBytesPerSecond;
  double burst_bytes = kBurstBytes;
  double aimless_bytes_per_s = kAimlessBytesPerSecond;
  double aimless_viewer_bytes_per_s = kAimlessViewerBytesPerSecond;
  double aimless_burst_bytes = kAimlessBurstBytes;
  double unknown_bytes_per_s = kUnknownBytesPerSecond;
  double unknown_burst_bytes = kUnknownBurstBytes;
  double introduction_bytes = kIntroductionBytes;
  double all_unknown_bytes_per_s = kAllUnknownBytesPerSecond;
  double all_unknown_burst_bytes = kAllUnknownBurstBytes;
  /// From the accept to the first call.
  int64_t first_call_max_ns = 10'000'000'000;
  /// Connections that send anything are looked at so often; while there is an unknown one among
  /// them, so often.
  int64_t look_interval_ns = 50'000'000;
  int64_t unknown_look_interval_ns = 10'000'000;
  /// Unix sockets, while bytes wait in one and shortly after.
  int64_t quick_look_interval_ns = 2'000'000;
};

/// Who a connection is.
struct WatchedConnection {
  enum class Kind { kTcp, kUnix };
  Kind kind = Kind::kTcp;
  /// The connection alone has it, if it is one of TCP.
  std::string name;
  /// What it shares with others of its peer.
  std::string address;
  /// It is cut off if NoteCall doesn't come in time.
  bool awaits_call = true;
  /// It counts in a share of connections. An operator's doesn't.
  bool has_share = true;
};

/// Has a duplicate of each connection's socket, by which it is shut down: gRPC then sees that the
/// peer has gone. A thread of its own does the work, since the one that serves calls does not come
/// back from a connection where bytes come faster than it reads. Costs one fd a connection, and
/// nothing while all are silent.
///
/// Of TCP the kernel counts what came. Of unix sockets it does not: what was seen to have come from
/// one quick look to the next is the least that it can have been, and of a flood enough. And one is
/// cut off if the server's thread, without having come back, has been seen to read it again and
/// again; or if that thread has come back again and again, and the socket was never read empty.
///
/// Thread-safe.
class ConnectionWatch {
 public:
  /// A connection is no longer watched: its peer has gone, or it was cut off. Called by any thread
  /// that calls the watch, and by its own, with no lock held.
  using OnEnd =
      std::function<void(const WatchedConnection&, std::optional<ConnectionRefusal> cut_off)>;
  struct Options {
    Clock* clock = &MonotonicClock();
    WatchLimits limits;
    /// Changes each time that the server's thread comes back from reading. Null: never.
    std::function<uint64_t()> turn;
    OnEnd on_end;
  };

  static absl::StatusOr<std::unique_ptr<ConnectionWatch>> Make(Options options);
  ~ConnectionWatch() { Stop(); }
  ConnectionWatch(const ConnectionWatch&) = delete;
  ConnectionWatch& operator=(const ConnectionWatch&) = delete;

  void Start();
  /// Ends the thread. Connections live on, unwatched. Idempotent.
  void Stop();
  /// What the thread does, once: waits for something to happen, `max_ms` at most (-1: as long as it
  /// takes), and deals with it. For tests that have no thread.
  void Turn(int max_ms);
  /// How long the thread would wait now for something to happen; -1: as long as it takes.
  int WaitMs();

  /// Watches this connected socket from now on. The system call's error if there is no fd left.
  absl::Status Watch(int socket, WatchedConnection connection);
  /// The connection of this name has called something, for the first time or again: with so many
  /// bytes of metadata, and of a request that came with the call.
  void NoteCall(const std::string& name, size_t metadata_bytes, size_t request_bytes);
  /// Somebody with a right has, on it.
  void NoteKnown(const std::string& name);
  /// So many viewers more are on it. What they read is to be counted there, and they are known by
  /// it when they go; null if there is none of this name any more.
  std::shared_ptr<UsefulBytes> AddViewers(const std::string& name, int number);
  /// False if theirs has ended; the name may be another's by now.
  bool RemoveViewers(const std::string& name, const std::shared_ptr<UsefulBytes>& theirs,
                     int number);
  /// Looks at all that send now instead of at the next look.
  void LookNow();
  /// False if there is none of this name any more.
  bool CutOff(const std::string& name, ConnectionRefusal why);
  /// Those of the address that send now, or did a moment ago.
  void CutOffAddress(const std::string& address, ConnectionRefusal why);

 private:
  struct Connection {
    uint64_t id = 0;
    Fd fd;
    WatchedConnection who;
    TokenBucket bytes;
    /// TCP: of what comes, what was for nothing that we know of.
    AimlessMeter aimless;
    std::shared_ptr<UsefulBytes> useful = std::make_shared<UsefulBytes>();
    int64_t accepted_ns = 0;
    /// TCP: what had come at the last look.
    uint64_t bytes_seen = 0;
    /// What came since the look before, for the address's sum.
    uint64_t bytes_new = 0;
    int viewers = 0;
    bool called = false;
    bool known = false;
    /// Looked at; otherwise its first byte is waited for.
    bool active = false;
    int quiet_looks = 0;
    // Of unix sockets.
    int unread = 0;
    uint64_t turn = 0;
    int reads_in_turn = 0;
    int full_looks = 0;
  };
  struct Address {
    TokenBucket bytes;
    TokenBucket aimless;
    int connections = 0;
    int viewers = 0;
    bool known = false;
  };
  using Ended = std::vector<std::pair<WatchedConnection, std::optional<ConnectionRefusal>>>;

  explicit ConnectionWatch(Options options);
  void Run();
  void Wake() const;
  int WaitMsLocked(int64_t now_ns) const;
  void OnEventLocked(uint64_t id, uint32_t events, int64_t now_ns, Ended& ended);
  void WaitForBytesLocked(Connection& connection);
  void LookLocked(int64_t now_ns, Ended& ended);
  /// At unix sockets alone.
  void LookQuicklyLocked(int64_t now_ns, Ended& ended);
  /// Why it is to be cut off, if it is.
  std::optional<ConnectionRefusal> LookAtLocked(Connection& connection, int64_t now_ns);
  std::optional<ConnectionRefusal> LookAtTcpLocked(Connection& connection, int64_t now_ns);
  std::optional<ConnectionRefusal> LookAtUnixLocked(Connection& connection, int64_t now_ns,
                                                    bool quick);
  void CutFullestLocked(Ended& ended);
  void CheckUnknownLocked(int64_t now_ns, int64_t passed_ns, Ended& ended);
  /// Of what came since the look before, what is beyond the introduction.
  double BeyondIntroduction(const Connection& connection) const;
  /// Why somebody who has left is to be barred all the same, if he is.
  std::optional<ConnectionRefusal> JudgeLeaverLocked(Connection& connection, int64_t now_ns);
  void CheckAddressesLocked(int64_t now_ns, int64_t passed_ns, Ended& ended);
  void CheckAimlessLocked(int64_t now_ns, Ended& ended);
  void CutSilentLocked(int64_t now_ns, Ended& ended);
  void EndLocked(uint64_t id, std::optional<ConnectionRefusal> why, Ended& ended);
  Connection* FindLocked(const std::string& name);
  Address& AddressLocked(const std::string& address);
  double AddressRate(const Address& address) const;
  void ResizeLocked(Address& address);
  TokenBucket UnknownBucket() const {
    return {options_.limits.unknown_bytes_per_s, options_.limits.unknown_burst_bytes};
  }
  /// Who comes by a unix socket is known by his uid.
  TokenBucket FullBucket() const {
    return {options_.limits.bytes_per_s, options_.limits.burst_bytes};
  }
  void ChangeViewersLocked(Connection& connection, int change);
  void ResizeLocked(Connection& connection);
  int64_t LookInterval() const {
    return hurry_ ? options_.limits.unknown_look_interval_ns : options_.limits.look_interval_ns;
  }
  void ForgetAddressesLocked(int64_t now_ns);
  void Tell(const Ended& ended) const;

  const Options options_;
  Fd epoll_;
  Fd wake_;
  std::thread thread_;
  std::mutex mutex_;
  uint64_t next_id_ = 1;
  std::unordered_map<uint64_t, Connection> connections_;
  /// TCP: the newest of each name.
  std::unordered_map<std::string, uint64_t> by_name_;
  std::unordered_map<std::string, Address> addresses_;
  TokenBucket unknown_bytes_;
  std::vector<uint64_t> active_;
  /// In the order of their deadlines.
  std::deque<uint64_t> uncalled_;
  int64_t last_look_ns_ = 0;
  int64_t last_quick_look_ns_ = 0;
  /// An unknown connection sends: looks come closer.
  bool hurry_ = false;
  /// Bytes waited in a unix socket a moment ago.
  int64_t quick_until_ns_ = 0;
  bool look_now_ = false;
  bool stopping_ = false;
};

}  // namespace planecast
