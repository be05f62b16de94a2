// Keeps connections within what they may take of what all share: how many there are, what they
// send, what they call.
#pragma once

#include <grpcpp/server_context.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/rpc/call_limiter.h"
#include "service/rpc/door.h"
#include "service/sockets/connection_shares.h"
#include "service/sockets/connection_watch.h"
#include "service/telemetry/log.h"
#include "vfio/clock.h"

namespace planecast {

/// Calls that the server's thread takes in before it comes back to those that it has. Of two
/// connections that start as many as each may have under way; more, before anybody has been
/// answered, are a flood, and would fill memory.
inline constexpr int kCallsPerTurnMax = 512;

/// The cut at the acceptors. gRPC reads a connection for as long as bytes are there, on the thread
/// that serves everybody; what is to be refused must be refused before, or by another thread.
///
/// Each address has its share of TCP, each uid of the viewers' unix socket. Operators' sockets have
/// no shares. But they too are held to a number of calls, which no hand reaches and a script does
/// that runs wild.
///
/// Thread-safe.
class ConnectionGuard {
 public:
  struct Options {
    ConnectionShares::Limits shares;
    WatchLimits watch;
    CallLimits calls;
    int calls_per_turn_max = kCallsPerTurnMax;
    Clock* clock = &MonotonicClock();
    /// For the audit log: the peer, its limit key, why. Null: nobody. Called by any thread.
    std::function<void(const std::string& peer, const std::string& limit_key, ConnectionRefusal)>
        on_refusal;
  };
  /// A viewer's stream on a connection, which may send more for as long as this lives. Move-only.
  class ViewerHold {
   public:
    ViewerHold() = default;
    ViewerHold(ConnectionGuard* guard, std::string address, std::string name,
               std::shared_ptr<UsefulBytes> useful)
        : guard_(guard),
          address_(std::move(address)),
          name_(std::move(name)),
          useful_(std::move(useful)) {}
    ViewerHold(ViewerHold&& other) noexcept
        : guard_(std::exchange(other.guard_, nullptr)),
          address_(std::move(other.address_)),
          name_(std::move(other.name_)),
          useful_(std::move(other.useful_)) {}
    ViewerHold& operator=(ViewerHold&& other) noexcept {
      Release();
      guard_ = std::exchange(other.guard_, nullptr);
      address_ = std::move(other.address_);
      name_ = std::move(other.name_);
      useful_ = std::move(other.useful_);
      return *this;
    }
    ViewerHold(const ViewerHold&) = delete;
    ViewerHold& operator=(const ViewerHold&) = delete;
    ~ViewerHold() { Release(); }

    /// The stream has read a message of so many bytes.
    void NoteMessage(size_t bytes) const {
      if (useful_ != nullptr) useful_->NoteMessage(bytes);
    }

   private:
    void Release();

    ConnectionGuard* guard_ = nullptr;
    std::string address_;
    std::string name_;
    std::shared_ptr<UsefulBytes> useful_;
  };

  /// `log` must outlive the guard, and the guard all who were given it.
  static absl::StatusOr<std::unique_ptr<ConnectionGuard>> Make(const Logger& log, Options options);
  ~ConnectionGuard() { Stop(); }
  ConnectionGuard(const ConnectionGuard&) = delete;
  ConnectionGuard& operator=(const ConnectionGuard&) = delete;

  void Start() { watch_->Start(); }
  /// Nobody is watched any more. Idempotent.
  void Stop() { watch_->Stop(); }
  /// What the thread does, once. For tests that have no thread.
  void Turn(int max_ms) { watch_->Turn(max_ms); }

  // --- For acceptors, of a socket that they are about to hand to gRPC.

  /// False if it is to be closed. `listener` is -1 for one whose calls don't know theirs.
  bool TakeTcp(int socket, const sockaddr_storage& peer, int listener);
  /// A unix socket, of somebody with this uid, who comes by the way in that has this identity.
  /// Never false for operators.
  bool TakeUnix(int socket, uint32_t uid, const DoorIdentity& identity);

  /// The acceptor of a unix socket has closed one of this uid, for a reason of its own.
  void TurnAway(uint32_t uid, Door door, ConnectionRefusal why);

  // --- For gRPC's own thread, before a call is anybody's: as a CallSieve.

  /// False if the call is to be refused at once, before it takes memory.
  bool AdmitCall(const DoorIdentity& identity);

  // --- For the queue.

  /// Its thread came back from gRPC.
  void NextTurn() {
    calls_this_turn_ = 0;
    ++turn_;
  }
  /// A call was accepted, and a request of so many bytes with it. False if it is one too many;
  /// its connection may have been cut off for it.
  bool OnCall(const grpc::ServerContext& context, size_t request_bytes) {
    return OnCall(context.peer(), &context, request_bytes);
  }
  /// The same, of ServerContext::peer(). Null: by a listener whose calls don't know theirs.
  bool OnCall(const std::string& peer_uri, const grpc::ServerContext* context,
              size_t request_bytes = 0);
  /// It was made by somebody with a right.
  void OnAdmitted(const grpc::ServerContext& context) { OnAdmitted(context.peer(), &context); }
  void OnAdmitted(const std::string& peer_uri, const grpc::ServerContext* context);
  /// The same, by a unix socket.
  void OnAdmitted(const DoorIdentity& identity);
  /// It has become a viewer's stream. The hold is to live as long as it.
  ViewerHold OnViewer(const grpc::ServerContext& context) {
    return OnViewer(context.peer(), &context);
  }
  ViewerHold OnViewer(const std::string& peer_uri, const grpc::ServerContext* context);
  /// The same, by a unix socket.
  ViewerHold OnViewer(const DoorIdentity& identity);

  ConnectionReading Read() const;

 private:
  /// Lines about connections in a while; whoever connects can't fill the log.
  struct LogWindow {
    int64_t start_ns = 0;
    int lines = 0;
    int left_out = 0;
  };

  ConnectionGuard(const Logger& log, Options options);
  void OnEnd(const WatchedConnection& who, std::optional<ConnectionRefusal> cut_off);
  void Refused(const std::string& peer, const std::string& address, ConnectionRefusal why);
  void LogLine(const std::string& line);

  const Logger& log_;
  const Options options_;
  /// Of TCP and of the viewers' unix socket: file descriptors are the same for both.
  std::atomic<int> taken_ = 0;
  ConnectionShares shares_;
  /// Of the viewers' unix socket, by uid.
  ConnectionShares unix_shares_;
  std::atomic<int> calls_this_turn_ = 0;
  std::atomic<uint64_t> turn_ = 0;
  std::atomic<size_t> unix_open_ = 0;
  std::array<std::atomic<uint64_t>, kConnectionRefusalsSize> refused_{};
  std::mutex calls_mutex_;
  CallLimiter calls_;
  std::mutex log_mutex_;
  LogWindow log_window_;
  /// Last: its thread uses the others.
  std::unique_ptr<ConnectionWatch> watch_;
};

}  // namespace planecast
