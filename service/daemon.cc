#include "service/daemon.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "encoder/encoder.h"
#include "service/config.h"
#include "service/grpc_host_service.h"
#include "service/unix_socket.h"

namespace planecast {
namespace {

/// Requests are small; an attach with every field at its limit is below 2 KiB.
constexpr int kRequestMaxBytes = 64 << 10;
/// Calls of one connection at a time.
constexpr int kCallsPerConnectionMax = 256;
/// A connection that says nothing for so long is asked for a sign of life ...
constexpr int kKeepaliveTimeMs = 20'000;
/// ... and closed if none comes.
constexpr int kKeepaliveTimeoutMs = 10'000;
/// Clients may ask us that often.
constexpr int kClientPingIntervalMinMs = 5'000;

void SetServerOptions(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kRequestMaxBytes);
  // Without this a second daemon would silently share the port.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kCallsPerConnectionMax);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kClientPingIntervalMinMs);
}

}  // namespace

class Daemon::Impl {
 public:
  Impl(const config::v1::ServerConfig& config, const Logger& log, const Parts& /*parts*/)
      : log_(log), host_service_(HostOptions(config)) {}

  absl::Status Start(const config::v1::ServerConfig& config) {
    // Both are switches of the process, not of a builder.
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    SetServerOptions(builder);
    ListenAddresses listen;
    if (auto status = listen.AddTo(builder, config); !status.ok()) return status;
    builder.RegisterService(&host_service_);
    {
      const OwnerOnlyFiles guard;
      server_ = builder.BuildAndStart();
    }
    if (server_ == nullptr) return listen.BindError();
    addresses_ = listen.Bound();
    for (const BoundAddress& address : addresses_) {
      log_.Info("", absl::StrCat("listening on ", address.target, address.tls ? " (TLS)" : ""));
    }
    return absl::OkStatus();
  }

  void Drain() {
    const std::lock_guard lock(drain_mutex_);
    if (drained_ || server_ == nullptr) return;
    drained_ = true;
    log_.Info("", "draining");
    if (auto* health = server_->GetHealthCheckService()) health->SetServingStatus(false);
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(kDrainMaxSeconds));
    log_.Info("", "stopped");
  }

  const std::vector<BoundAddress>& addresses() const { return addresses_; }

 private:
  static GrpcHostService::Options HostOptions(const config::v1::ServerConfig& config) {
    return {config.limits().displays_max(),
            config.limits().viewers_per_display_max(),
            !config.hand_over_socket_path().empty(),
            {}};
  }

  const Logger& log_;
  GrpcHostService host_service_;
  std::unique_ptr<grpc::Server> server_;
  std::vector<BoundAddress> addresses_;
  std::mutex drain_mutex_;
  bool drained_ = false;
};

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const config::v1::ServerConfig& config,
                                                      const Logger& log, const Parts& parts) {
  auto impl = std::make_unique<Impl>(config, log, parts);
  if (auto status = impl->Start(config); !status.ok()) return status;
  return std::make_unique<Daemon>(std::move(impl));
}

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const config::v1::ServerConfig& config,
                                                      const Logger& log) {
  return Start(config, log, Parts());
}

Daemon::Daemon(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Daemon::~Daemon() {
  impl_->Drain();
}
const std::vector<BoundAddress>& Daemon::addresses() const {
  return impl_->addresses();
}
void Daemon::Drain() {
  impl_->Drain();
}

}  // namespace planecast
