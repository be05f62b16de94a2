// planecastd --make-certificate: files for TLS.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace planecast {

/// What to make.
struct CertificateWish {
  /// Made (0755) if it is not there; its parent is not.
  std::string folder;
  /// DNS names or IP addresses, as clients type them, for one server. None: no server's
  /// certificate.
  std::vector<std::string> hosts;
  /// A certificate each.
  std::vector<std::string> clients;
  /// May read the server's key (0640). Nothing: only its owner may (0600).
  std::optional<gid_t> server_key_group = std::nullopt;
};

/// Writes `server.pem` and `server.key` for the hosts, `client-NAME.pem` and `.key` for each
/// client, and `ca.pem` and `ca.key`, the CA that signed them; if a CA is there, that one signs.
/// Keys have mode 0600, but for the server's, certificates 0644, whatever the umask.
///
/// Never writes over a file: ALREADY_EXISTS, naming them, if one that it would make is there. After
/// an error nothing is left of what it wrote but the folder. INVALID_ARGUMENT, for a person, for
/// names that can't be, for neither hosts nor clients, and for a first call without hosts; else the
/// system's or OpenSSL's error.
///
/// Returns what was written and how to use it, lines for a person.
absl::StatusOr<std::string> MakeCertificates(const CertificateWish& wish);

}  // namespace planecast
