#include "tests/service/rpc/test_certificates.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>

namespace planecast::testing {
namespace {

constexpr long kLifetimeSeconds = 3600;

struct Free {
  void operator()(X509* x) const { X509_free(x); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

Owned<X509> NewCertificate(const std::string& name, EVP_PKEY* key) {
  static long serial = 1;
  Owned<X509> x(X509_new());
  X509_set_version(x.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x.get()), serial++);
  X509_gmtime_adj(X509_getm_notBefore(x.get()), -kLifetimeSeconds);
  X509_gmtime_adj(X509_getm_notAfter(x.get()), kLifetimeSeconds);
  X509_set_pubkey(x.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  return x;
}

void AddExtension(X509* x, int id, const char* value) {
  const Owned<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, nullptr, id, value));
  ASSERT_NE(extension, nullptr);
  X509_add_ext(x, extension.get(), -1);
}

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

TestCertificate ToPem(X509* x, EVP_PKEY* key) {
  const Owned<BIO> certificate(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(certificate.get(), x);
  const Owned<BIO> key_text(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(key_text.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return {TextOf(certificate.get()), TextOf(key_text.get())};
}

}  // namespace

TestCertificate MakeCa(const std::string& name) {
  const Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
  const Owned<X509> x = NewCertificate(name, key.get());
  X509_set_issuer_name(x.get(), X509_get_subject_name(x.get()));
  AddExtension(x.get(), NID_basic_constraints, "critical,CA:TRUE");
  EXPECT_GT(X509_sign(x.get(), key.get(), EVP_sha256()), 0);
  return ToPem(x.get(), key.get());
}

TestCertificate MakeLeaf(const std::string& name, const TestCertificate& ca) {
  const Owned<BIO> ca_text(BIO_new_mem_buf(ca.certificate.data(), -1));
  const Owned<X509> issuer(PEM_read_bio_X509(ca_text.get(), nullptr, nullptr, nullptr));
  const Owned<BIO> ca_key_text(BIO_new_mem_buf(ca.key.data(), -1));
  const Owned<EVP_PKEY> ca_key(
      PEM_read_bio_PrivateKey(ca_key_text.get(), nullptr, nullptr, nullptr));
  const Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
  const Owned<X509> x = NewCertificate(name, key.get());
  X509_set_issuer_name(x.get(), X509_get_subject_name(issuer.get()));
  AddExtension(x.get(), NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
  EXPECT_GT(X509_sign(x.get(), ca_key.get(), EVP_sha256()), 0);
  return ToPem(x.get(), key.get());
}

}  // namespace planecast::testing
