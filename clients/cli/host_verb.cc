// `planecast host`: what the server and its machine can do.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "clients/cli/format.h"
#include "clients/cli/verbs.h"

namespace planecast::cli {
namespace {

std::string FormatAvailable(bool available, const std::string& reason) {
  return available ? "yes" : absl::StrCat("no: ", reason);
}

void PrintHost(const Context& context, const Client& client, const v1::GetHostInfoResponse& host) {
  const v1::HostLimits& limits = host.limits();
  context.out() << "planecastd " << host.version() << " at " << client.server() << "\n\n";
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
      .syntax = {.name = "host",
                 .summary = "Show the server's version, plane sources, encoders and limits",
                 .examples = {{"planecast host", "what can this machine do?"},
                              {"planecast host -o json --server vmhost:7443 --tls-ca ca.pem",
                               "the same of a remote server, for a program"}}},
      .run = RunHost};
  return verb;
}

}  // namespace planecast::cli
