#include "service/certificates/make_certificate.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "service/certificates/host_names.h"
#include "service/certificates/signing.h"
#include "vfio/fd.h"

namespace planecast {
namespace {

constexpr mode_t kFolderMode = 0755;
constexpr mode_t kCertificateMode = 0644;
constexpr mode_t kKeyMode = 0600;
constexpr mode_t kGroupKeyMode = 0640;
/// To chown(2): leave it.
constexpr gid_t kNoGroup = static_cast<gid_t>(-1);
constexpr const char* kCa = "ca";
constexpr const char* kServer = "server";

/// NAME.pem and NAME.key.
struct Pair {
  std::string name;
  CertificateAndKey content;
};

std::string CertificatePath(const std::string& folder, const std::string& name) {
  return absl::StrCat(folder, "/", name, ".pem");
}

std::string KeyPath(const std::string& folder, const std::string& name) {
  return absl::StrCat(folder, "/", name, ".key");
}

std::string ClientFile(const std::string& client) {
  return absl::StrCat("client-", client);
}

/// Something lies there, if only a link to nowhere.
bool Exists(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0;
}

absl::StatusOr<std::vector<HostName>> ParseHosts(const std::vector<std::string>& texts) {
  std::vector<HostName> hosts;
  for (const std::string& text : texts) {
    auto host = ParseHostName(text);
    if (!host.ok()) return host.status();
    hosts.push_back(*std::move(host));
  }
  return hosts;
}

absl::Status CheckClients(const std::vector<std::string>& clients) {
  std::set<std::string> names;
  for (const std::string& client : clients) {
    if (auto status = CheckClientName(client); !status.ok()) return status;
    if (!names.insert(client).second) {
      return absl::InvalidArgumentError(absl::StrCat("the client ", client, " is named twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNoneExists(const std::string& folder, const std::vector<std::string>& names) {
  std::vector<std::string> existing;
  for (const std::string& name : names) {
    for (const std::string& path : {CertificatePath(folder, name), KeyPath(folder, name)}) {
      if (Exists(path)) existing.push_back(path);
    }
  }
  if (existing.empty()) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat(absl::StrJoin(existing, ", "), existing.size() == 1 ? " exists" : " exist",
                   "; nothing was written. Move away what shall be made anew"));
}

/// True if ca.pem and ca.key are there, false if neither is.
absl::StatusOr<bool> HasCa(const std::string& folder) {
  const bool certificate = Exists(CertificatePath(folder, kCa));
  const bool key = Exists(KeyPath(folder, kCa));
  if (certificate == key) return certificate;
  return absl::FailedPreconditionError(absl::StrCat(
      certificate ? CertificatePath(folder, kCa) : KeyPath(folder, kCa), " exists without ",
      certificate ? "ca.key" : "ca.pem",
      ", and a CA is both; nothing was written. Bring the other back, or move this away for a new "
      "CA, which clients must be given"));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat("can't open ", path));
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

absl::StatusOr<CertificateAndKey> ReadCa(const std::string& folder) {
  auto certificate = ReadFile(CertificatePath(folder, kCa));
  if (!certificate.ok()) return certificate.status();
  auto key = ReadFile(KeyPath(folder, kCa));
  if (!key.ok()) return key.status();
  return CertificateAndKey{*std::move(certificate), *std::move(key)};
}

/// Files that are removed again unless all of them came to be.
class NewFiles {
 public:
  NewFiles() = default;
  NewFiles(const NewFiles&) = delete;
  NewFiles& operator=(const NewFiles&) = delete;
  ~NewFiles() {
    for (const std::string& path : written_) unlink(path.c_str());
  }

  /// Nobody but `group`, if there is one, may read it at any moment whom `mode` does not name.
  absl::Status Write(const std::string& path, const std::string& text, mode_t mode,
                     gid_t group = kNoGroup) {
    const Fd fd(KernelSys(),
                open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kKeyMode));
    if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("can't make ", path));
    written_.push_back(path);
    if (group != kNoGroup && fchown(fd.get(), static_cast<uid_t>(-1), group) != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("can't give ", path, " to group ", group));
    }
    if (fchmod(fd.get(), mode) != 0 || !WriteAll(fd.get(), text) || fsync(fd.get()) != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("can't write ", path));
    }
    return absl::OkStatus();
  }
  void Keep() { written_.clear(); }

 private:
  static bool WriteAll(int fd, const std::string& text) {
    size_t done = 0;
    while (done < text.size()) {
      const ssize_t size = write(fd, text.data() + done, text.size() - done);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return false;
      done += static_cast<size_t>(size);
    }
    return true;
  }

  std::vector<std::string> written_;
};

absl::Status WriteAll(const std::string& folder, const std::vector<Pair>& pairs,
                      gid_t server_key_group) {
  NewFiles files;
  for (const Pair& pair : pairs) {
    const gid_t group = pair.name == kServer ? server_key_group : kNoGroup;
    auto status = files.Write(KeyPath(folder, pair.name), pair.content.key,
                              group == kNoGroup ? kKeyMode : kGroupKeyMode, group);
    if (!status.ok()) return status;
    status =
        files.Write(CertificatePath(folder, pair.name), pair.content.certificate, kCertificateMode);
    if (!status.ok()) return status;
  }
  files.Keep();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Pair>> Sign(const CertificateAndKey& ca,
                                       const std::vector<HostName>& hosts,
                                       const std::vector<std::string>& clients) {
  std::vector<Pair> pairs;
  if (!hosts.empty()) {
    auto server = MakeServerCertificate(ca, hosts);
    if (!server.ok()) return server.status();
    pairs.push_back({kServer, *std::move(server)});
  }
  for (const std::string& name : clients) {
    auto client = MakeClientCertificate(ca, name);
    if (!client.ok()) return client.status();
    pairs.push_back({ClientFile(name), *std::move(client)});
  }
  return pairs;
}

std::string AbsolutePath(const std::string& folder) {
  const std::unique_ptr<char, decltype(&std::free)> path(realpath(folder.c_str(), nullptr),
                                                         &std::free);
  return path == nullptr ? folder : path.get();
}

std::string ServerAdvice(const std::string& folder, const std::string& host, bool with_clients) {
  const std::string client_ca =
      absl::StrCat("      client_ca_path: \"", CertificatePath(folder, kCa), "\"\n",
                   "      client_certificate: CLIENT_CERTIFICATE_OPTIONAL\n");
  const std::string shown =
      host.find(':') == std::string::npos ? host : absl::StrCat("[", host, "]");
  return absl::StrCat(
      "\nThe daemon serves with it by these lines of its config:\n"
      "  listeners {\n"
      "    address: \"0.0.0.0:7443\"\n"
      "    tls {\n"
      "      certificate_path: \"",
      CertificatePath(folder, kServer), "\"\n      private_key_path: \"", KeyPath(folder, kServer),
      "\"\n", with_clients ? client_ca : "",
      "    }\n"
      "  }\n"
      "Clients need a copy of ",
      CertificatePath(folder, kCa),
      ", and a ticket, which comes with the line to use:\n"
      "  planecast ticket NAME --for ",
      shown, ":7443\n");
}

std::string ClientAdvice(const std::string& folder, const std::vector<std::string>& clients) {
  std::string text = absl::StrCat(
      "\nA client's certificate gives no right until a binding names it; the listener needs "
      "client_ca_path: \"",
      CertificatePath(folder, kCa), "\":\n");
  for (const std::string& client : clients) {
    absl::StrAppend(&text, "  bindings { certificate_subject: \"CN=", client,
                    "\" role: \"viewer\" displays: \"*\" }\n");
  }
  absl::StrAppend(&text, "The client then says --tls-ca ca.pem");
  const std::string name = clients.size() == 1 ? ClientFile(clients[0]) : "client-NAME";
  absl::StrAppend(&text, " --tls-cert ", name, ".pem --tls-key ", name, ".key\n");
  return text;
}

std::string Report(const std::string& folder, const std::vector<Pair>& pairs,
                   const CertificateWish& wish, const std::vector<HostName>& hosts) {
  std::string text;
  for (const Pair& pair : pairs) {
    absl::StrAppend(&text, "wrote ", CertificatePath(folder, pair.name), " and ",
                    KeyPath(folder, pair.name), "\n");
    if (pair.name == kCa) {
      absl::StrAppend(&text,
                      "  the key signs further certificates; the daemon does not need it, and who "
                      "has it can be anybody\n");
    }
  }
  if (!hosts.empty()) {
    const std::string host = hosts[0].text;
    absl::StrAppend(&text, ServerAdvice(folder, host, !wish.clients.empty()));
  }
  if (!wish.clients.empty()) absl::StrAppend(&text, ClientAdvice(folder, wish.clients));
  return text;
}

}  // namespace

absl::StatusOr<std::string> MakeCertificates(const CertificateWish& wish) {
  auto hosts = ParseHosts(wish.hosts);
  if (!hosts.ok()) return hosts.status();
  if (auto status = CheckClients(wish.clients); !status.ok()) return status;
  if (hosts->empty() && wish.clients.empty()) {
    return absl::InvalidArgumentError("nobody to make a certificate for; add --host or --client");
  }
  auto has_ca = HasCa(wish.folder);
  if (!has_ca.ok()) return has_ca.status();
  if (!*has_ca && hosts->empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no CA in ", wish.folder,
                     " that could sign a client's certificate; name the server's hosts too, with "
                     "--host"));
  }
  std::vector<std::string> names;
  if (!hosts->empty()) names.emplace_back(kServer);
  for (const std::string& client : wish.clients) names.push_back(ClientFile(client));
  if (auto status = CheckNoneExists(wish.folder, names); !status.ok()) return status;

  auto ca = *has_ca ? ReadCa(wish.folder) : MakeCertificateAuthority();
  if (!ca.ok()) return ca.status();
  auto pairs = Sign(*ca, *hosts, wish.clients);
  if (!pairs.ok()) {
    return absl::Status(pairs.status().code(),
                        absl::StrCat("the CA in ", wish.folder, ": ", pairs.status().message()));
  }
  if (!*has_ca) pairs->insert(pairs->begin(), {kCa, *std::move(ca)});
  if (mkdir(wish.folder.c_str(), kFolderMode) == 0) {
    // Whatever the umask: the daemon's user has to get in, and each file has its own mode.
    chmod(wish.folder.c_str(), kFolderMode);
  } else if (errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't make the folder ", wish.folder));
  }
  if (auto status = WriteAll(wish.folder, *pairs, wish.server_key_group.value_or(kNoGroup));
      !status.ok())
    return status;
  return Report(AbsolutePath(wish.folder), *pairs, wish, *hosts);
}

}  // namespace planecast
