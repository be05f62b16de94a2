#include "service/rpc/door.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_replace.h"
#include "service/access/ticket_secret.h"
#include "service/rpc/listen.h"
#include "tests/service/rpc/test_certificates.h"

namespace planecast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(LimitKeyTest, IsAnIpv4AddressWithoutItsPort) {
  EXPECT_EQ(LimitKeyOf("ipv4:10.0.0.3:5000"), "10.0.0.3");
  EXPECT_EQ(LimitKeyOf("ipv4:127.0.0.1:1"), "127.0.0.1");
}

TEST(LimitKeyTest, IsTheNetworkOfAnIpv6Address) {
  EXPECT_EQ(LimitKeyOf("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:443"), "2001:db8:1:2::/64");
  EXPECT_EQ(LimitKeyOf("ipv6:[2001:db8:1:2:ffff::]:443"), "2001:db8:1:2::/64");
  EXPECT_EQ(LimitKeyOf("ipv6:%5B2001:db8:1:3::6%5D:443"), "2001:db8:1:3::/64");
  EXPECT_EQ(LimitKeyOf("ipv6:%5B::1%5D:443"), "::/64");
}

TEST(LimitKeyTest, AnIpv4AddressIsOneInIpv6sClothesToo) {
  EXPECT_EQ(LimitKeyOf("ipv6:%5B::ffff:10.0.0.3%5D:5000"), "10.0.0.3");
}

TEST(LimitKeyTest, AnInterfaceIsNoPartOfTheNetwork) {
  EXPECT_EQ(LimitKeyOf("ipv6:%5Bfe80::1%252%5D:443"), "fe80::/64");
  EXPECT_EQ(LimitKeyOf("ipv6:[fe80::2%eth0]:443"), "fe80::/64");
}

TEST(LimitKeyTest, TakesWhateverItIsGiven) {
  for (const char* text : {"", ":", "ipv6:", "ipv6:[", "ipv6:]:1", "ipv6:[]:1", "unix:", "x"}) {
    LimitKeyOf(text);
  }
}

TEST(DoorStampTest, KeepsWhatItIsGiven) {
  for (const Door door :
       {Door::kOperatorSocket, Door::kViewerSocket, Door::kLoopback, Door::kRemote}) {
    for (const std::optional<uint32_t> uid :
         std::vector<std::optional<uint32_t>>{std::nullopt, 0, 1000, 0x7fffffff, 0xffffffff}) {
      for (const int listener : {-1, 0, 1, 255, 65535}) {
        const DoorIdentity identity{door, uid, listener};
        DoorStamp stamp(identity);
        EXPECT_EQ(stamp.identity(), identity);
        stamp.Set({Door::kRemote, 7, 3});
        stamp.Set(identity);
        EXPECT_EQ(stamp.identity(), identity);
      }
    }
  }
}

TEST(PeerReaderTest, WhoHasNoStampCameOverPlainTextFromElsewhere) {
  PeerReader reader({{true, "operator"}, {false, "controller"}}, "viewer");
  const Peer peer = reader.Read(nullptr, "ipv4:10.0.0.3:5000");
  EXPECT_EQ(peer.door, Door::kRemote);
  EXPECT_FALSE(peer.encrypted);
  EXPECT_FALSE(peer.carries_tickets());
  EXPECT_EQ(peer.address, "10.0.0.3:5000");
  EXPECT_EQ(peer.limit_key, "10.0.0.3");
  EXPECT_EQ(peer.anonymous_role, "viewer");
  EXPECT_FALSE(peer.uid.has_value());
  EXPECT_FALSE(peer.certificate.has_value());
  EXPECT_EQ(reader.Read(nullptr, "ipv6:%5B2001:db8::1%5D:5000").address, "[2001:db8::1]:5000");
}

TEST(PeerReaderTest, PlainListenersThatCantBeToldApartGiveTheirRoleOnlyIfTheyAgree) {
  // 127.0.0.2 is loopback, but gRPC's credentials for loopback don't take it.
  const auto role = [](const std::vector<std::pair<std::string, std::string>>& listeners) {
    config::v1::ServerConfig config;
    for (const auto& [address, anonymous_role] : listeners) {
      auto& listener = *config.add_listeners();
      listener.set_address(address);
      listener.set_anonymous_role(anonymous_role);
    }
    return MakePeerReader(config).Read(nullptr, "ipv4:10.0.0.3:5000").anonymous_role;
  };
  EXPECT_EQ(role({{"0.0.0.0:1", "viewer"}, {"127.0.0.1:1", "operator"}}), "viewer");
  EXPECT_EQ(role({{"0.0.0.0:1", "viewer"}, {"127.0.0.2:1", "viewer"}}), "viewer");
  EXPECT_EQ(role({{"0.0.0.0:1", ""}, {"127.0.0.2:1", "operator"}}), "");
  EXPECT_EQ(role({{"127.0.0.2:1", "operator"}, {"0.0.0.0:1", ""}}), "");
  EXPECT_EQ(role({{"127.0.0.2:1", "operator"}, {"0.0.0.0:1", ""}, {"0.0.0.0:2", ""}}), "");
  EXPECT_EQ(role({{"0.0.0.0:1", "viewer"}, {"0.0.0.0:2", ""}, {"127.0.0.2:1", "viewer"}}), "");
}

struct Free {
  void operator()(X509* x) const { X509_free(x); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

/// A certificate that signs itself, with whatever names a test wants.
class CustomCertificate {
 public:
  void AddSubject(const char* kind, const std::string& text) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x_.get()), kind, MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(text.data()),
                               static_cast<int>(text.size()), -1, 0);
  }
  void SetAlternativeNames(const char* text) {
    const Owned<X509_EXTENSION> extension(
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, text));
    ASSERT_NE(extension, nullptr);
    X509_add_ext(x_.get(), extension.get(), -1);
  }
  void SetDnsNames(const std::vector<std::string>& names) {
    const Owned<GENERAL_NAMES> all(GENERAL_NAMES_new());
    for (const std::string& name : names) {
      ASN1_IA5STRING* text = ASN1_IA5STRING_new();
      ASN1_STRING_set(text, name.data(), static_cast<int>(name.size()));
      GENERAL_NAME* one = GENERAL_NAME_new();
      GENERAL_NAME_set0_value(one, GEN_DNS, text);
      sk_GENERAL_NAME_push(all.get(), one);
    }
    ASSERT_EQ(X509_add1_ext_i2d(x_.get(), NID_subject_alt_name, all.get(), 0, 0), 1);
  }
  std::string Pem() {
    const Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
    X509_set_version(x_.get(), 2);
    X509_gmtime_adj(X509_getm_notBefore(x_.get()), 0);
    X509_gmtime_adj(X509_getm_notAfter(x_.get()), 3600);
    X509_set_pubkey(x_.get(), key.get());
    EXPECT_GT(X509_sign(x_.get(), key.get(), EVP_sha256()), 0);
    const Owned<BIO> out(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(out.get(), x_.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(out.get(), &data);
    return {data, static_cast<size_t>(size)};
  }

 private:
  const Owned<X509> x_{X509_new()};
};

TEST(ReadCertificateTest, SubjectIsAsOpensslPrintsIt) {
  CustomCertificate certificate;
  certificate.AddSubject("O", "Example, Inc.");
  certificate.AddSubject("OU", "Ünits");
  certificate.AddSubject("CN", "web1");
  const auto identity = ReadCertificate(certificate.Pem());
  ASSERT_TRUE(identity.has_value());
  // By RFC 2253: the last first, commas escaped, and what is no ASCII as bytes.
  EXPECT_EQ(identity->subject, "CN=web1,OU=\\C3\\9Cnits,O=Example\\, Inc.");
  EXPECT_THAT(identity->alternative_names, IsEmpty());
}

TEST(ReadCertificateTest, AlternativeNamesAreAsBindingsWriteThem) {
  CustomCertificate certificate;
  certificate.SetAlternativeNames(
      "DNS:web1.example,URI:spiffe://x/y,email:a@b.example,IP:10.0.0.1,IP:2001:db8::1,RID:1.2.3");
  const auto identity = ReadCertificate(certificate.Pem());
  ASSERT_TRUE(identity.has_value());
  EXPECT_EQ(identity->subject, "");
  EXPECT_THAT(identity->alternative_names,
              ElementsAre("DNS:web1.example", "URI:spiffe://x/y", "email:a@b.example",
                          "IP:10.0.0.1", "IP:2001:db8::1"));
}

TEST(ReadCertificateTest, ANameWithAZeroByteIsNone) {
  CustomCertificate certificate;
  certificate.SetDnsNames({std::string("web1\0.evil", 10), "web2"});
  const auto identity = ReadCertificate(certificate.Pem());
  ASSERT_TRUE(identity.has_value());
  EXPECT_THAT(identity->alternative_names, ElementsAre("DNS:web2"));
}

TEST(ReadCertificateTest, FingerprintIsTheSha256OfItsBytes) {
  const auto leaf = testing::MakeLeaf("web1", testing::MakeCa("ca"));
  const auto identity = ReadCertificate(leaf.certificate);
  ASSERT_TRUE(identity.has_value());
  EXPECT_EQ(identity->subject, "CN=web1");
  EXPECT_THAT(identity->alternative_names, ElementsAre("DNS:localhost", "IP:127.0.0.1"));
  std::string der;
  ASSERT_TRUE(absl::Base64Unescape(
      absl::StrReplaceAll(
          leaf.certificate,
          {{"-----BEGIN CERTIFICATE-----", ""}, {"-----END CERTIFICATE-----", ""}, {"\n", ""}}),
      &der));
  EXPECT_EQ(identity->sha256, absl::BytesToHexString(Sha256(der)));
}

TEST(ReadCertificateTest, WhatIsNoneGivesNothing) {
  const auto leaf = testing::MakeLeaf("web1", testing::MakeCa("ca"));
  EXPECT_FALSE(ReadCertificate("").has_value());
  EXPECT_FALSE(ReadCertificate("garbage").has_value());
  EXPECT_FALSE(ReadCertificate(leaf.key).has_value());
  EXPECT_FALSE(ReadCertificate(leaf.certificate.substr(0, 200)).has_value());
}

}  // namespace
}  // namespace planecast
