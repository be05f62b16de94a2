#include "service/rpc/grpc_gate.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "planecast/v1/access.pb.h"
#include "service/core/display_name.h"
#include "service/core/reason.h"

namespace planecast {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

constexpr char kTicketMetadata[] = "authorization";
constexpr char kViewerMetadata[] = "planecast-viewer-id";
constexpr absl::string_view kScheme = "Bearer ";
constexpr absl::string_view kOurPackage = "planecast.v1.";
/// Lines that may wait for the audit log's thread, a few seconds of a hung disk; more are lost, and
/// counted: no stream waits for a disk.
constexpr size_t kAuditWaitMax = 4096;
constexpr int64_t kSecondNs = 1'000'000'000;
/// A hundred years: certificates of no end are no reason for an overflow.
constexpr int64_t kLongestS = int64_t{100} * 366 * 24 * 3600;

/// Methods that every caller may use: a load balancer asks for health before it has any right.
constexpr absl::string_view kOpenService = "grpc.health.v1.Health.";
/// What the contract is, is told to whoever may use some of it.
constexpr absl::string_view kReflection = "grpc.reflection.";

/// What is told of calls that were let in, by method. Streams and tickets tell more, themselves.
constexpr std::pair<std::string_view, AuditEvent> kEventsByMethod[] = {
    {"DisplayService.AttachDisplay", AuditEvent::kDisplayAttach},
    {"DisplayService.DetachDisplay", AuditEvent::kDisplayDetach},
    {"DisplayService.UpdateDisplay", AuditEvent::kDisplayUpdate},
    {"DisplayService.SetDisplayMode", AuditEvent::kModeChange},
    {"DisplayService.GetSnapshot", AuditEvent::kSnapshot},
    {"ViewerService.EndViewer", AuditEvent::kViewerEnd},
};

MethodScope ToScope(v1::AccessScope scope) {
  switch (scope) {
    case v1::ACCESS_SCOPE_DISPLAY:
      return MethodScope::kDisplay;
    case v1::ACCESS_SCOPE_ANY:
      return MethodScope::kAny;
    default:
      return MethodScope::kHost;
  }
}

/// Empty if the path leads nowhere.
std::vector<const FieldDescriptor*> FieldPath(const Descriptor& message, const std::string& path) {
  std::vector<const FieldDescriptor*> fields;
  const Descriptor* at = &message;
  for (const absl::string_view part : absl::StrSplit(path, '.', absl::SkipEmpty())) {
    const FieldDescriptor* field = at == nullptr ? nullptr : at->FindFieldByName(std::string(part));
    if (field == nullptr) return {};
    fields.push_back(field);
    at = field->message_type();
  }
  return fields;
}

std::string FirstMetadata(const grpc::ServerContext& context, const char* key, int* count) {
  const auto& metadata = context.client_metadata();
  const auto [begin, end] = metadata.equal_range(key);
  *count = static_cast<int>(std::distance(begin, end));
  return begin == end ? std::string() : std::string(begin->second.data(), begin->second.size());
}

/// The id in `displays/{display}` and in names that begin so.
absl::StatusOr<std::string> DisplayIdIn(std::string_view name) {
  const size_t collection = name.find('/');
  const size_t end =
      collection == std::string_view::npos ? collection : name.find('/', collection + 1);
  return DisplayIdFromName(name.substr(0, end));
}

/// The names that a request's field has.
std::vector<std::string> NamesIn(const Message& request,
                                 const std::vector<const FieldDescriptor*>& path) {
  const Message* at = &request;
  for (size_t i = 0; i + 1 < path.size(); ++i) at = &at->GetReflection()->GetMessage(*at, path[i]);
  const FieldDescriptor* field = path.back();
  const auto* reflection = at->GetReflection();
  if (!field->is_repeated()) return {reflection->GetString(*at, field)};
  std::vector<std::string> names;
  for (int i = 0; i < reflection->FieldSize(*at, field); ++i) {
    names.push_back(reflection->GetRepeatedString(*at, field, i));
  }
  return names;
}

std::string Text(absl::string_view text) {
  return std::string(text);
}

std::string NameOf(Permission permission) {
  return std::string(PermissionName(permission));
}

absl::Status NoCredentials(const Peer& peer) {
  if (peer.certificate.has_value()) {
    return WithReason(
        absl::PermissionDeniedError(absl::StrCat("the certificate ", peer.certificate->subject,
                                                 " has no right here: the server's config binds "
                                                 "certificates to roles, or use a ticket")),
        "PERMISSION_MISSING");
  }
  return WithReason(absl::UnauthenticatedError(
                        "nobody is let in here without a ticket or a bound certificate or uid: "
                        "'planecast ticket' on the host makes one"),
                    "CREDENTIALS_MISSING");
}

int64_t WallNowSeconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

bool HasExpired(const CertificateIdentity& certificate) {
  return WallNowSeconds() > certificate.not_after_s;
}

absl::Status CertificateExpired() {
  return WithReason(absl::UnauthenticatedError("the client certificate has expired"),
                    "CREDENTIALS_MISSING");
}

absl::Status TicketInvalid() {
  return WithReason(absl::UnauthenticatedError(
                        "the ticket is unknown, expired, used or revoked: ask for a new one"),
                    "TICKET_INVALID");
}

}  // namespace

MethodRule RuleOf(std::string_view full_method_name) {
  const absl::string_view name(full_method_name.data(), full_method_name.size());
  MethodRule rule;
  rule.method = Text(name);
  if (absl::StartsWith(name, kOpenService)) {
    rule.scope = MethodScope::kOpen;
    return rule;
  }
  if (absl::StartsWith(name, kReflection)) {
    rule.scope = MethodScope::kAny;
    rule.permission = Permission::kList;
    rule.only_reads = true;
    return rule;
  }
  const MethodDescriptor* method = DescriptorPool::generated_pool()->FindMethodByName(Text(name));
  if (method == nullptr || !absl::StartsWith(name, kOurPackage) ||
      !method->options().HasExtension(v1::access)) {
    return rule;
  }
  rule.method = Text(name.substr(kOurPackage.size()));
  const v1::MethodAccess& access = method->options().GetExtension(v1::access);
  rule.scope = ToScope(access.scope());
  if (access.permission() != v1::PERMISSION_UNSPECIFIED) {
    rule.permission = static_cast<Permission>(access.permission());
  }
  rule.display_field = FieldPath(*method->input_type(), access.display_field());
  rule.only_reads =
      method->options().idempotency_level() == google::protobuf::MethodOptions::NO_SIDE_EFFECTS;
  rule.viewer_stream = method->server_streaming() && rule.permission == Permission::kWatch;
  for (const auto& [told, event] : kEventsByMethod) {
    if (rule.method == told) rule.event = event;
  }
  return rule;
}

GrpcGate::GrpcGate(Parts parts, PeerReader peers)
    : parts_(std::move(parts)),
      peers_(std::move(peers)),
      limiter_(*parts_.clock, {}),
      audit_worker_(1, kAuditWaitMax) {}

GrpcGate::~GrpcGate() = default;

absl::StatusOr<Caller> GrpcGate::Admit(const grpc::ServerContext& context, const MethodRule& rule) {
  if (rule.scope == MethodScope::kOpen) {
    Caller nobody;
    nobody.peer = peers_.Read(context.auth_context().get(), context.peer());
    return nobody;
  }
  auto caller = Identify(context, rule);
  if (!caller.ok()) return caller;
  const bool allowed = rule.scope == MethodScope::kHost
                           ? caller->rights.AllowsEverywhere(rule.permission)
                           : caller->rights.AllowsSomewhere(rule.permission);
  if (allowed) return caller;
  return Refuse(*caller, rule, "",
                WithReason(absl::PermissionDeniedError(absl::StrCat(
                               caller->principal.name, " may not ", rule.method, ": that needs ",
                               NameOf(rule.permission),
                               rule.scope == MethodScope::kHost ? " on all displays" : "")),
                           "PERMISSION_MISSING"));
}

absl::StatusOr<Caller> GrpcGate::Identify(const grpc::ServerContext& context,
                                          const MethodRule& rule) {
  Caller caller;
  caller.peer = peers_.Read(context.auth_context().get(), context.peer());
  int viewer_ids = 0;
  caller.viewer_id = FirstMetadata(context, kViewerMetadata, &viewer_ids);
  int tickets = 0;
  const std::string credentials = FirstMetadata(context, kTicketMetadata, &tickets);
  if (tickets == 0) {
    // The connection may be older than that.
    if (caller.peer.certificate.has_value() && HasExpired(*caller.peer.certificate)) {
      return Refuse(caller, rule, "", CertificateExpired());
    }
    Identity identity = parts_.policy->Identify(caller.peer);
    caller.principal = std::move(identity.principal);
    caller.rights = std::move(identity.rights);
    if (!caller.rights.empty()) return caller;
    return Refuse(caller, rule, "", NoCredentials(caller.peer));
  }
  // Whoever shows a ticket is the ticket's holder and nobody else, also if it is no good.
  caller.principal = {Principal::Kind::kTicket, "ticket"};
  const absl::string_view text = credentials;
  if (tickets != 1 || viewer_ids > 1 || !absl::StartsWithIgnoreCase(text, kScheme)) {
    return RefuseTicket(caller, rule);
  }
  caller.secret = Text(text.substr(kScheme.size()));
  if (auto status = TakeTicket(rule, caller); !status.ok()) return status;
  return caller;
}

absl::Status GrpcGate::TakeTicket(const MethodRule& rule, Caller& caller) {
  if (!caller.peer.carries_tickets()) {
    return Refuse(
        caller, rule, "",
        WithReason(
            absl::UnauthenticatedError(
                "a ticket came in plain text over an address that other machines reach, and others "
                "may have read it: use TLS, and revoke this one"),
            "TICKET_ON_PLAIN_TEXT"));
  }
  auto checked = rule.viewer_stream ? parts_.tickets->CheckStream(caller.secret, caller.peer)
                                    : parts_.tickets->CheckCall(caller.secret, caller.viewer_id,
                                                                caller.peer, rule.only_reads);
  if (const auto* refusal = std::get_if<TicketRefusal>(&checked)) {
    if (*refusal == TicketRefusal::kInvalid) return RefuseTicket(caller, rule);
    return Refuse(caller, rule, "",
                  WithReason(absl::PermissionDeniedError(
                                 absl::StrCat(rule.method,
                                              " with a ticket needs a running stream: start one, "
                                              "and send its viewer_id as planecast-viewer-id")),
                             "TICKET_WITHOUT_STREAM"));
  }
  caller.ticket = std::get<TicketCall>(std::move(checked));
  caller.rights = caller.ticket->rights;
  caller.principal.name = absl::StrCat("ticket:", caller.ticket->ticket_id);
  return absl::OkStatus();
}

absl::Status GrpcGate::RefuseTicket(const Caller& caller, const MethodRule& rule) {
  if (limiter_.Failed(caller.peer.limit_key)) return Refuse(caller, rule, "", TicketInvalid());
  return Refuse(caller, rule, "",
                WithReason(absl::ResourceExhaustedError(
                               "too many tries with wrong tickets came from this address: wait"),
                           "TOO_MANY_TRIES"));
}

absl::Status GrpcGate::CheckRequest(const Caller& caller, const MethodRule& rule,
                                    const Message& request, std::vector<std::string>* display_ids) {
  for (const std::string& name : NamesIn(request, rule.display_field)) {
    auto id = DisplayIdIn(name);
    if (!id.ok()) return id.status();
    if (auto status = CheckDisplay(caller, rule, rule.permission, *id); !status.ok()) {
      return status;
    }
    display_ids->push_back(*std::move(id));
  }
  return absl::OkStatus();
}

absl::Status GrpcGate::CheckDisplay(const Caller& caller, const MethodRule& rule,
                                    Permission permission, std::string_view display_id) {
  if (caller.rights.Allows(permission, display_id)) return absl::OkStatus();
  // The same words whether there is such a display or not.
  return Refuse(caller, rule, display_id,
                WithReason(absl::PermissionDeniedError(absl::StrCat(
                               caller.principal.name, " has no right to ", NameOf(permission), " ",
                               DisplayNameFromId(display_id))),
                           "PERMISSION_MISSING"));
}

absl::StatusOr<SessionHold> GrpcGate::BeginStream(const Caller& caller, const MethodRule& rule,
                                                  std::string_view resumed_viewer_id,
                                                  const TicketDisplay& display) {
  if (!caller.ticket.has_value()) return SessionHold();
  auto begun = parts_.tickets->BeginStream(caller.secret, resumed_viewer_id, display, caller.peer);
  if (std::holds_alternative<TicketRefusal>(begun)) {
    return RefuseTicket(caller, rule);
  }
  return std::get<SessionHold>(std::move(begun));
}

absl::Status GrpcGate::CheckStart(const Caller& caller, const MethodRule& rule,
                                  std::string_view resumed_viewer_id) {
  if (!caller.ticket.has_value() ||
      parts_.tickets->CanBeginStream(caller.secret, resumed_viewer_id, caller.peer)) {
    return absl::OkStatus();
  }
  return RefuseTicket(caller, rule);
}

void GrpcGate::TellUse(const Caller& caller, const MethodRule& rule, std::string_view display_id) {
  AuditEntry entry = EntryFor(caller, rule, AuditEvent::kTicketUse);
  entry.display = std::string(display_id);
  Audit(std::move(entry));
}

absl::StatusOr<ShareHold> GrpcGate::TakeShare(const Caller& caller, const MethodRule& rule,
                                              Shared what, ShareHold* instead_of) {
  auto hold = parts_.shares.Take(what, HolderOf(caller.peer, caller.principal), instead_of);
  if (hold.ok()) return hold;
  return Refuse(caller, rule, "", WithReason(hold.status(), "LIMIT_REACHED"));
}

std::optional<int64_t> GrpcGate::EndOf(const Caller& caller) const {
  if (caller.ticket.has_value()) return caller.ticket->ends_ns;
  if (caller.principal.kind != Principal::Kind::kCertificate) return std::nullopt;
  const int64_t left_s = caller.peer.certificate->not_after_s - WallNowSeconds();
  return parts_.clock->NowNs() + std::clamp<int64_t>(left_s, 0, kLongestS) * kSecondNs;
}

absl::Status GrpcGate::CheckStill(const Caller& caller) {
  if (caller.principal.kind == Principal::Kind::kCertificate &&
      HasExpired(*caller.peer.certificate)) {
    return CertificateExpired();
  }
  if (!caller.ticket.has_value() || parts_.tickets->StillValid(*caller.ticket)) {
    return absl::OkStatus();
  }
  return TicketInvalid();
}

AuditEntry GrpcGate::EntryFor(const Caller& caller, const MethodRule& rule, AuditEvent event) {
  AuditEntry entry;
  entry.event = event;
  entry.principal = caller.principal.name;
  if (caller.ticket.has_value()) entry.ticket_id = caller.ticket->ticket_id;
  entry.peer = caller.peer.address;
  entry.limit_key = caller.peer.limit_key;
  entry.permission = NameOf(rule.permission);
  entry.method = rule.method;
  return entry;
}

absl::Status GrpcGate::Refuse(const Caller& caller, const MethodRule& rule,
                              std::string_view display_id, absl::Status status) {
  AuditEntry entry = EntryFor(caller, rule, AuditEvent::kRefusal);
  entry.display = std::string(display_id);
  entry.success = false;
  entry.reason = ReasonOf(status);
  Audit(std::move(entry));
  return status;
}

void GrpcGate::Audit(AuditEntry entry) {
  if (parts_.audit == nullptr) return;
  auto shared = std::make_shared<const AuditEntry>(std::move(entry));
  const bool taken =
      audit_worker_.Submit([audit = parts_.audit, shared] { audit->Write(*shared); });
  if (!taken) parts_.audit->CountLost();
}

void GrpcGate::AuditOutcome(AuditEntry entry, const absl::Status& status, int64_t start_ns) {
  entry.success = status.ok();
  if (!status.ok()) {
    entry.reason = ReasonOf(status);
    if (entry.reason.empty()) entry.reason = absl::StatusCodeToString(status.code());
  }
  entry.duration_ns = parts_.clock->NowNs() - start_ns;
  Audit(std::move(entry));
}

absl::Status GrpcGate::RefuseDisplay(const Caller& caller, std::string_view method,
                                     std::string_view display_id, absl::Status status) {
  MethodRule rule;
  rule.method = std::string(method);
  return Refuse(caller, rule, display_id, std::move(status));
}

}  // namespace planecast
