#include "service/telemetry/metrics_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <sys/socket.h>

#include <chrono>
#include <exception>
#include <future>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "service/telemetry/metrics_page.h"

namespace planecast {
namespace {

constexpr std::chrono::milliseconds kWakeInterval{5};

class Page : public prometheus::Collectable {
 public:
  Page(const Registry& registry, std::function<DaemonReading()> read_daemon)
      : registry_(registry), read_daemon_(std::move(read_daemon)) {}
  std::vector<prometheus::MetricFamily> Collect() const override {
    return CollectMetrics(registry_, read_daemon_ == nullptr ? DaemonReading() : read_daemon_());
  }

 private:
  const Registry& registry_;
  const std::function<DaemonReading()> read_daemon_;
};

std::string Join(const HostPort& address) {
  return absl::StrCat(address.host, ":", address.port);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const std::string& address, const Registry& registry,
    std::function<DaemonReading()> read_daemon) {
  auto parsed = ParseHostPort(address);
  if (!parsed.ok()) return parsed.status();
  // The HTTP library wants numbers.
  if (parsed->host == "localhost") parsed->host = "127.0.0.1";
  auto page = std::make_shared<Page>(registry, std::move(read_daemon));
  // The library throws; nothing of it is to get past here.
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(
        std::vector<std::string>{"listening_ports", Join(*parsed), "num_threads", "1",
                                 "request_timeout_ms", absl::StrCat(kMetricsRequestTimeoutMs)});
    exposer->RegisterCollectable(page);
    const std::vector<int> ports = exposer->GetListeningPorts();
    if (!ports.empty()) parsed->port = ports.front();
    return std::make_unique<MetricsServer>(*parsed, std::move(page), std::move(exposer));
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat(
        "metrics can't be served on ", address,
        ": is the port taken ('ss -ltnp' shows by whom)? Choose another with --metrics "
        "or metrics_address, or port 0 for a free one (the HTTP library says: ",
        error.what(), ")"));
  }
}

MetricsServer::MetricsServer(const HostPort& address, std::shared_ptr<prometheus::Collectable> page,
                             std::unique_ptr<prometheus::Exposer> exposer)
    : waker_(KernelSys(), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
      host_port_(address),
      address_(Join(address)),
      page_(std::move(page)),
      exposer_(std::move(exposer)) {}

MetricsServer::~MetricsServer() {
  // The library's listening thread sees that it is to end when a connection comes, or every two
  // seconds, for which no drain should wait.
  const auto closed = std::async(std::launch::async, [this] { exposer_.reset(); });
  while (closed.wait_for(kWakeInterval) != std::future_status::ready) WakeListener();
}

void MetricsServer::WakeListener() const {
  sockaddr_in peer = {};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(static_cast<uint16_t>(host_port_.port));
  inet_pton(AF_INET, host_port_.host.c_str(), &peer.sin_addr);
  if (!waker_.valid()) return;
  // Lets go of the connection of the time before.
  sockaddr nobody = {};
  nobody.sa_family = AF_UNSPEC;
  std::ignore = connect(waker_.get(), &nobody, sizeof(nobody));
  // Whether it comes to anything: the listener has woken, or is gone.
  std::ignore = connect(waker_.get(), reinterpret_cast<sockaddr*>(&peer), sizeof(peer));
}

}  // namespace planecast
