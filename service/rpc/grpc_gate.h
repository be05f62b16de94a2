// The one place that decides whether a call may go on.
#pragma once

#include <grpcpp/server_context.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/access/audit_log.h"
#include "service/access/policy.h"
#include "service/access/shares.h"
#include "service/access/ticket_store.h"
#include "service/access/try_limiter.h"
#include "service/rpc/door.h"
#include "service/rpc/worker_pool.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace planecast {

/// Where a method needs its permission; AccessScope of the proto says more.
enum class MethodScope {
  /// Open to everybody, and nobody is asked who he is.
  kOpen,
  kDisplay,
  kAny,
  kHost,
};

/// What a method needs, as its option in the proto says.
struct MethodRule {
  /// For messages and audit lines, e.g. `DisplayService.GetDisplay`.
  std::string method;
  MethodScope scope = MethodScope::kHost;
  Permission permission = Permission::kManage;
  /// The way to the field that names the display; empty if that is known only later.
  std::vector<const google::protobuf::FieldDescriptor*> display_field;
  /// It changes nothing.
  bool only_reads = false;
  /// It is a viewer's stream, which opens a ticket's session.
  bool viewer_stream = false;
  /// What the audit log hears of each call that was let in.
  std::optional<AuditEvent> event;
};

/// The rule of a method, e.g. `planecast.v1.DisplayService.GetDisplay`. Reads the descriptor: a
/// method of ours without the option, or one that nobody knows, needs MANAGE on all displays.
/// Health is open, and reflection is for whoever has any right.
MethodRule RuleOf(std::string_view full_method_name);

/// Who makes a call.
struct Caller {
  Peer peer;
  Principal principal;
  Rights rights;
  /// With a ticket: what came of it, and the secret itself, for the stream that it may open.
  std::optional<TicketCall> ticket;
  std::string secret;
  /// Metadata `planecast-viewer-id`.
  std::string viewer_id;
};

/// Decides who callers are and whether they may do what they ask for, and tells the audit log.
/// Bound to the queue's thread, but for Audit.
class GrpcGate {
 public:
  struct Parts {
    std::shared_ptr<const AccessPolicy> policy;
    std::shared_ptr<TicketStore> tickets;
    /// Null: nobody listens. Must outlive the gate.
    AuditLog* audit = nullptr;
    Clock* clock = &MonotonicClock();
    ShareKeeper shares = {};
  };
  GrpcGate(Parts parts, PeerReader peers);
  /// Writes the audit lines that wait.
  ~GrpcGate();

  /// Who it is, by the connection and the ticket, and whether he may call this method at all.
  ///
  /// UNAUTHENTICATED without credentials, or with a ticket that is no good; RESOURCE_EXHAUSTED
  /// after too many of these; PERMISSION_DENIED if he has the permission on no display, or for
  /// MethodScope::kHost not on all.
  absl::StatusOr<Caller> Admit(const grpc::ServerContext& context, const MethodRule& rule);

  /// Whether the caller has the rule's permission on the displays that the request names.
  /// PERMISSION_DENIED whether they exist or not; INVALID_ARGUMENT for a malformed name.
  absl::Status CheckRequest(const Caller& caller, const MethodRule& rule,
                            const google::protobuf::Message& request,
                            std::vector<std::string>* display_ids);
  /// The same for one display.
  absl::Status CheckDisplay(const Caller& caller, const MethodRule& rule, Permission permission,
                            std::string_view display_id);
  /// Before anything else is said of a stream: whether its ticket could begin one so.
  absl::Status CheckStart(const Caller& caller, const MethodRule& rule,
                          std::string_view resumed_viewer_id);
  /// A viewer's stream begins: with a ticket, its session.
  absl::StatusOr<SessionHold> BeginStream(const Caller& caller, const MethodRule& rule,
                                          std::string_view resumed_viewer_id,
                                          const TicketDisplay& display);
  /// A viewer came of it: the audit log hears of the ticket's use.
  void TellUse(const Caller& caller, const MethodRule& rule, std::string_view display_id);
  /// For calls that go on: UNAUTHENTICATED if the ticket or the certificate has ended.
  absl::Status CheckStill(const Caller& caller);

  /// Writes an entry, on a thread of its own: a file may be slow. Any thread.
  void Audit(AuditEntry entry);
  /// The same for what a call came to, which began at `start_ns`.
  void AuditOutcome(AuditEntry entry, const absl::Status& status, int64_t start_ns);
  /// For what only a handler can see: tells the audit log of a refusal, and passes the status on.
  absl::Status RefuseDisplay(const Caller& caller, std::string_view method,
                             std::string_view display_id, absl::Status status);
  /// An entry with what is known of a caller.
  static AuditEntry EntryFor(const Caller& caller, const MethodRule& rule, AuditEvent event);

  /// One more of `what` for the caller; `instead_of` as ShareKeeper::Take says. RESOURCE_EXHAUSTED,
  /// and the audit log hears of it.
  absl::StatusOr<ShareHold> TakeShare(const Caller& caller, const MethodRule& rule, Shared what,
                                      ShareHold* instead_of = nullptr);

  /// When what the caller has ends, monotonic; nothing if it does not.
  std::optional<int64_t> EndOf(const Caller& caller) const;

  const AccessPolicy& policy() const { return *parts_.policy; }
  TicketStore& tickets() { return *parts_.tickets; }
  const AuditLog* audit_log() const { return parts_.audit; }

 private:
  absl::StatusOr<Caller> Identify(const grpc::ServerContext& context, const MethodRule& rule);
  absl::Status TakeTicket(const MethodRule& rule, Caller& caller);
  absl::Status RefuseTicket(const Caller& caller, const MethodRule& rule);
  /// Tells the audit log, and passes the status on.
  absl::Status Refuse(const Caller& caller, const MethodRule& rule, std::string_view display_id,
                      absl::Status status);

  const Parts parts_;
  PeerReader peers_;
  TryLimiter limiter_;
  WorkerPool audit_worker_;
};

}  // namespace planecast
