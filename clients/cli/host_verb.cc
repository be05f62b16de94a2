// `planecast host`: what the server and its machine can do.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "clients/cli/format.h"
#include "clients/cli/verbs.h"

namespace planecast::cli {
namespace {

std::string FormatAvailable(bool available, const std::string& reason) {
  return available ? "yes" : absl::StrCat("no: ", reason);
}

/// What each GPU claims, and what came of trying it.
void PrintRenderNodes(const Context& context, const v1::GetHostInfoResponse& host) {
  for (const v1::RenderNodeInfo& node : host.render_nodes()) {
    context.out() << "\n"
                  << node.path() << ": "
                  << (node.driver().empty() ? "no VA driver" : node.driver());
    if (!node.va_version().empty()) context.out() << ", VA-API " << node.va_version();
    context.out() << "\n";
    if (!node.available()) context.out() << "can't encode: " << node.reason() << "\n";
    if (node.entrypoints().empty()) continue;
    std::vector<std::vector<std::string>> entrypoints = {{"PROFILE", "ENTRYPOINT", "RATE CONTROL",
                                                          "PACKED HEADERS", "LARGEST", "REFERENCES",
                                                          "SLICES"}};
    for (const v1::GpuEntrypoint& one : node.entrypoints()) {
      const std::string packed = absl::StrJoin(one.packed_headers(), ",");
      entrypoints.push_back({one.profile(), one.name(), absl::StrJoin(one.rate_controls(), ","),
                             packed.empty() ? "-" : packed,
                             absl::StrCat(one.width_max_px(), "x", one.height_max_px()),
                             absl::StrCat(one.references_max()), absl::StrCat(one.slices_max())});
    }
    std::vector<std::vector<std::string>> probes = {
        {"PROBE", "ENTRYPOINT", "RATE CONTROL", "RESULT"}};
    for (const v1::GpuProbe& probe : node.probes()) {
      probes.push_back({probe.profile(), probe.entrypoint(), probe.rate_control(),
                        probe.ok() ? absl::StrFormat("works, %.1f ms",
                                                     static_cast<double>(probe.duration_ns()) / 1e6)
                                   : probe.reason()});
    }
    context.out() << FormatTable(entrypoints) << FormatTable(probes);
  }
}

/// What an operator should not overlook.
void Warn(const Context& context, const v1::GetHostInfoResponse& host) {
  for (const std::string& door : host.open_doors()) {
    context.err() << "planecast: WARNING: open door: " << door << "\n";
  }
  for (const std::string& shortage : host.shortages()) {
    context.err() << "planecast: WARNING: short: " << shortage << "\n";
  }
  if (!host.audit_problem().empty()) {
    context.err() << "planecast: WARNING: the audit file is not written: " << host.audit_problem()
                  << "\n";
  }
  if (!host.has_confinement()) return;
  const v1::Confinement& confinement = host.confinement();
  if (confinement.privileged()) {
    context.err() << "planecast: WARNING: the daemon runs as " << confinement.user()
                  << " with privileges, which whoever takes it over has too\n";
  }
  if (!confinement.system_calls_filtered()) {
    context.err() << "planecast: WARNING: the daemon may make every system call: "
                  << confinement.system_call_filter_problem() << "\n";
  }
}

/// Only operators are told.
void PrintConfinement(const Context& context, const v1::GetHostInfoResponse& host) {
  if (!host.has_confinement()) return;
  const v1::Confinement& confinement = host.confinement();
  context.out() << "runs as " << confinement.user()
                << (confinement.privileged() ? ", with" : ", without")
                << " privileges; system calls are "
                << (confinement.system_calls_filtered() ? "filtered" : "not filtered") << "\n"
                << "devices are opened by "
                << (confinement.opener() == "broker" ? "planecast-broker" : "the daemon itself");
  if (!confinement.opener_problem().empty()) context.out() << ": " << confinement.opener_problem();
  context.out() << "\n";
}

void PrintHost(const Context& context, const Client& client, const v1::GetHostInfoResponse& host) {
  const v1::HostLimits& limits = host.limits();
  Warn(context, host);
  context.out() << "planecastd " << host.version() << " at " << client.server() << "\n";
  if (!host.principal().empty()) context.out() << "you are " << host.principal() << "\n";
  PrintConfinement(context, host);
  context.out() << "\n";
  std::vector<std::vector<std::string>> sources = {{"SOURCE", "AVAILABLE"}};
  for (const v1::PlaneSourceInfo& source : host.plane_sources()) {
    sources.push_back({source.id(), FormatAvailable(source.available(), source.reason())});
  }
  std::vector<std::vector<std::string>> encoders = {
      {"ENCODER", "VERSION", "ON", "PROFILES", "LARGEST", "FORMATS", "AVAILABLE"}};
  for (const v1::EncoderInfo& encoder : host.encoders()) {
    encoders.push_back({encoder.id(), encoder.library_version(), encoder.hardware() ? "GPU" : "CPU",
                        absl::StrJoin(encoder.profiles(), ","),
                        absl::StrCat(encoder.width_max_px(), "x", encoder.height_max_px()),
                        absl::StrJoin(encoder.fourccs(), ","),
                        FormatAvailable(encoder.available(), encoder.reason())});
  }
  context.out() << FormatTable(sources) << "\n"
                << FormatTable(encoders) << "\nLimits: " << limits.displays_max() << " displays, "
                << limits.viewers_per_display_max() << " viewers of each, planes up to "
                << limits.width_max_px() << "x" << limits.height_max_px() << "\n";
  PrintRenderNodes(context, host);
}

int RunHost(const Context& context) {
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  const absl::StatusOr<v1::GetHostInfoResponse> host = client->GetHostInfo();
  if (!host.ok()) return CallFailed(context, "ask for the host", host.status());
  if (context.output == Output::kJson) {
    context.out() << FormatJson(*host);
  } else {
    PrintHost(context, *client, *host);
  }
  return kDone;
}

}  // namespace

const Verb& HostVerb() {
  static const Verb verb = {
      .syntax =
          {.name = "host",
           .summary = "Show the server's version, plane sources, encoders, GPUs and limits",
           .details =
               "If you manage the host, it says what the daemon's own process may do, and warns "
               "of privileges that it has, of ways in that need no credentials, and of what is "
               "short.",
           .examples = {{"planecast host", "what can this machine do?"},
                        {"planecast host -o json --server vmhost:7443 --tls-ca ca.pem",
                         "the same of a remote server, for a program"}}},
      .run = RunHost};
  return verb;
}

}  // namespace planecast::cli
