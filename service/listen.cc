#include "service/listen.h"

#include <grpcpp/security/server_credentials.h>
#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "service/config.h"
#include "vfio/fd.h"

namespace planecast {
namespace {

constexpr std::streamsize kPemMaxBytes = 1 << 20;

absl::StatusOr<std::string> ReadPem(const char* what, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't open the ", what, " ", path));
  }
  std::string text(kPemMaxBytes, '\0');
  file.read(text.data(), kPemMaxBytes);
  text.resize(static_cast<size_t>(file.gcount()));
  if (!absl::StrContains(text, "-----BEGIN ")) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", what, " ", path, " is no PEM file (no -----BEGIN line)"));
  }
  return text;
}

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

/// Why a TCP address can't be bound, or empty if it can: gRPC only logs it.
std::string WhyNotBound(const std::string& address) {
  auto parts = ParseHostPort(address);
  if (!parts.ok()) return std::string(parts.status().message());
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(parts->port);
  if (const int error = getaddrinfo(parts->host.c_str(), port.c_str(), &hints, &found);
      error != 0) {
    return gai_strerror(error);
  }
  const std::unique_ptr<addrinfo, FreeAddresses> owned(found);
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    const Fd fd(KernelSys(), socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int reuse = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
    if (!fd.valid() || bind(fd.get(), entry->ai_addr, entry->ai_addrlen) != 0 ||
        listen(fd.get(), 1) != 0) {
      return std::strerror(errno);
    }
  }
  return "";
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeTlsCredentials(
    const config::v1::TlsConfig& tls) {
  auto certificate = ReadPem("certificate", tls.certificate_path());
  if (!certificate.ok()) return certificate.status();
  auto key = ReadPem("private key", tls.private_key_path());
  if (!key.ok()) return key.status();
  grpc::SslServerCredentialsOptions options(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  options.pem_key_cert_pairs.push_back({*std::move(key), *std::move(certificate)});
  if (!tls.client_ca_path().empty()) {
    auto ca = ReadPem("client CA", tls.client_ca_path());
    if (!ca.ok()) return ca.status();
    options.pem_root_certs = *std::move(ca);
    options.client_certificate_request = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  return grpc::SslServerCredentials(options);
}

absl::Status ListenAddresses::AddTo(grpc::ServerBuilder& builder,
                                    const config::v1::ServerConfig& config) {
  Wish& socket = wishes_.emplace_back();
  socket.address = absl::StrCat("unix:", config.socket_path());
  socket.is_unix = true;
  // The socket's file mode decides who may connect.
  builder.AddListeningPort(socket.address, grpc::InsecureServerCredentials(), &socket.port);

  for (const config::v1::Listener& listener : config.listeners()) {
    // Checked again here: the last place before a port is open.
    if (auto status = CheckPlainText(listener); !status.ok()) return status;
    auto address = ParseHostPort(listener.address());
    if (!address.ok()) return address.status();
    auto credentials = grpc::InsecureServerCredentials();
    if (listener.has_tls()) {
      auto tls = MakeTlsCredentials(listener.tls());
      if (!tls.ok()) return tls.status();
      credentials = *std::move(tls);
    }
    Wish& wish = wishes_.emplace_back();
    wish.host = address->is_ipv6_literal ? absl::StrCat("[", address->host, "]") : address->host;
    wish.address = listener.address();
    wish.tls = listener.has_tls();
    builder.AddListeningPort(wish.address, std::move(credentials), &wish.port);
  }
  return absl::OkStatus();
}

absl::Status ListenAddresses::BindError() const {
  for (const Wish& wish : wishes_) {
    if (wish.port != 0) continue;
    // The builder stops at the first address that fails.
    std::string why = wish.is_unix ? "is its directory writable?" : WhyNotBound(wish.address);
    if (why.empty() && wish.tls) why = "its certificate and private key do not belong together";
    if (why.empty()) why = "try again";
    return absl::UnavailableError(absl::StrCat("can't listen on ", wish.address, ": ", why));
  }
  return absl::InternalError("the gRPC server did not start");
}

std::vector<BoundAddress> ListenAddresses::Bound() const {
  std::vector<BoundAddress> bound;
  for (const Wish& wish : wishes_) {
    if (wish.is_unix) {
      bound.push_back({wish.address, 0, false});
    } else {
      bound.push_back({absl::StrCat(wish.host, ":", wish.port), wish.port, wish.tls});
    }
  }
  return bound;
}

}  // namespace planecast
