#include "service/rpc/listen.h"

#include <grpcpp/security/server_credentials.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "service/config/config.h"
#include "service/process/user.h"
#include "service/rpc/connection_guard.h"
#include "service/sockets/host_port.h"

namespace planecast {
namespace {

constexpr std::streamsize kPemMaxBytes = 1 << 20;

absl::StatusOr<std::string> ReadPem(const char* what, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const int error = errno;
    const std::string user =
        error == EACCES ? absl::StrCat(" as ", DescribeUser(geteuid()),
                                       ", who must be able to read it (chgrp it, mode 0640)")
                        : "";
    return absl::ErrnoToStatus(error, absl::StrCat("can't open the ", what, " ", path, user));
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

template <auto kFree>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;

// gRPC would find out only when a client comes, and only log it.
absl::Status CheckKeyPair(const std::string& certificate, const std::string& key,
                          const config::v1::TlsConfig& tls) {
  const Bio certificate_bio(
      BIO_new_mem_buf(certificate.data(), static_cast<int>(certificate.size())));
  const Bio key_bio(BIO_new_mem_buf(key.data(), static_cast<int>(key.size())));
  const std::unique_ptr<X509, Freed<X509_free>> x509(
      PEM_read_bio_X509(certificate_bio.get(), nullptr, nullptr, nullptr));
  const std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>> pkey(
      PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  absl::Status status;
  if (x509 == nullptr) {
    status = absl::InvalidArgumentError(
        absl::StrCat("the certificate ", tls.certificate_path(), " can't be parsed"));
  } else if (pkey == nullptr) {
    status = absl::InvalidArgumentError(
        absl::StrCat("the private key ", tls.private_key_path(), " can't be parsed"));
  } else if (X509_check_private_key(x509.get(), pkey.get()) != 1) {
    status = absl::InvalidArgumentError(
        absl::StrCat("the certificate ", tls.certificate_path(), " and the private key ",
                     tls.private_key_path(), " do not belong together"));
  }
  ERR_clear_error();
  return status;
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(
    const config::v1::Listener& listener, int index, ConnectionGuard& guard) {
  auto address = ParseHostPort(listener.address());
  if (!address.ok()) return address.status();
  auto credentials = grpc::InsecureServerCredentials();
  if (listener.has_tls()) {
    auto tls = MakeTlsCredentials(listener.tls());
    if (!tls.ok()) return tls.status();
    credentials = *std::move(tls);
  } else if (TellsItsCalls(listener)) {
    // Plain text, for loopback alone, with a context that can be stamped.
    credentials = grpc::experimental::LocalServerCredentials(LOCAL_TCP);
  }
  if (TellsItsCalls(listener)) {
    const Door door = IsLoopbackHost(address->host) ? Door::kLoopback : Door::kRemote;
    StampConnections(*credentials,
                     std::make_shared<DoorStamp>(DoorIdentity{door, std::nullopt, index}),
                     [&guard](const DoorIdentity& identity) { return guard.AdmitCall(identity); });
  }
  return credentials;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeTlsCredentials(
    const config::v1::TlsConfig& tls) {
  auto certificate = ReadPem("certificate", tls.certificate_path());
  if (!certificate.ok()) return certificate.status();
  auto key = ReadPem("private key", tls.private_key_path());
  if (!key.ok()) return key.status();
  if (auto status = CheckKeyPair(*certificate, *key, tls); !status.ok()) return status;
  grpc::SslServerCredentialsOptions options(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  options.pem_key_cert_pairs.push_back({*std::move(key), *std::move(certificate)});
  if (!tls.client_ca_path().empty()) {
    auto ca = ReadPem("client CA", tls.client_ca_path());
    if (!ca.ok()) return ca.status();
    options.pem_root_certs = *std::move(ca);
    options.client_certificate_request =
        tls.client_certificate() == config::v1::TlsConfig::CLIENT_CERTIFICATE_OPTIONAL
            ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY
            : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  return grpc::SslServerCredentials(options);
}

PeerReader MakePeerReader(const config::v1::ServerConfig& config) {
  std::vector<ListenerFacts> listeners;
  std::optional<std::string> plain_remote_role;
  for (const config::v1::Listener& listener : config.listeners()) {
    listeners.push_back({listener.has_tls(), listener.anonymous_role()});
    if (TellsItsCalls(listener)) continue;
    if (!plain_remote_role.has_value()) plain_remote_role = listener.anonymous_role();
    // No config that was checked has two roles here. If one had, nobody would get the other's.
    if (*plain_remote_role != listener.anonymous_role()) plain_remote_role = "";
  }
  return {std::move(listeners), plain_remote_role.value_or("")};
}

absl::Status ListenAddresses::Bind(const config::v1::ServerConfig& config,
                                   const std::vector<uint32_t>& bound_uids) {
  auto status = BindUnix({Fd(), Door::kOperatorSocket, config.socket_path(), std::nullopt},
                         UnixSocketAccess::Group(config.socket_group()));
  if (!status.ok()) return status;
  if (config.viewer_socket_path() != kNoSocket) {
    status = BindUnix({Fd(), Door::kViewerSocket, config.viewer_socket_path(), bound_uids},
                      UnixSocketAccess::Everybody());
    if (!status.ok()) return status;
  }
  for (const config::v1::Listener& listener : config.listeners()) {
    if (status = BindTcp(listener); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ListenAddresses::BindUnix(UnixListener listener, const UnixSocketAccess& access) {
  auto socket = ListenOnUnix(listener.path, access);
  if (!socket.ok()) {
    return absl::Status(socket.status().code(), absl::StrCat("can't listen on unix:", listener.path,
                                                             ": ", socket.status().message()));
  }
  listener.socket = *std::move(socket);
  bound_.push_back({absl::StrCat("unix:", listener.path), 0, false});
  bound_unix_.push_back(std::move(listener));
  return absl::OkStatus();
}

absl::Status ListenAddresses::BindTcp(const config::v1::Listener& listener) {
  // Checked again here: the last place before a port is open.
  if (auto status = CheckPlainText(listener); !status.ok()) return status;
  auto address = ParseHostPort(listener.address());
  if (!address.ok()) return address.status();
  auto tcp = ListenOnTcp(listener.address());
  if (!tcp.ok()) {
    return absl::UnavailableError(
        absl::StrCat("can't listen on ", listener.address(), ": ", tcp.status().message()));
  }
  const std::string host =
      address->is_ipv6_literal ? absl::StrCat("[", address->host, "]") : address->host;
  bound_.push_back({absl::StrCat(host, ":", tcp->port), tcp->port, listener.has_tls()});
  bound_tcp_.push_back({*std::move(tcp), nullptr});
  return absl::OkStatus();
}

absl::Status ListenAddresses::ReadCertificates(const config::v1::ServerConfig& config) {
  for (int i = 0; i < config.listeners_size(); ++i) {
    auto credentials = MakeCredentials(config.listeners(i), i, guard_);
    if (!credentials.ok()) return credentials.status();
    BoundTcp& bound = bound_tcp_.at(static_cast<size_t>(i));
    bound.credentials = *std::move(credentials);
    if (TellsItsCalls(config.listeners(i))) bound.index = i;
  }
  return absl::OkStatus();
}

void ListenAddresses::AddTo(grpc::ServerBuilder& builder) {
  for (UnixListener& listener : bound_unix_) unix_.Add(builder, std::move(listener));
  for (BoundTcp& tcp : bound_tcp_) {
    tcp_.Add(builder, std::move(tcp.listener), std::move(tcp.credentials), tcp.index);
  }
  bound_unix_.clear();
  bound_tcp_.clear();
}

absl::Status ListenAddresses::Start() {
  if (auto status = unix_.Start(); !status.ok()) return status;
  return tcp_.Start();
}

void ListenAddresses::Stop() {
  tcp_.Stop();
  unix_.Stop();
}

}  // namespace planecast
