#include "service/certificates/signing.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstdio>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace planecast {
namespace {

template <auto kFree>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Bignum = std::unique_ptr<BIGNUM, Freed<BN_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

/// For clocks that are not quite right.
constexpr long kBackdatedSeconds = 3600;
/// With the leading zero bit that keeps it positive these are the 20 bytes that a serial may have.
constexpr int kSerialBits = 159;
/// What a subject's CN may have.
constexpr size_t kCommonNameMaxChars = 64;

absl::Status OpenSslError(const char* what) {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  ERR_clear_error();
  return absl::InternalError(absl::StrCat("can't ", what, ": ", text.data()));
}

/// Certificates and keys that sign.
struct Issuer {
  Certificate certificate;
  Key key;
};

/// What is in a certificate.
struct Contents {
  std::string common_name;
  int days = 0;
  /// OpenSSL's id and its text for the value.
  std::vector<std::pair<int, std::string>> extensions;
};

Bio Reading(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

absl::StatusOr<std::string> TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  if (size <= 0) return OpenSslError("write PEM");
  return std::string(data, static_cast<size_t>(size));
}

absl::StatusOr<CertificateAndKey> ToPem(X509* certificate, EVP_PKEY* key) {
  const Bio certificate_bio(BIO_new(BIO_s_mem()));
  // Zeroed when it is freed.
  const Bio key_bio(BIO_new(BIO_s_secmem()));
  if (certificate_bio == nullptr || key_bio == nullptr ||
      PEM_write_bio_X509(certificate_bio.get(), certificate) != 1 ||
      PEM_write_bio_PrivateKey(key_bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpenSslError("write PEM");
  }
  auto certificate_text = TextOf(certificate_bio.get());
  if (!certificate_text.ok()) return certificate_text.status();
  auto key_text = TextOf(key_bio.get());
  if (!key_text.ok()) return key_text.status();
  return CertificateAndKey{*std::move(certificate_text), *std::move(key_text)};
}

bool SetRandomSerial(X509* certificate) {
  const Bignum serial(BN_new());
  return serial != nullptr &&
         BN_rand(serial.get(), kSerialBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_add_word(serial.get(), 1) == 1 &&
         BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate)) != nullptr;
}

/// From a while ago on for so many days, but no longer than `end` if there is one.
bool SetTimes(X509* certificate, int days, const ASN1_TIME* end) {
  ASN1_TIME* const not_after = X509_getm_notAfter(certificate);
  if (X509_gmtime_adj(X509_getm_notBefore(certificate), -kBackdatedSeconds) == nullptr ||
      X509_time_adj_ex(not_after, days, 0, nullptr) == nullptr) {
    return false;
  }
  if (end == nullptr || ASN1_TIME_compare(not_after, end) <= 0) return true;
  return X509_set1_notAfter(certificate, end) == 1;
}

bool SetCommonName(X509* certificate, const std::string& name) {
  return X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(name.data()),
                                    static_cast<int>(name.size()), -1, 0) == 1;
}

bool AddExtension(X509* certificate, X509* issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str()));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

/// A certificate of a new key; signed by `issuer`, or by itself if that is null.
absl::StatusOr<CertificateAndKey> Make(const Contents& contents, const Issuer* issuer) {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  if (key == nullptr || certificate == nullptr) return OpenSslError("make a key");
  X509* const x = certificate.get();
  X509* const signer = issuer == nullptr ? x : issuer->certificate.get();
  const ASN1_TIME* const end = issuer == nullptr ? nullptr : X509_get0_notAfter(signer);
  bool ok = X509_set_version(x, X509_VERSION_3) == 1 && SetRandomSerial(x) &&
            SetTimes(x, contents.days, end) && X509_set_pubkey(x, key.get()) == 1 &&
            SetCommonName(x, contents.common_name) &&
            X509_set_issuer_name(x, X509_get_subject_name(signer)) == 1;
  for (const auto& [id, value] : contents.extensions) {
    ok = ok && AddExtension(x, signer, id, value);
  }
  EVP_PKEY* const signing_key = issuer == nullptr ? key.get() : issuer->key.get();
  if (!ok || X509_sign(x, signing_key, EVP_sha256()) <= 0) {
    return OpenSslError("make a certificate");
  }
  return ToPem(x, key.get());
}

absl::StatusOr<Issuer> ReadIssuer(const CertificateAndKey& ca) {
  Issuer issuer;
  issuer.certificate.reset(
      PEM_read_bio_X509(Reading(ca.certificate).get(), nullptr, nullptr, nullptr));
  // An empty password instead of OpenSSL's question on the terminal.
  std::string no_password;
  issuer.key.reset(
      PEM_read_bio_PrivateKey(Reading(ca.key).get(), nullptr, nullptr, no_password.data()));
  absl::Status status;
  if (issuer.certificate == nullptr) {
    status = absl::InvalidArgumentError("the CA's certificate can't be parsed");
  } else if (issuer.key == nullptr) {
    status = absl::InvalidArgumentError(
        "the CA's private key can't be parsed; one with a password can't be used");
  } else if (X509_check_private_key(issuer.certificate.get(), issuer.key.get()) != 1) {
    status =
        absl::InvalidArgumentError("the CA's certificate and private key do not belong together");
  } else if (X509_check_ca(issuer.certificate.get()) != 1) {
    status = absl::InvalidArgumentError("the certificate is not a CA's");
  } else if (X509_cmp_current_time(X509_get0_notAfter(issuer.certificate.get())) <= 0) {
    status = absl::InvalidArgumentError(
        "the CA is out of date; make a new one, and give its certificate to all clients");
  }
  ERR_clear_error();
  if (!status.ok()) return status;
  return issuer;
}

absl::StatusOr<std::string> RandomSuffix() {
  const Bignum number(BN_new());
  constexpr int kBits = 32;
  if (number == nullptr || BN_rand(number.get(), kBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) != 1) {
    return OpenSslError("get random bytes");
  }
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%08lx",
                static_cast<unsigned long>(BN_get_word(number.get())));
  return std::string(text.data());
}

Contents LeafContents(std::string common_name, const char* usage) {
  return {std::move(common_name),
          kLeafDays,
          {{NID_basic_constraints, "critical,CA:FALSE"},
           {NID_key_usage, "critical,digitalSignature"},
           {NID_ext_key_usage, usage},
           {NID_subject_key_identifier, "hash"},
           {NID_authority_key_identifier, "keyid"}}};
}

}  // namespace

absl::StatusOr<CertificateAndKey> MakeCertificateAuthority() {
  // Two CAs of one name would be taken for each other.
  auto suffix = RandomSuffix();
  if (!suffix.ok()) return suffix.status();
  const Contents contents = {absl::StrCat("Planecast CA ", *suffix),
                             kCaDays,
                             {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                              {NID_key_usage, "critical,keyCertSign,cRLSign"},
                              {NID_subject_key_identifier, "hash"}}};
  return Make(contents, nullptr);
}

absl::StatusOr<CertificateAndKey> MakeServerCertificate(const CertificateAndKey& ca,
                                                        const std::vector<HostName>& hosts) {
  if (hosts.empty()) return absl::InvalidArgumentError("a server's certificate needs a name");
  auto issuer = ReadIssuer(ca);
  if (!issuer.ok()) return issuer.status();
  // The names count; this one is for people.
  Contents contents = LeafContents(hosts[0].text.substr(0, kCommonNameMaxChars), "serverAuth");
  std::vector<std::string> names;
  names.reserve(hosts.size());
  for (const HostName& host : hosts) {
    names.push_back(absl::StrCat(host.is_address ? "IP:" : "DNS:", host.text));
  }
  contents.extensions.emplace_back(NID_subject_alt_name, absl::StrJoin(names, ","));
  return Make(contents, &*issuer);
}

absl::StatusOr<CertificateAndKey> MakeClientCertificate(const CertificateAndKey& ca,
                                                        const std::string& name) {
  auto issuer = ReadIssuer(ca);
  if (!issuer.ok()) return issuer.status();
  return Make(LeafContents(name, "clientAuth"), &*issuer);
}

}  // namespace planecast
