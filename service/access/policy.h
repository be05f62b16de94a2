// Who callers are, and what the config lets them do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "service/access/rights.h"

namespace planecast {

/// The way that a caller came in.
enum class Door {
  /// The operators' unix socket. Its file mode lets in root and a group: who is there is an
  /// operator, unless his uid is bound to something else.
  kOperatorSocket,
  /// The viewers' unix socket, open to every local uid.
  kViewerSocket,
  /// TCP on a loopback address.
  kLoopback,
  /// TCP elsewhere.
  kRemote,
};

/// A client certificate that a configured CA signed.
struct CertificateIdentity {
  /// RFC 2253 text, e.g. `CN=web1,O=Example`.
  std::string subject;
  /// As `DNS:web1.example`, `URI:spiffe://x`, `email:a@b`, `IP:10.0.0.1`.
  std::vector<std::string> alternative_names;
  /// 64 hexadecimal digits, lower case.
  std::string sha256;
  /// Its last second, since the epoch.
  int64_t not_after_s = 0;
};

/// What the transport knows of a caller. Nothing here comes from metadata.
struct Peer {
  Door door = Door::kRemote;
  bool encrypted = false;
  /// For people: `unix uid 1000`, `10.0.0.3:5000`.
  std::string address;
  /// By which tries are limited: an address without its port, an IPv6 /64, or a uid.
  std::string limit_key;
  std::optional<uint32_t> uid;
  std::optional<CertificateIdentity> certificate;
  /// What the listener gives callers without credentials; empty for nothing.
  std::string anonymous_role;

  /// A ticket may travel here.
  bool carries_tickets() const { return encrypted || door != Door::kRemote; }
};

/// Who a caller is.
struct Principal {
  enum class Kind { kNobody, kAnonymous, kUid, kCertificate, kTicket };
  Kind kind = Kind::kNobody;
  /// As audit lines say it: `nobody`, `anonymous`, `uid:0`, `certificate:CN=web1`, or `ticket:` and
  /// the ticket's public id.
  std::string name = "nobody";
};

/// A principal and what he may do.
struct Identity {
  Principal principal;
  Rights rights;
};

/// To whom a binding applies: exactly one is set.
struct BindingSubject {
  std::optional<uint32_t> uid;
  /// The whole subject, as CertificateIdentity has it.
  std::string certificate_subject;
  /// One of the alternative names, as CertificateIdentity has them.
  std::string certificate_san;
};

/// Gives somebody a role on some displays.
struct Binding {
  BindingSubject subject;
  Grant grant;
};

/// Decides who a peer without a ticket is. Immutable; thread-safe.
///
/// A uid or certificate with bindings has all of them together. Without one: on the operators'
/// socket a uid has the role `operator` on all displays; elsewhere the listener's anonymous role
/// counts, on all displays, if there is such a role; else he is nobody, and named by his uid or
/// certificate for the audit log alone.
class AccessPolicy {
 public:
  AccessPolicy(RoleSet roles, std::vector<Binding> bindings);

  Identity Identify(const Peer& peer) const;
  /// Uids that have a binding, sorted, each once.
  const std::vector<uint32_t>& bound_uids() const { return bound_uids_; }
  const RoleSet& roles() const { return roles_; }

 private:
  const RoleSet roles_;
  const std::vector<Binding> bindings_;
  std::vector<uint32_t> bound_uids_;
};

}  // namespace planecast
