// The unix listeners: connections are accepted here, by uid, and handed to gRPC.
#pragma once

#include <grpcpp/server_builder.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "service/rpc/door.h"
#include "service/sockets/connection_shares.h"
#include "vfio/fd.h"

namespace planecast {

class ConnectionGuard;

/// Uids that may be connected to a unix socket at a time; others' connections are closed.
inline constexpr size_t kUnixUidsMax = 16;
/// Of these, on a socket for everybody, so many are kept for those who are known. Strangers beyond
/// the rest share one way in.
inline constexpr size_t kUnixUidsKept = 8;
/// Connections of a stranger, and of all strangers, on a socket for everybody: nobody without a
/// right keeps others out by the number of files that a process may have.
inline constexpr size_t kStrangersConnectionsMax = 32;
inline constexpr size_t kAllStrangersConnectionsMax = 256;

/// One unix socket with what its callers are.
struct UnixListener {
  Fd socket;
  Door door = Door::kOperatorSocket;
  /// For messages.
  std::string path;
  /// Uids that have a right here, sorted. Nothing: whoever may open the socket has.
  std::optional<std::vector<uint32_t>> known_uids;
};

/// Accepts the connections of unix sockets on a thread of its own and tells each call its peer's
/// uid, which gRPC itself can't.
///
/// Each socket has a few ways into gRPC, each stamped with one uid while somebody with that uid is
/// connected; one that nobody uses any more is stamped anew for the next uid. A stamp stays with
/// its connection, so it never speaks for anybody else.
///
/// Thread-compatible. Add before BuildAndStart, Start after it, Stop before the server's Shutdown.
class UnixAcceptor {
 public:
  /// `guard`, which each connection and call goes through and which tells of those that are turned
  /// away, must outlive the acceptor. Null: none does.
  explicit UnixAcceptor(ConnectionGuard* guard) : guard_(guard) {}
  ~UnixAcceptor() { Stop(); }
  UnixAcceptor(const UnixAcceptor&) = delete;
  UnixAcceptor& operator=(const UnixAcceptor&) = delete;

  void Add(grpc::ServerBuilder& builder, UnixListener listener);
  absl::Status Start();
  /// Closes the listening sockets; connections live on. Idempotent.
  void Stop();

 private:
  using Acceptor = std::shared_ptr<grpc::experimental::ExternalConnectionAcceptor>;
  /// A connection that gRPC has: its fd, and the socket's inode, by which it is seen that gRPC
  /// closed it, whatever has that number then.
  struct Connection {
    int fd = -1;
    ino_t inode = 0;
  };
  struct Slot {
    Acceptor acceptor;
    std::shared_ptr<DoorStamp> stamp;
    std::optional<uint32_t> uid;
    std::vector<Connection> connections;
  };
  struct Listener {
    UnixListener facts;
    std::vector<Slot> slots;
    /// For strangers when no slot is left for them; null if there are none.
    Acceptor others;
    /// Theirs, by uid.
    std::map<uint32_t, std::vector<Connection>> strangers;
  };

  void Run();
  /// False if the process has no fds left.
  bool AcceptSome(Listener& listener);
  void Pass(Listener& listener, Fd socket);
  void TurnAway(const Listener& listener, uint32_t uid, ConnectionRefusal why) const;
  static void HandOver(grpc::experimental::ExternalConnectionAcceptor& acceptor,
                       const Listener& listener, Fd socket);
  static void DropClosed(std::vector<Connection>& connections);
  /// A stranger's connection; false if there are too many.
  static bool CountStranger(Listener& listener, uint32_t uid, const Connection& connection);
  /// The way in for this uid; null if all but `kept` are taken.
  static Slot* SlotFor(Listener& listener, uint32_t uid, size_t kept);

  ConnectionGuard* const guard_;
  std::vector<Listener> listeners_;
  Fd stop_;
  std::thread thread_;
};

}  // namespace planecast
