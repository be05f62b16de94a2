// The addresses that the gRPC server listens on.
#pragma once

#include <grpcpp/server_builder.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planecast/config/v1/server_config.pb.h"

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

/// The addresses of one server, first as wishes, then as they are bound. Thread-compatible; must
/// outlive BuildAndStart of the builder it was added to.
class ListenAddresses {
 public:
  /// Adds the config's unix socket, whose path the caller has claimed, and TCP listeners to
  /// `builder`. Refuses plain text off loopback that the config does not allow.
  absl::Status AddTo(grpc::ServerBuilder& builder, const config::v1::ServerConfig& config);

  /// After BuildAndStart returned null: which addresses could not be bound.
  absl::Status BindError() const;
  /// After BuildAndStart succeeded.
  std::vector<BoundAddress> Bound() const;

 private:
  struct Wish {
    std::string host;
    std::string address;
    bool is_unix = false;
    bool tls = false;
    /// Written by the builder.
    int port = 0;
  };
  /// A deque: the builder keeps pointers into it.
  std::deque<Wish> wishes_;
};

}  // namespace planecast
