#include "service/rpc/door.h"

#include <arpa/inet.h>
#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_metadata_processor.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <mutex>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace planecast {
namespace {

constexpr char kStampProperty[] = "planecast_door";
/// Certificates kept; of more, all are read anew.
constexpr size_t kCertificatesMax = 256;

class Stamper final : public grpc::AuthMetadataProcessor {
 public:
  Stamper(std::shared_ptr<const DoorStamp> stamp, CallSieve sieve)
      : stamp_(std::move(stamp)), sieve_(std::move(sieve)) {}

  /// It waits for nobody: no thread of gRPC's is needed.
  bool IsBlocking() const override { return false; }

  grpc::Status Process(const InputMetadata& /*metadata*/, grpc::AuthContext* context,
                       OutputMetadata* /*consumed*/, OutputMetadata* /*response*/) override {
    if (sieve_ != nullptr && !sieve_(stamp_->identity())) {
      return {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many calls come at once; try again soon"};
    }
    // The context is the connection's. What its first call put there stays, whoever has the door
    // later.
    const std::lock_guard lock(mutex_);
    if (!context->FindPropertyValues(kStampProperty).empty()) return grpc::Status::OK;
    const DoorIdentity identity = stamp_->identity();
    const std::string uid = identity.uid.has_value() ? absl::StrCat(*identity.uid) : "-";
    context->AddProperty(kStampProperty, absl::StrCat(static_cast<int>(identity.door), " ", uid,
                                                      " ", identity.listener));
    return grpc::Status::OK;
  }

 private:
  const std::shared_ptr<const DoorStamp> stamp_;
  const CallSieve sieve_;
  /// gRPC locks nothing where two first calls of a connection come at once.
  std::mutex mutex_;
};

template <auto kFree>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>>;

std::string SubjectOf(const X509& certificate) {
  const Bio out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), X509_get_subject_name(&certificate), 0, XN_FLAG_RFC2253);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return size > 0 ? std::string(text, static_cast<size_t>(size)) : std::string();
}

std::string AddressOf(const ASN1_OCTET_STRING& octets) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = ASN1_STRING_length(&octets) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(&octets) != 16) return "";
  return inet_ntop(family, ASN1_STRING_get0_data(&octets), text.data(), text.size()) != nullptr
             ? text.data()
             : "";
}

/// Empty for a kind of name that no binding has.
std::string AlternativeName(const GENERAL_NAME& name) {
  const auto text = [](const char* kind, const ASN1_STRING* value) {
    return absl::StrCat(
        kind, absl::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                                static_cast<size_t>(ASN1_STRING_length(value))));
  };
  switch (name.type) {
    case GEN_DNS:
      return text("DNS:", name.d.dNSName);
    case GEN_URI:
      return text("URI:", name.d.uniformResourceIdentifier);
    case GEN_EMAIL:
      return text("email:", name.d.rfc822Name);
    case GEN_IPADD:
      return absl::StrCat("IP:", AddressOf(*name.d.iPAddress));
    default:
      return "";
  }
}

std::vector<std::string> AlternativeNamesOf(const X509& certificate) {
  std::vector<std::string> result;
  const Names names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    std::string name = AlternativeName(*sk_GENERAL_NAME_value(names.get(), i));
    // A zero byte in a name is a trick on whoever reads it as C text, and names are told in
    // messages that take no stray bytes.
    const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
      return absl::ascii_isprint(static_cast<unsigned char>(c));
    });
    if (!name.empty() && plain) result.push_back(std::move(name));
  }
  return result;
}

/// 0, long ago, if it can't be read.
int64_t LastSecondOf(const X509& certificate) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &parts) != 1) return 0;
  return timegm(&parts);
}

std::string FirstProperty(const grpc::AuthContext& context, const char* name) {
  const auto values = context.FindPropertyValues(name);
  return values.empty() ? std::string() : std::string(values[0].data(), values[0].size());
}

/// `10.0.0.3:5000` of `ipv4:10.0.0.3:5000`, `[::1]:5000` of `ipv6:%5B::1%5D:5000`.
std::string AddressOf(const std::string& peer_uri) {
  const size_t colon = peer_uri.find(':');
  if (colon == std::string::npos) return peer_uri;
  return absl::StrReplaceAll(peer_uri.substr(colon + 1), {{"%5B", "["}, {"%5D", "]"}});
}

}  // namespace

uint64_t DoorStamp::Pack(const DoorIdentity& identity) {
  const uint64_t uid = identity.uid.value_or(0);
  const uint64_t has_uid = identity.uid.has_value() ? 1 : 0;
  return uid | has_uid << 32 | static_cast<uint64_t>(identity.door) << 33 |
         static_cast<uint64_t>(identity.listener + 1) << 40;
}

DoorIdentity DoorStamp::Unpack(uint64_t word) {
  DoorIdentity identity;
  if ((word >> 32 & 1) != 0) identity.uid = static_cast<uint32_t>(word);
  identity.door = static_cast<Door>(word >> 33 & 0x7f);
  identity.listener = static_cast<int>(word >> 40) - 1;
  return identity;
}

void StampConnections(grpc::ServerCredentials& credentials, std::shared_ptr<const DoorStamp> stamp,
                      CallSieve sieve) {
  credentials.SetAuthMetadataProcessor(
      std::make_shared<Stamper>(std::move(stamp), std::move(sieve)));
}

std::optional<DoorIdentity> StampOf(const grpc::AuthContext* context) {
  if (context == nullptr) return std::nullopt;
  const std::string text = FirstProperty(*context, kStampProperty);
  int door = 0;
  char uid[16] = {};
  int listener = -1;
  if (std::sscanf(text.c_str(), "%d %15s %d", &door, uid, &listener) != 3) return std::nullopt;
  DoorIdentity identity{static_cast<Door>(door), std::nullopt, listener};
  uint32_t number = 0;
  if (absl::SimpleAtoi(uid, &number)) identity.uid = number;
  return identity;
}

std::optional<CertificateIdentity> ReadCertificate(const std::string& pem) {
  const Bio in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const Certificate certificate(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (certificate == nullptr) return std::nullopt;
  CertificateIdentity identity;
  identity.subject = SubjectOf(*certificate);
  identity.alternative_names = AlternativeNamesOf(*certificate);
  identity.not_after_s = LastSecondOf(*certificate);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (X509_digest(certificate.get(), EVP_sha256(), digest.data(), &size) != 1) return std::nullopt;
  identity.sha256 = absl::BytesToHexString({reinterpret_cast<const char*>(digest.data()), size});
  return identity;
}

std::string PeerAddressOf(const std::string& peer_uri) {
  std::string address = AddressOf(peer_uri);
  const size_t zone = address.find('%');
  const size_t end = address.find(']');
  if (zone < end && end != std::string::npos) address.erase(zone, end - zone);
  return address;
}

std::string LimitKeyOf(const std::string& peer_uri) {
  const std::string address = AddressOf(peer_uri);
  const size_t port = address.rfind(':');
  std::string host = address.substr(0, port);
  if (host.size() < 2 || host.front() != '[') return host;
  // Without the interface that a link-local address may name.
  host = host.substr(1, std::min(host.size() - 2, host.find('%') - 1));
  in6_addr parsed{};
  if (inet_pton(AF_INET6, host.c_str(), &parsed) != 1) return host;
  // Whoever has an IPv6 address has a /64 of them.
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (IN6_IS_ADDR_V4MAPPED(&parsed)) {
    return inet_ntop(AF_INET, parsed.s6_addr + 12, text.data(), text.size());
  }
  std::memset(parsed.s6_addr + 8, 0, 8);
  return absl::StrCat(inet_ntop(AF_INET6, &parsed, text.data(), text.size()), "/64");
}

Peer PeerReader::Read(const grpc::AuthContext* context, const std::string& peer_uri) {
  Peer peer;
  const std::optional<DoorIdentity> stamp = StampOf(context);
  if (!stamp.has_value()) {
    peer.anonymous_role = plain_remote_role_;
    peer.address = AddressOf(peer_uri);
    peer.limit_key = LimitKeyOf(peer_uri);
    return peer;
  }
  peer.door = stamp->door;
  peer.uid = stamp->uid;
  if (stamp->listener < 0) {
    peer.address = peer.uid.has_value() ? absl::StrCat("unix uid ", *peer.uid) : "unix";
    peer.limit_key = peer.address;
    return peer;
  }
  peer.address = AddressOf(peer_uri);
  peer.limit_key = LimitKeyOf(peer_uri);
  const ListenerFacts& facts = listeners_.at(static_cast<size_t>(stamp->listener));
  peer.encrypted = facts.tls;
  peer.anonymous_role = facts.anonymous_role;
  if (!facts.tls) return peer;
  const std::string pem = FirstProperty(*context, GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (pem.empty()) return peer;
  auto known = certificates_.find(pem);
  if (known == certificates_.end()) {
    auto certificate = ReadCertificate(pem);
    if (!certificate.has_value()) return peer;
    if (certificates_.size() >= kCertificatesMax) certificates_.clear();
    known = certificates_.emplace(pem, *std::move(certificate)).first;
  }
  peer.certificate = known->second;
  return peer;
}

}  // namespace planecast
