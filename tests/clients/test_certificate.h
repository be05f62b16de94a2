// A certificate for servers of tests, made by the openssl program.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace planecast {

/// A certificate of `desk.example` and 127.0.0.1, which is its own CA.
class TestCertificate {
 public:
  /// Writes it into a folder.
  explicit TestCertificate(const std::string& folder)
      : path_(folder + "/cert.pem"), key_path_(folder + "/key.pem") {
    made_ = std::system(absl::StrCat("openssl req -x509 -newkey ec -pkeyopt "
                                     "ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=desk "
                                     "-addext subjectAltName=DNS:desk.example,IP:127.0.0.1 -out ",
                                     path_, " -keyout ", key_path_, " 2>/dev/null")
                            .c_str()) == 0;
  }

  /// False without the openssl program: apt-get install openssl.
  bool made() const { return made_; }
  const std::string& path() const { return path_; }

  std::shared_ptr<grpc::ServerCredentials> MakeCredentials() const {
    grpc::SslServerCredentialsOptions options;
    options.pem_key_cert_pairs.push_back({Slurp(key_path_), Slurp(path_)});
    return grpc::SslServerCredentials(options);
  }

 private:
  static std::string Slurp(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  const std::string path_;
  const std::string key_path_;
  bool made_ = false;
};

}  // namespace planecast
