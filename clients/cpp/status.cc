#include "clients/cpp/status.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

std::string ExplainNoServer(const ServerAddress& server, const std::string& message) {
  return absl::StrCat(
      "no server at ", server.target, " (", message,
      "): is planecastd running? Set PLANECAST_SERVER or --server to reach another");
}

std::string ExplainUnavailable(const std::string& message, const ServerAddress& server,
                               bool use_tls) {
  // These texts are gRPC's own; nothing else tells such failures apart.
  if (absl::StrContains(message, "CERTIFICATE_VERIFY_FAILED")) {
    return absl::StrCat("the certificate of ", server.target,
                        " is not signed by a trusted CA: name its CA with --tls-ca");
  }
  if (absl::StrContains(message, "WRONG_VERSION_NUMBER")) {
    return absl::StrCat(server.target,
                        " speaks plain text, not TLS: leave the TLS options out, or use "
                        "--insecure if the network is trusted");
  }
  if (absl::StrContains(message, "handshake failed") || absl::StrContains(message, "peer name")) {
    return absl::StrCat("no TLS with ", server.target, ": ", message,
                        "; check --tls-ca, --tls-cert, --tls-key and --tls-name");
  }
  if (absl::StrContains(message, "No such file")) {
    return ExplainNoServer(server, "no such socket");
  }
  if (absl::StrContains(message, "Permission denied")) {
    return absl::StrCat("not allowed to connect to ", server.target,
                        ": run as the user that planecastd runs as, or use its TCP address");
  }
  if (absl::StrContains(message, "Connection refused")) {
    return ExplainNoServer(server, "connection refused");
  }
  if (absl::StrContains(message, "DNS resolution failed") ||
      absl::StrContains(message, "failed to connect to all addresses")) {
    return ExplainNoServer(server, message);
  }
  if (!use_tls && !server.is_unix && absl::StrContains(message, "Socket closed")) {
    return absl::StrCat("the connection to ", server.target,
                        " was closed at once: if the server wants TLS, use --tls-ca or --tls");
  }
  return message;
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status, const ServerAddress& server, bool use_tls) {
  if (status.ok()) return absl::OkStatus();
  // The two code spaces are equal number by number.
  const auto code = static_cast<absl::StatusCode>(status.error_code());
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
