// The addresses that the gRPC server listens on.
#pragma once

#include <grpcpp/server_builder.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planecast/config/v1/server_config.pb.h"
#include "service/rpc/tcp_acceptor.h"

namespace planecast {

/// An address that is served.
struct BoundAddress {
  /// As a client types it: "unix:PATH" or "HOST:PORT", never with port 0.
  std::string target;
  /// The TCP port; 0 for a unix socket.
  int port = 0;
  bool tls = false;
};

/// Reads the certificate files. An error names the file and what is wrong with it.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeTlsCredentials(
    const config::v1::TlsConfig& tls);

/// The addresses of one server. Thread-compatible; must outlive the server.
class ListenAddresses {
 public:
  /// Adds the config's unix socket, whose path the caller has claimed, and TCP listeners to
  /// `builder`. Refuses plain text off loopback that the config does not allow, and addresses that
  /// can't be bound.
  absl::Status AddTo(grpc::ServerBuilder& builder, const config::v1::ServerConfig& config);

  /// After BuildAndStart returned null: why.
  absl::Status BuildError() const;
  /// After BuildAndStart succeeded: takes connections on TCP from now on.
  absl::Status Start() { return tcp_.Start(); }
  /// Before the server's Shutdown: takes none any more.
  void Stop() { tcp_.Stop(); }
  const std::vector<BoundAddress>& bound() const { return bound_; }

 private:
  absl::Status AddTcp(grpc::ServerBuilder& builder, const config::v1::Listener& listener);

  /// Written by the builder: 0 if the unix socket could not be bound.
  int unix_port_ = 0;
  std::vector<BoundAddress> bound_;
  TcpAcceptor tcp_;
};

}  // namespace planecast
