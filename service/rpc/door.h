// How a connection came in, told to each of its calls.
#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/server_credentials.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "service/access/policy.h"

namespace planecast {

/// What one way in says of who comes through it.
struct DoorIdentity {
  Door door = Door::kRemote;
  std::optional<uint32_t> uid;
  /// Of the listener, in the config's order; -1 for a unix socket.
  int listener = -1;

  friend bool operator==(const DoorIdentity&, const DoorIdentity&) = default;
};

/// A way in of gRPC's whose identity may change while nobody is inside. Thread-safe.
///
/// gRPC tells a call neither the listener nor the socket that its connection came from. What it has
/// is a context per connection, which a credentials' metadata processor may write to: that is where
/// the identity is put, by the first call of each connection.
class DoorStamp {
 public:
  explicit DoorStamp(const DoorIdentity& identity) : word_(Pack(identity)) {}
  void Set(const DoorIdentity& identity) { word_ = Pack(identity); }
  DoorIdentity identity() const { return Unpack(word_); }

 private:
  static uint64_t Pack(const DoorIdentity& identity);
  static DoorIdentity Unpack(uint64_t word);

  std::atomic<uint64_t> word_;
};

/// Whether a call that came in may be anybody's. Called by gRPC's thread for each, before it takes
/// a place among those that wait: must be quick, and thread-safe.
using CallSieve = std::function<bool(const DoorIdentity&)>;

/// Has every connection that `credentials` let in carry the stamp's identity, and calls that
/// `sieve` (null: lets all through) does not let through end at once with RESOURCE_EXHAUSTED. Not
/// for gRPC's insecure credentials, which know no context.
void StampConnections(grpc::ServerCredentials& credentials, std::shared_ptr<const DoorStamp> stamp,
                      CallSieve sieve = nullptr);

/// What a connection was stamped with; nothing for one without a stamp.
std::optional<DoorIdentity> StampOf(const grpc::AuthContext* context);

/// Facts about a listener that its calls need.
struct ListenerFacts {
  bool tls = false;
  std::string anonymous_role;
};

/// What the transport knows of a call's peer.
class PeerReader {
 public:
  /// Connections without a stamp come from a plain-text listener off loopback, which all have this
  /// role.
  PeerReader(std::vector<ListenerFacts> listeners, std::string plain_remote_role)
      : listeners_(std::move(listeners)), plain_remote_role_(std::move(plain_remote_role)) {}

  /// `peer_uri` is ServerContext::peer(). Bound to one thread.
  Peer Read(const grpc::AuthContext* context, const std::string& peer_uri);

 private:
  const std::vector<ListenerFacts> listeners_;
  const std::string plain_remote_role_;
  /// Certificates by their PEM text: parsing one takes longer than most calls.
  std::map<std::string, CertificateIdentity> certificates_;
};

/// Reads a certificate; nothing if the text is none.
std::optional<CertificateIdentity> ReadCertificate(const std::string& pem);

/// `10.0.0.3:5000` of gRPC's `ipv4:10.0.0.3:5000`, `[::1]:5000` of `ipv6:%5B::1%5D:5000`, without
/// the interface that a link-local address may name: what a connection is known by.
std::string PeerAddressOf(const std::string& peer_uri);

/// `10.0.0.3` of gRPC's `ipv4:10.0.0.3:5000`, the /64 of an IPv6 address: what tries are limited
/// by.
std::string LimitKeyOf(const std::string& peer_uri);

}  // namespace planecast
