#include "service/certificates/make_certificate.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "service/rpc/listen.h"
#include "tests/service/temp_dir.h"

namespace planecast::testing {
namespace {

using grpc::health::v1::Health;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

constexpr long kDaySeconds = 24 * 3600;
/// No call of a test may take longer; far beyond what any needs.
constexpr std::chrono::seconds kCallMax{30};

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

unsigned ModeOf(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777U;
}

struct Free {
  void operator()(X509* x) const { X509_free(x); }
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
  void operator()(X509_STORE_CTX* context) const { X509_STORE_CTX_free(context); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

Owned<X509> Certificate(const std::string& pem) {
  const Owned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Owned<X509> x(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  EXPECT_NE(x, nullptr);
  return x;
}

std::string SubjectOf(X509* x) {
  const Owned<BIO> bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(x), 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

/// In a folder of its own.
class MakeCertificateTest : public ::testing::Test {
 protected:
  std::string Folder() const { return dir_.path() + "/tls"; }
  std::string Path(const std::string& name) const { return Folder() + "/" + name; }
  absl::StatusOr<std::string> Make(std::vector<std::string> hosts,
                                   std::vector<std::string> clients = {}) const {
    return MakeCertificates({Folder(), std::move(hosts), std::move(clients)});
  }
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(Folder(), error)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  /// X509_V_OK or why `name` does not verify with the folder's CA; host or address may be empty.
  int Verify(const std::string& name, int purpose, const std::string& host,
             const std::string& address = "") const {
    const Owned<X509> ca = Certificate(Read(Path("ca.pem")));
    const Owned<X509> leaf = Certificate(Read(Path(name)));
    const Owned<X509_STORE> store(X509_STORE_new());
    X509_STORE_add_cert(store.get(), ca.get());
    const Owned<X509_STORE_CTX> context(X509_STORE_CTX_new());
    X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), nullptr);
    X509_VERIFY_PARAM* const param = X509_STORE_CTX_get0_param(context.get());
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    X509_VERIFY_PARAM_set_purpose(param, purpose);
    if (!host.empty()) X509_VERIFY_PARAM_set1_host(param, host.c_str(), 0);
    if (!address.empty()) X509_VERIFY_PARAM_set1_ip_asc(param, address.c_str());
    return X509_verify_cert(context.get()) == 1 ? X509_V_OK
                                                : X509_STORE_CTX_get_error(context.get());
  }

  const TempDir dir_;
};

TEST_F(MakeCertificateTest, FilesHaveTheirModesWhateverTheUmask) {
  for (const mode_t mask : {0, 077}) {
    std::filesystem::remove_all(Folder());
    const mode_t previous = umask(mask);
    const auto report = Make({"vmhost.example.org"}, {"web1"});
    umask(previous);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(Files(), UnorderedElementsAre("ca.pem", "ca.key", "server.pem", "server.key",
                                              "client-web1.pem", "client-web1.key"));
    EXPECT_EQ(ModeOf(Folder()) & 0777, 0755U);
    for (const char* name : {"ca", "server", "client-web1"}) {
      EXPECT_EQ(ModeOf(Path(name) + ".pem"), 0644U);
      EXPECT_EQ(ModeOf(Path(name) + ".key"), 0600U);
    }
  }
}

TEST_F(MakeCertificateTest, TheServersKeyAloneIsForTheDaemonsGroup) {
  // A group that anybody may give his own files to; root, any.
  const gid_t group = geteuid() == 0 ? 77 : getegid();
  CertificateWish wish{Folder(), {"vmhost.example.org"}, {"web1"}};
  wish.server_key_group = group;
  const auto report = MakeCertificates(wish);
  ASSERT_TRUE(report.ok()) << report.status();
  struct stat info {};
  ASSERT_EQ(stat(Path("server.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_gid, group);
  EXPECT_EQ(ModeOf(Path("server.key")), 0640U);
  for (const char* name : {"ca.key", "client-web1.key"}) EXPECT_EQ(ModeOf(Path(name)), 0600U);
}

TEST_F(MakeCertificateTest, TheServerVerifiesForItsHostsAndNoOther) {
  ASSERT_TRUE(Make({"vmhost.example.org", "192.0.2.1", "[2001:db8::1]"}).ok());
  EXPECT_EQ(Verify("server.pem", X509_PURPOSE_SSL_SERVER, "vmhost.example.org"), X509_V_OK);
  EXPECT_EQ(Verify("server.pem", X509_PURPOSE_SSL_SERVER, "", "192.0.2.1"), X509_V_OK);
  EXPECT_EQ(Verify("server.pem", X509_PURPOSE_SSL_SERVER, "", "2001:db8::1"), X509_V_OK);
  EXPECT_EQ(Verify("server.pem", X509_PURPOSE_SSL_SERVER, "other.example.org"),
            X509_V_ERR_HOSTNAME_MISMATCH);
  EXPECT_EQ(Verify("server.pem", X509_PURPOSE_SSL_SERVER, "", "192.0.2.2"),
            X509_V_ERR_IP_ADDRESS_MISMATCH);
  EXPECT_EQ(Verify("server.pem", X509_PURPOSE_SSL_CLIENT, ""), X509_V_ERR_INVALID_PURPOSE);
}

TEST_F(MakeCertificateTest, TheClientVerifiesAsAClientAndIsNamedAsABindingNamesIt) {
  const auto report = Make({"localhost"}, {"web1", "web2"});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(Verify("client-web1.pem", X509_PURPOSE_SSL_CLIENT, ""), X509_V_OK);
  EXPECT_EQ(Verify("client-web1.pem", X509_PURPOSE_SSL_SERVER, ""), X509_V_ERR_INVALID_PURPOSE);
  const Owned<X509> x = Certificate(Read(Path("client-web2.pem")));
  EXPECT_EQ(SubjectOf(x.get()), "CN=web2");
  EXPECT_THAT(*report, HasSubstr("bindings { certificate_subject: \"CN=web2\""));
}

TEST_F(MakeCertificateTest, TheCaSignsLeavesOnly) {
  ASSERT_TRUE(Make({"localhost"}).ok());
  const Owned<X509> ca = Certificate(Read(Path("ca.pem")));
  EXPECT_EQ(X509_check_ca(ca.get()), 1);
  EXPECT_EQ(X509_get_pathlen(ca.get()), 0);
  EXPECT_EQ(X509_get_key_usage(ca.get()), static_cast<uint32_t>(KU_KEY_CERT_SIGN | KU_CRL_SIGN));
  const Owned<X509> server = Certificate(Read(Path("server.pem")));
  EXPECT_EQ(X509_check_ca(server.get()), 0);
  EXPECT_EQ(X509_get_signature_nid(server.get()), NID_ecdsa_with_SHA256);
  EXPECT_EQ(EVP_PKEY_get_bits(X509_get0_pubkey(server.get())), 256);
}

TEST_F(MakeCertificateTest, TheyLastAsDocumented) {
  ASSERT_TRUE(Make({"localhost"}).ok());
  const std::pair<const char*, int> cases[] = {{"ca.pem", 3650}, {"server.pem", 730}};
  for (const auto& [name, days] : cases) {
    const Owned<X509> x = Certificate(Read(Path(name)));
    EXPECT_LT(X509_cmp_current_time(X509_get0_notBefore(x.get())), 0);
    time_t before_end = time(nullptr) + (days - 1) * kDaySeconds;
    time_t after_end = time(nullptr) + (days + 1) * kDaySeconds;
    EXPECT_GT(X509_cmp_time(X509_get0_notAfter(x.get()), &before_end), 0) << name;
    EXPECT_LT(X509_cmp_time(X509_get0_notAfter(x.get()), &after_end), 0) << name;
  }
}

TEST_F(MakeCertificateTest, EachHasANewKeyAndSerial) {
  ASSERT_TRUE(Make({"localhost"}, {"a", "b"}).ok());
  const Owned<X509> a = Certificate(Read(Path("client-a.pem")));
  const Owned<X509> b = Certificate(Read(Path("client-b.pem")));
  EXPECT_NE(ASN1_INTEGER_cmp(X509_get0_serialNumber(a.get()), X509_get0_serialNumber(b.get())), 0);
  EXPECT_GT(ASN1_STRING_length(X509_get0_serialNumber(a.get())), 8);
  EXPECT_LE(ASN1_STRING_length(X509_get0_serialNumber(a.get())), 20);
  EXPECT_NE(Read(Path("client-a.key")), Read(Path("client-b.key")));
}

TEST_F(MakeCertificateTest, NothingIsWrittenOverAFile) {
  ASSERT_TRUE(Make({"localhost"}).ok());
  const std::string before = Read(Path("server.key"));
  const auto again = Make({"localhost"}, {"web1"});
  EXPECT_EQ(again.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(again.status().message()),
              AllOf(HasSubstr(Path("server.pem") + ", " + Path("server.key") + " exist; nothing"),
                    Not(HasSubstr("ca.pem"))));
  EXPECT_EQ(Read(Path("server.key")), before);
  EXPECT_EQ(Files().size(), 4U);
}

TEST_F(MakeCertificateTest, OneFileInTheWayIsEnoughAlsoALinkToNowhere) {
  ASSERT_EQ(mkdir(Folder().c_str(), 0755), 0);
  std::filesystem::create_symlink(dir_.path() + "/elsewhere", Path("server.key"));
  const auto report = Make({"localhost"});
  EXPECT_EQ(report.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(report.status().message()), HasSubstr("server.key exists; nothing"));
  EXPECT_THAT(Files(), UnorderedElementsAre("server.key"));
  EXPECT_FALSE(std::filesystem::exists(dir_.path() + "/elsewhere"));
}

TEST_F(MakeCertificateTest, AClientIsAddedByTheCaThatIsThere) {
  ASSERT_TRUE(Make({"localhost"}).ok());
  const std::string ca = Read(Path("ca.pem"));
  const std::string server = Read(Path("server.pem"));
  const auto report = Make({}, {"web1"});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(*report, AllOf(HasSubstr("wrote "), HasSubstr("client-web1.key"),
                             Not(HasSubstr("ca.key")), Not(HasSubstr("server.key"))));
  EXPECT_EQ(Read(Path("ca.pem")), ca);
  EXPECT_EQ(Read(Path("server.pem")), server);
  EXPECT_EQ(Verify("client-web1.pem", X509_PURPOSE_SSL_CLIENT, ""), X509_V_OK);
}

TEST_F(MakeCertificateTest, AServerIsRenewedByTheCaThatIsThere) {
  ASSERT_TRUE(Make({"old.example.org"}).ok());
  const std::string ca = Read(Path("ca.pem"));
  std::filesystem::remove(Path("server.pem"));
  std::filesystem::remove(Path("server.key"));
  ASSERT_TRUE(Make({"new.example.org"}).ok());
  EXPECT_EQ(Read(Path("ca.pem")), ca);
  EXPECT_EQ(Verify("server.pem", X509_PURPOSE_SSL_SERVER, "new.example.org"), X509_V_OK);
}

TEST_F(MakeCertificateTest, HalfACaOrAForeignOneIsNotUsed) {
  ASSERT_TRUE(Make({"localhost"}).ok());
  const std::string key = Read(Path("ca.key"));
  std::filesystem::remove(Path("ca.key"));
  auto report = Make({}, {"web1"});
  EXPECT_EQ(report.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(report.status().message()), HasSubstr("ca.pem exists without ca.key"));
  std::ofstream(Path("ca.key")) << Read(Path("server.key"));
  report = Make({}, {"web1"});
  EXPECT_THAT(std::string(report.status().message()), HasSubstr("do not belong together"));
  std::ofstream(Path("ca.key")) << "garbage";
  EXPECT_THAT(std::string(Make({}, {"web1"}).status().message()), HasSubstr("can't be parsed"));
  std::ofstream(Path("ca.key")) << Read(Path("server.key"));
  std::ofstream(Path("ca.pem")) << Read(Path("server.pem"));
  EXPECT_THAT(std::string(Make({}, {"web1"}).status().message()), HasSubstr("is not a CA's"));
  EXPECT_EQ(Files().size(), 4U);
}

TEST_F(MakeCertificateTest, WrongNamesAreRefusedBeforeAnythingIsMade) {
  for (const auto& report :
       {Make({}), Make({"a b"}), Make({"localhost"}, {"../x"}), Make({"localhost"}, {"a", "a"}),
        Make({}, {"web1"}), Make({"vmhost:7443"})}) {
    EXPECT_EQ(report.status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_THAT(std::string(Make({}, {"web1"}).status().message()), HasSubstr("--host"));
  EXPECT_FALSE(std::filesystem::exists(Folder()));
}

TEST_F(MakeCertificateTest, AFolderThatCantBeIsAnError) {
  const auto report = MakeCertificates({dir_.path() + "/no/tls", {"localhost"}, {}});
  EXPECT_EQ(report.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(report.status().message()), HasSubstr("/no/tls"));
}

/// Answers who gets through, and keeps what gRPC knows of him.
class Answerer final : public Health::Service {
 public:
  grpc::Status Check(grpc::ServerContext* context,
                     const grpc::health::v1::HealthCheckRequest* /*request*/,
                     grpc::health::v1::HealthCheckResponse* /*response*/) override {
    names.clear();
    for (const grpc::string_ref& name : context->auth_context()->GetPeerIdentity()) {
      names.emplace_back(name.data(), name.size());
    }
    return grpc::Status::OK;
  }
  std::vector<std::string> names;
};

TEST_F(MakeCertificateTest, GrpcTakesThem) {
  ASSERT_TRUE(Make({"127.0.0.1"}, {"web1"}).ok());
  config::v1::TlsConfig tls;
  tls.set_certificate_path(Path("server.pem"));
  tls.set_private_key_path(Path("server.key"));
  tls.set_client_ca_path(Path("ca.pem"));
  tls.set_client_certificate(config::v1::TlsConfig::CLIENT_CERTIFICATE_OPTIONAL);
  auto credentials = MakeTlsCredentials(tls);
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  Answerer answerer;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", *std::move(credentials), &port);
  builder.RegisterService(&answerer);
  const auto server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  for (const bool with_certificate : {false, true}) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = Read(Path("ca.pem"));
    if (with_certificate) {
      options.pem_cert_chain = Read(Path("client-web1.pem"));
      options.pem_private_key = Read(Path("client-web1.key"));
    }
    const auto stub = Health::NewStub(
        grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::SslCredentials(options)));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallMax);
    grpc::health::v1::HealthCheckResponse response;
    const grpc::Status status = stub->Check(&context, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(answerer.names,
              with_certificate ? std::vector<std::string>{"web1"} : std::vector<std::string>{});
  }
}

}  // namespace
}  // namespace planecast::testing
