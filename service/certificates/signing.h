// Keys and certificates, as PEM text.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "service/certificates/host_names.h"

namespace planecast {

/// Days from their making on.
inline constexpr int kCaDays = 3650;
/// At most 825: some clients believe no longer ones.
inline constexpr int kLeafDays = 730;

/// A certificate and its private key, as PEM.
struct CertificateAndKey {
  std::string certificate;
  std::string key;
};

/// Makes a CA that can sign certificates for servers and clients, and no further CA. All keys are
/// P-256 and new; a key that is lost can't be made again.
///
/// These functions' errors: INTERNAL with OpenSSL's words; INVALID_ARGUMENT, for a person, if `ca`
/// is not a CA and its key, or is out of date.
absl::StatusOr<CertificateAndKey> MakeCertificateAuthority();

/// For a server that clients reach by these names, of which there is at least one.
absl::StatusOr<CertificateAndKey> MakeServerCertificate(const CertificateAndKey& ca,
                                                        const std::vector<HostName>& hosts);

/// For a client whose subject is `CN=` and this name, which CheckClientName took.
absl::StatusOr<CertificateAndKey> MakeClientCertificate(const CertificateAndKey& ca,
                                                        const std::string& name);

}  // namespace planecast
