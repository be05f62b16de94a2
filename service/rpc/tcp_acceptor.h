// The TCP listeners: connections are accepted here and handed to gRPC.
#pragma once

#include <grpcpp/server_builder.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vfio/fd.h"

namespace planecast {

class ConnectionGuard;

/// Bytes that may wait in a connection's socket and are not under way. What waits in there is an
/// old picture by the time it is sent, and the kernel would keep megabytes. Small enough for the
/// slowest link, large enough to keep a fast one busy between two wake-ups.
inline constexpr int kUnsentBytesMax = 16 << 10;

/// One TCP address with its sockets, bound and listening.
struct TcpListener {
  /// One per address family that the host name stands for.
  std::vector<Fd> sockets;
  int port = 0;
};

/// Binds HOST:PORT, all of its addresses, to the same port, a free one for port 0. Nobody is served
/// yet.
///
/// Errors: UNAVAILABLE with what is wrong with the address, as an operator needs it.
absl::StatusOr<TcpListener> ListenOnTcp(const std::string& address);

/// Connections of one listener before the others have their turn, and before Stop is heard.
inline constexpr int kTcpAcceptsPerTurn = 16;

/// Accepts the connections of all TCP listeners on a thread of its own. gRPC would accept them
/// itself, but gives no way to its sockets, and viewers that do not acknowledge are guarded by
/// their sockets alone.
///
/// Thread-compatible. Add before BuildAndStart, Start after it, Stop before the server's Shutdown.
class TcpAcceptor {
 public:
  /// Each connection goes through `guard`, which must outlive the acceptor. Null: all are taken.
  explicit TcpAcceptor(ConnectionGuard* guard = nullptr) : guard_(guard) {}
  ~TcpAcceptor() { Stop(); }
  TcpAcceptor(const TcpAcceptor&) = delete;
  TcpAcceptor& operator=(const TcpAcceptor&) = delete;

  /// `index` is the listener's in the stamp of its connections; -1 if they have none.
  void Add(grpc::ServerBuilder& builder, TcpListener listener,
           std::shared_ptr<grpc::ServerCredentials> credentials, int index = -1);
  absl::Status Start();
  /// Closes the listening sockets; connections live on. Idempotent.
  void Stop();

 private:
  struct Door {
    Fd socket;
    /// Shared by a listener's sockets.
    std::shared_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
    int index = -1;
  };

  void Run();
  /// False if the process has no fds left.
  bool AcceptSome(const Door& door) const;

  ConnectionGuard* const guard_;
  std::vector<Door> doors_;
  Fd stop_;
  std::thread thread_;
};

}  // namespace planecast
