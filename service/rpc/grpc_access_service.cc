#include "service/rpc/grpc_access_service.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "service/core/display_name.h"
#include "service/core/reason.h"

namespace planecast {
namespace {

using google::protobuf::util::TimeUtil;

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kStartTtlDefaultNs = 60 * kSecondNs;
constexpr int64_t kStartTtlMaxNs = 24 * 3600 * kSecondNs;
constexpr int64_t kSessionDefaultNs = 12 * 3600 * kSecondNs;
constexpr int64_t kSessionMaxNs = 30 * 24 * 3600 * kSecondNs;
constexpr size_t kNoteMaxBytes = 200;
constexpr size_t kFingerprintDigits = 64;
constexpr char kCollection[] = "tickets/";
constexpr char kCreateTicket[] = "AccessService.CreateTicket";
constexpr int kTicketPageDefault = 100;
constexpr int kTicketPageMax = 1000;

absl::StatusOr<int64_t> ToNs(bool given, const google::protobuf::Duration& duration,
                             const char* field, int64_t default_ns, int64_t max_ns) {
  if (!given) return default_ns;
  // Seconds first: nanoseconds of a hostile number overflow.
  const bool sane = duration.seconds() >= 0 && duration.seconds() <= max_ns / kSecondNs &&
                    duration.nanos() >= 0 && duration.nanos() < kSecondNs;
  const int64_t ns = sane ? duration.seconds() * kSecondNs + duration.nanos() : 0;
  if (sane && ns >= kSecondNs && ns <= max_ns) return ns;
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is out of range; use 1 s to ", max_ns / kSecondNs, " s"));
}

absl::StatusOr<std::string> ToFingerprint(const std::string& text) {
  const std::string digits = absl::AsciiStrToLower(absl::StrReplaceAll(text, {{":", ""}}));
  const bool hexadecimal = std::all_of(digits.begin(), digits.end(), [](char c) {
    return absl::ascii_isxdigit(static_cast<unsigned char>(c));
  });
  if (text.empty() || (digits.size() == kFingerprintDigits && hexadecimal)) return digits;
  return absl::InvalidArgumentError(
      "certificate_sha256 is no SHA-256 fingerprint: 64 hexadecimal digits, as 'openssl x509 "
      "-noout -fingerprint -sha256' prints them");
}

absl::Status CheckNote(const std::string& note) {
  const bool clean = std::none_of(note.begin(), note.end(), [](char c) {
    return absl::ascii_iscntrl(static_cast<unsigned char>(c));
  });
  if (note.size() <= kNoteMaxBytes && clean) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("note is malformed; use at most ", kNoteMaxBytes,
                                                 " bytes without control characters"));
}

/// All of a ticket's displays are the caller's to manage.
bool Manages(const Caller& caller, const TicketInfo& info) {
  return std::all_of(
      info.spec.displays.begin(), info.spec.displays.end(),
      [&](const auto& display) { return caller.rights.Allows(Permission::kManage, display.id); });
}

}  // namespace

void GrpcAccessService::AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue) {
  builder.RegisterService(this);
  gate_ = &queue.gate();
  AddUnary(
      queue, "planecast.v1.AccessService.CreateTicket", HandlerThread::kQueue, this,
      &GrpcAccessService::RequestCreateTicket, [this](const auto& exchange) {
        exchange->Finish(Create(exchange->request(), exchange->caller(), exchange->response()));
      });
  AddUnary(queue, "planecast.v1.AccessService.ListTickets", HandlerThread::kWorker, this,
           &GrpcAccessService::RequestListTickets, [this](const auto& exchange) {
             exchange->Finish(List(exchange->request(), exchange->caller(), exchange->response()));
           });
  AddUnary(queue, "planecast.v1.AccessService.RevokeTicket", HandlerThread::kQueue, this,
           &GrpcAccessService::RequestRevokeTicket, [this](const auto& exchange) {
             exchange->Finish(Revoke(exchange->request(), exchange->caller()));
           });
}

absl::StatusOr<TicketSpec> GrpcAccessService::ToSpec(const v1::CreateTicketRequest& request,
                                                     const Caller& caller) {
  if (request.displays().empty() ||
      request.displays_size() > static_cast<int>(kTicketDisplaysMax)) {
    return absl::InvalidArgumentError(
        absl::StrCat("displays: name 1 to ", kTicketDisplaysMax, " of them"));
  }
  TicketSpec spec;
  spec.role = request.role().empty() ? "viewer" : request.role();
  auto permissions = gate_->policy().roles().Find(spec.role);
  if (!permissions.ok()) return absl::InvalidArgumentError(permissions.status().message());
  spec.permissions = *permissions;
  std::set<std::string> ids;
  for (const std::string& name : request.displays()) {
    auto id = DisplayIdFromName(name);
    if (!id.ok()) return id.status();
    if (!ids.insert(*id).second) continue;
    const auto display = registry_.Last(*id);
    if (!display.has_value()) {
      return WithReason(absl::NotFoundError(absl::StrCat("no display ", *id, " is attached")),
                        "DISPLAY_NOT_FOUND");
    }
    if (display->state.state == DisplayState::kAttaching) {
      return WithReason(
          absl::UnavailableError(absl::StrCat("display ", *id, " is still being attached")),
          "DISPLAY_ATTACHING");
    }
    if (auto status = CheckGrant(caller, *id, spec); !status.ok()) return status;
    spec.displays.push_back({*std::move(id), display->uid});
  }
  auto ttl = ToNs(request.has_start_ttl(), request.start_ttl(), "start_ttl", kStartTtlDefaultNs,
                  kStartTtlMaxNs);
  if (!ttl.ok()) return ttl.status();
  auto session = ToNs(request.has_session_max(), request.session_max(), "session_max",
                      kSessionDefaultNs, kSessionMaxNs);
  if (!session.ok()) return session.status();
  auto fingerprint = ToFingerprint(request.certificate_sha256());
  if (!fingerprint.ok()) return fingerprint.status();
  if (auto status = CheckNote(request.note()); !status.ok()) return status;
  if (request.uses() < 0 || request.uses() > kTicketUsesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("uses is out of range; use 1 to ", kTicketUsesMax));
  }
  spec.start_ttl_ns = *ttl;
  spec.session_max_ns = *session;
  spec.uses = request.uses() == 0 ? 1 : request.uses();
  spec.certificate_sha256 = *std::move(fingerprint);
  spec.note = request.note();
  spec.issuer = caller.principal.name;
  spec.ends_ns = gate_->EndOf(caller);
  if (caller.ticket.has_value()) {
    spec.parent_id = caller.ticket->ticket_id;
    spec.parent_session = caller.ticket->session.value_or(0);
  }
  if (!spec.ends_ns.has_value()) return spec;
  // What is told of it is no more than what comes of it.
  const int64_t left_ns = *spec.ends_ns - wall_.monotonic().NowNs();
  spec.session_max_ns = std::min(spec.session_max_ns, left_ns);
  return spec;
}

absl::Status GrpcAccessService::CheckGrant(const Caller& caller, const std::string& display_id,
                                           const TicketSpec& spec) {
  const PermissionSet own = caller.rights.On(display_id);
  if (own.Contains(spec.permissions)) return absl::OkStatus();
  return gate_->RefuseDisplay(
      caller, kCreateTicket, display_id,
      WithReason(absl::PermissionDeniedError(absl::StrCat(
                     "role ", spec.role, " permits ", spec.permissions.ToString(), ", and ",
                     caller.principal.name, " has only ", own.ToString(), " on ",
                     DisplayNameFromId(display_id), ": nobody gives more than he has")),
                 "GRANT_EXCEEDS_OWN"));
}

absl::Status GrpcAccessService::Create(const v1::CreateTicketRequest& request, const Caller& caller,
                                       v1::CreateTicketResponse& response) {
  auto spec = ToSpec(request, caller);
  if (!spec.ok()) return spec.status();
  auto made = gate_->tickets().Create(*spec);
  if (!made.ok()) return made.status();
  for (const TicketDisplay& display : spec->displays) {
    const auto now = registry_.Last(display.id);
    if (now.has_value() && now->uid == display.uid) continue;
    // Detached meanwhile: nobody is to have a ticket for what is gone.
    gate_->tickets().Revoke(made->info.id);
    return WithReason(absl::NotFoundError(absl::StrCat("display ", display.id, " was detached")),
                      "DISPLAY_NOT_FOUND");
  }
  *response.mutable_ticket() = ToProto(made->info);
  response.set_secret(made->secret);
  Audit(AuditEvent::kTicketCreate, caller, kCreateTicket, made->info);
  return absl::OkStatus();
}

absl::Status GrpcAccessService::List(const v1::ListTicketsRequest& request, const Caller& caller,
                                     v1::ListTicketsResponse& response) {
  if (request.page_size() < 0) return absl::InvalidArgumentError("page_size is negative");
  const int size =
      request.page_size() == 0 ? kTicketPageDefault : std::min(request.page_size(), kTicketPageMax);
  bool found = request.page_token().empty();
  for (const TicketInfo& info : gate_->tickets().List()) {
    if (!found) {
      found = info.id == request.page_token();
      continue;
    }
    if (!Manages(caller, info)) continue;
    if (response.tickets_size() == size) {
      const std::string& last = response.tickets(size - 1).name();
      response.set_next_page_token(last.substr(sizeof(kCollection) - 1));
      break;
    }
    *response.add_tickets() = ToProto(info);
  }
  if (found) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "page_token is not one that a list of tickets gave, or that ticket is gone: begin anew");
}

absl::Status GrpcAccessService::Revoke(const v1::RevokeTicketRequest& request,
                                       const Caller& caller) {
  if (!absl::StartsWith(request.name(), kCollection)) {
    return absl::InvalidArgumentError(
        "a ticket's name is tickets/{ticket}, as ListTickets gives it");
  }
  const std::string id = request.name().substr(sizeof(kCollection) - 1);
  const auto info = gate_->tickets().Find(id);
  if (info.has_value() && Manages(caller, *info) && gate_->tickets().Revoke(id)) {
    Audit(AuditEvent::kTicketRevoke, caller, "AccessService.RevokeTicket", *info);
    return absl::OkStatus();
  }
  return WithReason(absl::NotFoundError("there is no such ticket"), "TICKET_NOT_FOUND");
}

v1::Ticket GrpcAccessService::ToProto(const TicketInfo& info) const {
  v1::Ticket ticket;
  ticket.set_name(kCollection + info.id);
  for (const TicketDisplay& display : info.spec.displays) {
    ticket.add_displays(DisplayNameFromId(display.id));
  }
  ticket.set_role(info.spec.role);
  for (int i = 1; i <= kPermissionLast; ++i) {
    if (info.spec.permissions.Has(static_cast<Permission>(i))) {
      ticket.add_permissions(static_cast<v1::Permission>(i));
    }
  }
  ticket.set_issuer(info.spec.issuer);
  ticket.set_note(info.spec.note);
  *ticket.mutable_create_time() = wall_.At(info.created_ns);
  *ticket.mutable_start_expire_time() = wall_.At(info.start_expires_ns);
  *ticket.mutable_session_max() = TimeUtil::NanosecondsToDuration(info.spec.session_max_ns);
  ticket.set_uses_left(info.uses_left);
  ticket.set_session_count(info.sessions);
  ticket.set_certificate_sha256(info.spec.certificate_sha256);
  return ticket;
}

void GrpcAccessService::Audit(AuditEvent event, const Caller& caller, const char* method,
                              const TicketInfo& info) {
  // One line for each display: who reads the story of one finds it.
  for (const TicketDisplay& display : info.spec.displays) {
    AuditEntry entry;
    entry.event = event;
    entry.principal = caller.principal.name;
    entry.ticket_id = info.id;
    entry.peer = caller.peer.address;
    entry.display = display.id;
    entry.permission = "MANAGE";
    entry.detail = absl::StrCat("role ", info.spec.role, " (", info.spec.permissions.ToString(),
                                "), uses ", info.spec.uses);
    if (!info.spec.note.empty()) absl::StrAppend(&entry.detail, ", note ", info.spec.note);
    entry.method = method;
    gate_->Audit(std::move(entry));
  }
}

}  // namespace planecast
