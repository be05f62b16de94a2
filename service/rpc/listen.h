// The addresses that the gRPC server listens on.
#pragma once

#include <grpcpp/server_builder.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planecast/config/v1/server_config.pb.h"
#include "service/rpc/tcp_acceptor.h"
#include "service/rpc/unix_acceptor.h"
#include "service/sockets/unix_socket.h"

namespace planecast {

/// An address that is served.
struct BoundAddress {
  /// As a client types it: "unix:PATH" or "HOST:PORT", never with port 0.
  std::string target;
  /// The TCP port; 0 for a unix socket.
  int port = 0;
  bool tls = false;
};

/// Reads the certificate files. An error names the file and what is wrong with it, and the user who
/// may not read it.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeTlsCredentials(
    const config::v1::TlsConfig& tls);

/// What PeerReader needs of the config's listeners.
PeerReader MakePeerReader(const config::v1::ServerConfig& config);

/// The addresses of one server, in three steps: bound while the process may bind anything, their
/// certificates read as the user that will have to read them again, and handed to gRPC.
/// Thread-compatible; must outlive the server.
class ListenAddresses {
 public:
  /// `guard`, which each connection goes through, must outlive this.
  explicit ListenAddresses(ConnectionGuard& guard) : guard_(guard), unix_(&guard), tcp_(&guard) {}

  /// Binds the config's unix sockets, whose paths the caller has claimed, and TCP listeners; starts
  /// no thread. `bound_uids` are those whose calls the viewers' socket tells apart. Refuses plain
  /// text off loopback that the config does not allow, and addresses that can't be bound.
  absl::Status Bind(const config::v1::ServerConfig& config,
                    const std::vector<uint32_t>& bound_uids);

  /// After Bind, with the same config: reads certificates and keys. Errors as MakeTlsCredentials.
  absl::Status ReadCertificates(const config::v1::ServerConfig& config);

  /// After ReadCertificates, once.
  void AddTo(grpc::ServerBuilder& builder);

  /// After BuildAndStart succeeded: takes connections from now on.
  absl::Status Start();
  /// Before the server's Shutdown: takes none any more.
  void Stop();
  const std::vector<BoundAddress>& bound() const { return bound_; }

 private:
  struct BoundTcp {
    TcpListener listener;
    std::shared_ptr<grpc::ServerCredentials> credentials;
    /// Among the config's listeners; -1 if its calls can't be told from others'.
    int index = -1;
  };

  absl::Status BindUnix(UnixListener listener, const UnixSocketAccess& access);
  absl::Status BindTcp(const config::v1::Listener& listener);

  ConnectionGuard& guard_;
  std::vector<BoundAddress> bound_;
  /// Until AddTo.
  std::vector<UnixListener> bound_unix_;
  /// As the config's listeners. Until AddTo.
  std::vector<BoundTcp> bound_tcp_;
  UnixAcceptor unix_;
  TcpAcceptor tcp_;
};

}  // namespace planecast
