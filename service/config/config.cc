#include "service/config/config.h"

#include <arpa/inet.h>
#include <google/protobuf/text_format.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/config/access_check.h"
#include "service/config/limits_config.h"
#include "service/config/mistakes.h"
#include "service/config/source_check.h"
#include "service/sockets/host_port.h"

namespace planecast {
namespace {

using config::v1::ConfiguredDisplay;
using config::v1::EncoderConfig;
using config::v1::Listener;
using config::v1::ServerConfig;
using config::v1::TlsConfig;
using google::protobuf::TextFormat;

constexpr size_t kSocketPathMaxBytes = sizeof(sockaddr_un{}.sun_path) - 1;
constexpr int kListenersMax = 64;
/// A config nests five deep; a hostile one may nest until the stack ends.
constexpr int kNestingMax = 16;

constexpr int64_t kBitrateMinBps = 100'000;
constexpr int64_t kBitrateMaxBps = 1'000'000'000;
constexpr int64_t kBitrateDefaultBps = 20'000'000;
constexpr int kQuantizerMin = 10;
constexpr int kQuantizerMax = 40;
constexpr int kQuantizerDefault = 23;
constexpr int kThreadsMax = 16;

void AddSocketPath(const Node& node, const char* field, const std::string& path) {
  if (path.empty()) return;
  if (auto status = CheckSocketPath(path); !status.ok()) node.Add(field, status.message());
}

void AddMetricsAddress(const Node& node, const std::string& address) {
  if (address.empty()) return;
  if (auto status = CheckMetricsAddress(address); !status.ok()) {
    node.Add("metrics_address", status.message());
  }
}

void CheckTls(const Node& node, const TlsConfig& tls) {
  if (tls.certificate_path().empty()) node.Add("certificate_path", "is required for TLS");
  if (tls.private_key_path().empty()) node.Add("private_key_path", "is required for TLS");
  if (!TlsConfig::ClientCertificate_IsValid(tls.client_certificate())) {
    node.Add("client_certificate",
             "is unknown; use CLIENT_CERTIFICATE_REQUIRED or CLIENT_CERTIFICATE_OPTIONAL");
  } else if (tls.client_certificate() != TlsConfig::CLIENT_CERTIFICATE_UNSPECIFIED &&
             tls.client_ca_path().empty()) {
    node.Add("client_certificate", "needs client_ca_path: the CA that signed the certificates");
  }
}

void CheckListener(const Node& node, const Listener& listener) {
  if (auto address = ParseHostPort(listener.address()); !address.ok()) {
    node.Add("address", address.status().message());
    return;
  }
  if (listener.has_tls()) CheckTls(node.Child("tls", listener.tls()), listener.tls());
  if (auto status = CheckPlainText(listener); !status.ok()) node.Add("address", status.message());
}

void CheckDisplays(const Node& node, const ServerConfig& config) {
  std::set<std::string> ids;
  for (int i = 0; i < config.displays_size(); ++i) {
    const ConfiguredDisplay& display = config.displays(i);
    const Node child = node.Child("displays", display, i);
    if (auto status = CheckDisplayId(display.display_id()); !status.ok()) {
      child.Add("display_id", status.message());
    } else if (!ids.insert(display.display_id()).second) {
      child.Add("display_id", "is used by an earlier display; each needs its own");
    }
    // Whoever serves it says what is wrong with it, in the list of displays.
    if (display.source().has_vmm()) continue;
    if (display.source().has_handed_over()) {
      child.Add("source", "a handed-over device can't be configured; use AttachDisplay");
    } else if (auto status = CheckDisplaySource(display.source()); !status.ok()) {
      child.Add("source", status.message());
    }
  }
  if (config.displays_size() > config.limits().displays_max()) {
    node.Add("displays",
             absl::StrCat(config.displays_size(), " displays are more than limits.displays_max, ",
                          config.limits().displays_max()));
  }
}

void CheckEncoder(const Node& node, const EncoderConfig& encoder) {
  if (encoder.id() != "auto" && encoder.id() != "vaapi" && encoder.id() != "x264" &&
      encoder.id() != "openh264") {
    node.Add("id", "is unknown; use auto, vaapi, x264 or openh264");
  }
  if (!encoder.render_node().empty() && encoder.render_node()[0] != '/') {
    node.Add("render_node", "is no absolute path");
  }
  if (encoder.profile() != "constrained-baseline" && encoder.profile() != "high") {
    node.Add("profile", "is unknown; use constrained-baseline or high");
  }
  node.CheckRange("bitrate_max_bps", encoder.bitrate_max_bps(), kBitrateMinBps, kBitrateMaxBps);
  node.CheckRange("quantizer", encoder.quantizer(), kQuantizerMin, kQuantizerMax);
  node.CheckRange("threads", encoder.threads(), 1, kThreadsMax);
}

void CheckSockets(const Node& node, const ServerConfig& config) {
  AddSocketPath(node, "socket_path", config.socket_path());
  AddSocketPath(node, "hand_over_socket_path", config.hand_over_socket_path());
  if (config.socket_path() == config.hand_over_socket_path()) {
    node.Add("hand_over_socket_path", "must differ from socket_path");
  }
  const std::string& viewers = config.viewer_socket_path();
  if (auto status = CheckViewerSocketPath(viewers); !status.ok()) {
    node.Add("viewer_socket_path", status.message());
  } else if (viewers == config.socket_path()) {
    node.Add("viewer_socket_path", "must differ from socket_path");
  } else if (viewers == config.hand_over_socket_path()) {
    node.Add("viewer_socket_path", "must differ from hand_over_socket_path");
  }
  const std::string& broker = config.broker_socket_path();
  if (broker != kNoSocket) AddSocketPath(node, "broker_socket_path", broker);
  if (!config.user().empty()) {
    if (auto status = CheckUser(config.user()); !status.ok()) node.Add("user", status.message());
  }
  if (config.socket_group().empty()) return;
  if (auto status = CheckGroupName(config.socket_group()); !status.ok()) {
    node.Add("socket_group", status.message());
  }
}

void Check(const Node& node, const ServerConfig& config) {
  CheckSockets(node, config);
  AddMetricsAddress(node, config.metrics_address());
  if (config.listeners_size() > kListenersMax) {
    node.Add("listeners", absl::StrCat("more than ", kListenersMax));
    return;
  }
  for (int i = 0; i < config.listeners_size(); ++i) {
    CheckListener(node.Child("listeners", config.listeners(i), i), config.listeners(i));
  }
  CheckAccess(node, config);
  const std::string& audit_path = config.audit().file_path();
  if (!audit_path.empty() && audit_path[0] != '/') {
    node.Child("audit", config.audit()).Add("file_path", "is no absolute path");
  }
  CheckLimits(node.Child("limits", config.limits()), config.limits());
  CheckEncoder(node.Child("encoder", config.encoder()), config.encoder());
  CheckDisplays(node, config);
}

/// `none` where the default can't be: a config that names no such socket is not wrong because of
/// it.
std::string DefaultViewerSocketPath(const ServerConfig& config) {
  const std::string& beside = config.socket_path();
  const std::string path =
      absl::StrCat(beside.substr(0, beside.rfind('/') + 1), std::string(kViewerSocketName));
  const bool fits =
      CheckSocketPath(path).ok() && path != beside && path != config.hand_over_socket_path();
  return fits ? path : std::string(kNoSocket);
}

void FillDefaults(ServerConfig& config) {
  if (config.socket_path().empty()) config.set_socket_path(std::string(kDefaultSocketPath));
  if (config.viewer_socket_path().empty()) {
    config.set_viewer_socket_path(DefaultViewerSocketPath(config));
  }
  if (config.broker_socket_path().empty()) {
    config.set_broker_socket_path(std::string(kDefaultBrokerSocketPath));
  }
  for (Listener& listener : *config.mutable_listeners()) {
    if (listener.tls().client_ca_path().empty()) continue;
    TlsConfig& tls = *listener.mutable_tls();
    if (tls.client_certificate() == TlsConfig::CLIENT_CERTIFICATE_UNSPECIFIED) {
      tls.set_client_certificate(TlsConfig::CLIENT_CERTIFICATE_REQUIRED);
    }
  }
  EncoderConfig& encoder = *config.mutable_encoder();
  if (encoder.id().empty()) encoder.set_id("auto");
  if (encoder.profile().empty()) encoder.set_profile("constrained-baseline");
  if (encoder.bitrate_max_bps() == 0) encoder.set_bitrate_max_bps(kBitrateDefaultBps);
  if (encoder.quantizer() == 0) encoder.set_quantizer(kQuantizerDefault);
  if (encoder.threads() == 0) encoder.set_threads(1);
  FillLimits(*config.mutable_limits());
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file && errno == EACCES) {
    return absl::PermissionDeniedError(absl::StrCat(
        path, ": can't be opened by uid ", geteuid(),
        ": give it and its folders to a group of that user (chgrp, chmod 640 and 750)"));
  }
  if (!file) {
    return absl::NotFoundError(absl::StrCat(path, ": can't be opened: ", std::strerror(errno)));
  }
  std::string text(kConfigMaxBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (file.bad() || (text.empty() && !file.eof())) {
    return absl::UnavailableError(absl::StrCat(path, ": can't be read; is it a file?"));
  }
  return text;
}

std::optional<TlsConfig> FirstTls(const ServerConfig& config) {
  for (const Listener& listener : config.listeners()) {
    if (listener.has_tls()) return listener.tls();
  }
  return std::nullopt;
}

bool IsOnLoopback(const Listener& listener) {
  const auto address = ParseHostPort(listener.address());
  return address.ok() && IsLoopbackHost(address->host);
}

/// Gives the roles of --anonymous and --anonymous-remote to listeners that have none.
void ApplyAnonymous(const Flags& flags, ServerConfig& config) {
  for (Listener& listener : *config.mutable_listeners()) {
    if (!listener.anonymous_role().empty()) continue;
    if (flags.anonymous.has_value() && IsOnLoopback(listener)) {
      listener.set_anonymous_role(*flags.anonymous);
    } else if (flags.anonymous_remote.has_value()) {
      listener.set_anonymous_role(*flags.anonymous_remote);
    }
  }
}

/// A role that nobody gets was surely meant for somebody.
void CheckAnonymousFlags(const Flags& flags, const ServerConfig& config, Mistakes& mistakes) {
  const auto& listeners = config.listeners();
  if (flags.anonymous_remote.has_value() && listeners.empty()) {
    mistakes.AddError(-1, 0, "--anonymous-remote needs a TCP address; add --listen HOST:PORT");
  }
  if (flags.anonymous.has_value() &&
      std::none_of(listeners.begin(), listeners.end(), IsOnLoopback)) {
    mistakes.AddError(-1, 0,
                      "--anonymous gives its role on loopback addresses, and there is none; add "
                      "e.g. --listen 127.0.0.1:7443, or use --anonymous-remote for all addresses");
  }
}

void ApplyFlags(const Flags& flags, ServerConfig& config) {
  if (flags.socket_path.has_value()) config.set_socket_path(*flags.socket_path);
  if (flags.viewer_socket.has_value()) config.set_viewer_socket_path(*flags.viewer_socket);
  if (flags.socket_group.has_value()) config.set_socket_group(*flags.socket_group);
  if (flags.user.has_value()) config.set_user(*flags.user);
  if (flags.no_seccomp) config.set_disable_system_call_filter(true);
  if (flags.metrics.has_value()) config.set_metrics_address(*flags.metrics);
  if (flags.encoder.has_value()) config.mutable_encoder()->set_id(*flags.encoder);
  if (flags.render_node.has_value()) config.mutable_encoder()->set_render_node(*flags.render_node);
  if (flags.allow_fake) config.set_allow_fake_devices(true);
  if (flags.insecure) {
    for (Listener& listener : *config.mutable_listeners()) {
      if (!listener.has_tls()) listener.set_allow_plain_text_off_loopback(true);
    }
  }
  const std::optional<TlsConfig> tls = FirstTls(config);
  for (const std::string& address : flags.listen) {
    Listener& listener = *config.add_listeners();
    listener.set_address(address);
    if (tls.has_value() && !flags.insecure) *listener.mutable_tls() = *tls;
    listener.set_allow_plain_text_off_loopback(flags.insecure);
  }
  ApplyAnonymous(flags, config);
}

}  // namespace

absl::Status CheckSocketPath(std::string_view path) {
  if (path.empty() || path[0] != '/') {
    return absl::InvalidArgumentError("a socket's path must be absolute");
  }
  if (path.size() > kSocketPathMaxBytes) {
    return absl::InvalidArgumentError(absl::StrCat("longer than the ", kSocketPathMaxBytes,
                                                   " bytes that a unix socket's path can have"));
  }
  if (path.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError("has a zero byte");
  }
  if (path.find_first_of("%?#") != std::string_view::npos) {
    return absl::InvalidArgumentError(
        "a socket's path may not have %, ? or #, which mean something else in the unix: address "
        "that clients use");
  }
  return absl::OkStatus();
}

absl::Status CheckViewerSocketPath(std::string_view path) {
  if (path == kNoSocket) return absl::OkStatus();
  if (path.find('/') != std::string_view::npos) return CheckSocketPath(path);
  return absl::InvalidArgumentError("is neither an absolute path nor none");
}

bool ViewerSocketIsDefault(const ServerConfig& config) {
  return config.viewer_socket_path() == DefaultViewerSocketPath(config);
}

absl::Status CheckMetricsAddress(std::string_view address) {
  const absl::StatusOr<HostPort> parsed = ParseHostPort(address);
  if (!parsed.ok()) return parsed.status();
  if (!IsLoopbackHost(parsed->host)) {
    return absl::InvalidArgumentError(
        absl::StrCat(parsed->host,
                     " is not a loopback address; metrics are plain HTTP that anyone who can "
                     "connect may read, so use 127.0.0.1 or localhost, and a proxy or an agent of "
                     "your monitoring on this host to take them further"));
  }
  if (!parsed->is_ipv6_literal) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "metrics can't be served on IPv6, which Debian's HTTP library is built without; use "
      "127.0.0.1");
}

bool TellsItsCalls(const Listener& listener) {
  if (listener.has_tls()) return true;
  const absl::StatusOr<HostPort> address = ParseHostPort(listener.address());
  if (!address.ok()) return false;
  in_addr v4{};
  if (inet_pton(AF_INET, address->host.c_str(), &v4) == 1) {
    return ntohl(v4.s_addr) == INADDR_LOOPBACK;
  }
  in6_addr v6{};
  if (inet_pton(AF_INET6, address->host.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6) != 0;
  return address->host == "localhost";
}

absl::Status CheckPlainText(const Listener& listener) {
  if (listener.has_tls() || listener.allow_plain_text_off_loopback()) return absl::OkStatus();
  auto address = ParseHostPort(listener.address());
  if (!address.ok()) return address.status();
  if (IsLoopbackHost(address->host)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(listener.address(),
                   " is not a loopback address, so plain text is refused: give the listener a tls "
                   "{ certificate_path private_key_path }, or say allow_plain_text_off_loopback: "
                   "true (or --insecure) if everyone on the network between may see what "
                   "others see"));
}

absl::StatusOr<ServerConfig> ParseConfig(std::string_view text, std::string_view file_name,
                                         const Flags& flags) {
  Mistakes mistakes(file_name);
  if (text.size() > kConfigMaxBytes) {
    mistakes.AddError(-1, 0, absl::StrCat("larger than ", kConfigMaxBytes, " bytes"));
    return mistakes.status();
  }
  ServerConfig config;
  TextFormat::ParseInfoTree places;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&mistakes);
  parser.WriteLocationsTo(&places);
  parser.SetRecursionLimit(kNestingMax);
  if (!parser.ParseFromString(std::string(text), &config)) {
    auto status = mistakes.status();
    return status.ok() ? absl::InvalidArgumentError("no textproto") : status;
  }
  ApplyFlags(flags, config);
  FillDefaults(config);
  CheckAnonymousFlags(flags, config, mistakes);
  Check(Node(mistakes, config, &places), config);
  if (auto status = mistakes.status(); !status.ok()) return status;
  return config;
}

absl::StatusOr<ServerConfig> LoadConfig(const Flags& flags) {
  if (!flags.config_path.has_value()) return ParseConfig("", "command line", flags);
  auto text = ReadFile(*flags.config_path);
  if (!text.ok()) return text.status();
  return ParseConfig(*text, *flags.config_path, flags);
}

}  // namespace planecast
