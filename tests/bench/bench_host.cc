#include "tests/bench/bench_host.h"

#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "clients/cpp/client.h"
#include "service/config/config.h"
#include "tests/bench/bench.h"

namespace planecast::bench {

absl::StatusOr<std::unique_ptr<BenchHost>> BenchHost::Start(EncoderFactory make_encoder) {
  auto host = std::make_unique<BenchHost>();
  if (absl::Status status = host->Listen(std::move(make_encoder)); !status.ok()) return status;
  return host;
}

BenchHost::BenchHost() = default;

BenchHost::~BenchHost() {
  daemon_.reset();
  if (!folder_.empty()) std::filesystem::remove_all(folder_);
}

absl::Status BenchHost::Listen(EncoderFactory make_encoder) {
  std::string pattern = (std::filesystem::temp_directory_path() / "planecast-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) return absl::InternalError("no temporary folder");
  folder_ = pattern;
  auto config =
      ParseConfig(absl::StrCat("socket_path: \"", folder_,
                               "/s\"\n"
                               "listeners { address: \"127.0.0.1:0\" "
                               "anonymous_role: \"operator\" }\n"
                               "limits { displays_max: 1000 connections_max: 10000 per_address { "
                               "connections_max: 10000 viewers_max: 1000 "
                               "unstarted_streams_max: 1000 snapshots_max: 8 } "
                               "per_principal { viewers_max: 1000 } }\n"
                               "allow_fake_devices: true\n"),
                  "bench");
  if (!config.ok()) return config.status();
  Daemon::Parts parts;
  parts.make_encoder = std::move(make_encoder);
  parts.open_source = [this](const DisplaySpec& /*spec*/) { return next_source_(); };
  log_ = std::make_unique<Logger>(LogLevel::kError);
  auto daemon = Daemon::Start(*config, *log_, parts);
  if (!daemon.ok()) return daemon.status();
  daemon_ = *std::move(daemon);
  // Unix sockets have no port.
  for (const BoundAddress& address : daemon_->addresses()) {
    if (address.port != 0) server_ = address.target;
  }
  return absl::OkStatus();
}

absl::Status BenchHost::Attach(const std::string& id, MakeSource make_source) {
  next_source_ = std::move(make_source);
  ClientOptions options;
  options.server = server_;
  auto client = Client::Connect(options);
  if (!client.ok()) return client.status();
  // What is attached is next_source_'s, whatever the request says.
  v1::DisplaySource source;
  source.mutable_fake()->set_profile("ideal");
  return (*client)->AttachDisplay(id, source).status();
}

absl::Status BenchHost::Attach(const std::string& id, BenchGuest& guest) {
  guests_.push_back(&guest);
  return Attach(id, [&guest] { return guest.OpenSource(); });
}

int64_t BenchHost::cpu_ns() const {
  int64_t others_ns = ThreadCpuNs();
  for (const BenchGuest* guest : guests_) others_ns += guest->cpu_ns();
  return ProcessCpuNs() - others_ns;
}

}  // namespace planecast::bench
