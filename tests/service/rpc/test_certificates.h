// Certificates for one test, made at run time.
#pragma once

#include <string>

namespace planecast::testing {

/// A CA's certificate and key, or a leaf's, as PEM.
struct TestCertificate {
  std::string certificate;
  std::string key;
};

/// A self-signed CA.
TestCertificate MakeCa(const std::string& name);
/// A certificate for 127.0.0.1 and localhost that `ca` signed; good for servers and clients.
TestCertificate MakeLeaf(const std::string& name, const TestCertificate& ca);

}  // namespace planecast::testing
