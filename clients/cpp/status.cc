#include "clients/cpp/status.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace planecast {
namespace {

std::string ExplainNoServer(const ServerAddress& server, const std::string& message) {
  return absl::StrCat(
      "no server at ", server.target, " (", message,
      "): is planecastd running? Set PLANECAST_SERVER or --server to reach another");
}

// Letters only and lower-case, so that `DEADLINE_EXCEEDED` equals `Deadline Exceeded`.
std::string Letters(std::string text) {
  const auto is_letter = [](char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); };
  text.erase(std::remove_if(text.begin(), text.end(), [&](char c) { return !is_letter(c); }),
             text.end());
  return absl::AsciiStrToLower(text);
}

// gRPC itself has no more to say than the code where a connection ends under a call.
bool IsBare(const absl::Status& status) {
  const std::string letters = Letters(std::string(status.message()));
  return letters.empty() || letters == Letters(absl::StatusCodeToString(status.code())) ||
         letters == "canceled";
}

std::string ExplainBare(absl::StatusCode code, const std::string& server) {
  switch (code) {
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kAborted:
      return absl::StrCat(server,
                          " is shutting down or closed the connection: planecastd's log says why");
    case absl::StatusCode::kDeadlineExceeded:
      return absl::StrCat(server, " did not answer in time: a longer --timeout may help");
    case absl::StatusCode::kUnimplemented:
      return absl::StrCat(server,
                          " does not know this call: is it planecastd, and as new as this?");
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return absl::StrCat(server, " refused the call: check --ticket, --tls-cert and --tls-key");
    default:
      return absl::StrCat(server, " failed without saying why (", absl::StatusCodeToString(code),
                          "): planecastd's log may tell");
  }
}

std::string ExplainUnavailable(const std::string& message, const ServerAddress& server,
                               bool use_tls) {
  // These texts are gRPC's and OpenSSL's own; nothing else tells such failures apart. Their case
  // and spacing depend on the version.
  const std::string text = absl::StrReplaceAll(absl::AsciiStrToLower(message), {{"_", " "}});
  const auto says = [&text](absl::string_view part) { return absl::StrContains(text, part); };
  if (says("certificate verify failed")) {
    return absl::StrCat("the certificate of ", server.target,
                        " is not signed by a trusted CA: name its CA with --tls-ca");
  }
  if (says("wrong version number")) {
    return absl::StrCat(server.target,
                        " speaks plain text, not TLS: leave the TLS options out, or use "
                        "--insecure if the network is trusted");
  }
  if (says("handshake failed") || says("peer name")) {
    return absl::StrCat("no TLS with ", server.target, ": ", message,
                        "; check --tls-ca, --tls-cert, --tls-key and --tls-name");
  }
  if (says("no such file")) return ExplainNoServer(server, "no such socket");
  if (says("connection refused")) return ExplainNoServer(server, "connection refused");
  if (says("permission denied")) {
    return absl::StrCat("not allowed to connect to ", server.target,
                        ": run as its owner (root, where root started planecastd), be in the "
                        "group that --socket-group names, or take a ticket to viewers.sock beside "
                        "it, or to its TCP address");
  }
  if (says("failed to connect") && (says("socket closed") || says("connection reset"))) {
    const bool may_want_tls = !use_tls && !server.is_unix;
    return absl::StrCat(server.target, " closed the connection at once: ",
                        may_want_tls ? "if it wants TLS, use --tls-ca or --tls; else it " : "it ",
                        "refuses this ", server.is_unix ? "user" : "address",
                        " for now, for too many connections or for what came by them: wait a "
                        "minute; planecastd's log says why");
  }
  if (says("failed to connect") || says("dns resolution failed")) {
    return ExplainNoServer(server, message);
  }
  if (says("socket closed") || says("connection reset")) {
    return absl::StrCat("the connection to ", server.target, " broke");
  }
  return message;
}

// The server's words, and what to do where the caller's right is at fault.
std::string ExplainReason(const absl::Status& status, const ServerAddress& address) {
  const std::string& server = address.target;
  std::string message(status.message());
  switch (ReasonOf(status)) {
    case v1::ERROR_REASON_CREDENTIALS_MISSING:
      return absl::StrCat(server, " lets nobody in without a ticket",
                          address.is_unix ? "" : " or a certificate",
                          ": get one with 'planecast ticket NAME' on the host and pass it with "
                          "--ticket-file or PLANECAST_TICKET");
    case v1::ERROR_REASON_TICKET_INVALID:
      return absl::StrCat(server,
                          " does not take the ticket, which is unknown, expired, used up or "
                          "revoked: get a new one with 'planecast ticket NAME' on the host");
    case v1::ERROR_REASON_TICKET_ON_PLAIN_TEXT:
      return absl::StrCat(
          server,
          " got the ticket in plain text on an address for other machines, so "
          "others may have it too: revoke it with 'planecast revoke', and use TLS with a new one");
    case v1::ERROR_REASON_TOO_MANY_TRIES:
      return absl::StrCat(server,
                          " refuses this machine for a while, because too many wrong tickets came "
                          "from it: check the ticket and try again later");
    case v1::ERROR_REASON_PERMISSION_MISSING:
      return absl::StrCat(message,
                          "; ask an operator for a ticket whose role allows it, from 'planecast "
                          "ticket --role'");
    case v1::ERROR_REASON_TICKET_WITHOUT_STREAM:
      return "a ticket allows this only to who streams the display meanwhile: ask an operator to "
             "do it";
    case v1::ERROR_REASON_GRANT_EXCEEDS_OWN:
      return absl::StrCat(message,
                          "; nobody gives more than he has: take a smaller role, fewer displays or "
                          "a shorter --session-max");
    default:
      return message;
  }
}

// An error of the server's own, which says why.
absl::Status FromServer(const grpc::Status& status, const rpc::v1::ErrorInfo& info,
                        const ServerAddress& server) {
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  absl::Status told(code, status.error_message());
  SetErrorInfo(info, told);
  absl::Status explained(code, ExplainReason(told, server));
  SetErrorInfo(info, explained);
  return explained;
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status, const ServerAddress& server, bool use_tls) {
  if (status.ok()) return absl::OkStatus();
  rpc::v1::ErrorInfo info;
  if (ParseErrorInfo(status.error_details(), info)) return FromServer(status, info, server);
  // The two code spaces are equal number by number.
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  if (IsBare({code, status.error_message()})) return {code, ExplainBare(code, server.target)};
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      return {code, ExplainUnavailable(status.error_message(), server, use_tls)};
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return {code, absl::StrCat(server.target, " did not answer in time (", status.error_message(),
                                 "); a longer --timeout may help")};
    case grpc::StatusCode::UNIMPLEMENTED:
      return {code,
              absl::StrCat(server.target, " does not know this call (", status.error_message(),
                           "): is it planecastd, and as new as this?")};
    default:
      return {code, status.error_message()};
  }
}

}  // namespace planecast
