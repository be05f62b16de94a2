#include "service/daemon.h"

#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "encoder/encoder.h"
#include "service/access/audit_log.h"
#include "service/access/policy.h"
#include "service/access/ticket_store.h"
#include "service/config/access_config.h"
#include "service/config/config.h"
#include "service/config/limits_config.h"
#include "service/rpc/connection_guard.h"
#include "service/rpc/grpc_access_service.h"
#include "service/rpc/grpc_display_service.h"
#include "service/rpc/grpc_event_codec.h"
#include "service/rpc/grpc_gate.h"
#include "service/rpc/grpc_health_service.h"
#include "service/rpc/grpc_host_service.h"
#include "service/rpc/grpc_input_service.h"
#include "service/rpc/grpc_queue.h"
#include "service/rpc/grpc_reflection_service.h"
#include "service/rpc/grpc_viewer_service.h"
#include "service/rpc/proto_convert.h"
#include "service/rpc/wall_clock.h"
#include "service/sockets/file_limit.h"
#include "service/sockets/unix_socket.h"
#include "service/sources/hand_over.h"
#include "service/sources/host_probe.h"
#include "service/sources/left_out_source.h"
#include "service/sources/render_node.h"
#include "service/sources/retrying_source.h"
#include "service/sources/source_factory.h"
#include "service/telemetry/metrics_server.h"
#include "service/telemetry/state_log.h"
#include "vfio/fd_budget.h"

namespace planecast {
namespace {

using config::v1::ConfiguredDisplay;
using config::v1::ServerConfig;

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
/// TLS and HTTP/2's first words. gRPC waits for two minutes by default.
constexpr int kHandshakeMaxMs = 10'000;
/// A connection without a call is told to go; a stream is a call. Clients connect anew when they
/// have something to ask.
constexpr int kIdleMaxMs = 300'000;
/// What clients send and is not read yet may take so much memory: of each TCP connection gRPC's
/// window and its read buffers, twice, and as much again for the unix sockets and for what calls
/// have. Beyond it gRPC first closes connections without a call.
constexpr size_t kConnectionMemoryBytes = 256 << 10;
constexpr size_t kOtherMemoryBytes = 64 << 20;
/// What the Goodbye of a drain advises: time for a restart.
constexpr int32_t kDrainRetryAfterMs = 1000;

void SetServerOptions(grpc::ServerBuilder& builder, int connections_max) {
  grpc::ResourceQuota quota("planecast");
  quota.Resize(static_cast<size_t>(connections_max) * kConnectionMemoryBytes + kOtherMemoryBytes);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kRequestMaxBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kCallsPerConnectionMax);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMaxMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleMaxMs);
  // Nobody can ask for what it counts, per message and connection.
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
  // Clients send a few bytes at a time: their way to us needs no estimate of its bandwidth.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  // An idle watcher gets no data; after two pings gRPC would stop and keep it for ever.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A client's ping may come when its last call has just ended.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kClientPingIntervalMinMs);
}

/// All that the server serves.
std::vector<std::string> ServiceNames() {
  return {v1::HostService::service_full_name(),
          v1::DisplayService::service_full_name(),
          v1::ViewerService::service_full_name(),
          v1::AccessService::service_full_name(),
          v1::InputService::service_full_name(),
          grpc::health::v1::Health::service_full_name(),
          grpc::reflection::v1alpha::ServerReflection::service_full_name()};
}

EncoderFactory MakeEncoderFactory(const std::string& id, const EncoderCatalog& catalog,
                                  Clock& clock) {
  return [id, catalog, &clock](const EncoderParams& params, const RateParams& rate) {
    return catalog.Make(id, params, rate, clock);
  };
}

}  // namespace

/// Members are destroyed in reverse order: what is used is declared before who uses it.
class Daemon::Impl {
 public:
  Impl(const ServerConfig& config, const Logger& log, Parts parts)
      : config_(config),
        log_(log),
        parts_(std::move(parts)),
        process_fds_(FileLimit()),
        fds_(parts_.fds != nullptr ? *parts_.fds : process_fds_),
        wall_(*parts_.clock),
        codec_(wall_),
        states_(log, *parts_.clock),
        policy_(MakeAccessPolicy(config_)),
        tickets_(TicketStore::Make(*parts_.clock)) {}
  ~Impl() { Drain(); }

  absl::Status Start() {
    FitConnections();
    if (auto status = MakeGuard(); !status.ok()) return status;
    listen_ = std::make_unique<ListenAddresses>(*guard_);
    if (auto status = Bind(); !status.ok()) return status;
    // No thread yet: who lets go of privileges here lets go of all.
    if (auto status = Call(parts_.on_bound); !status.ok()) return status;
    if (auto status = listen_->ReadCertificates(config_); !status.ok()) return status;
    gate_ = std::make_unique<GrpcGate>(GrpcGate::Parts{policy_, tickets_, audit_.get(),
                                                       parts_.clock, MakeShares(config_.limits())},
                                       MakePeerReader(config_));
    queue_ = std::make_unique<GrpcQueue>(*parts_.clock, *gate_, guard_.get());
    if (auto status = MakeHandOver(); !status.ok()) return status;
    const EncoderCatalog catalog = EncoderCatalog::Probe({.render_nodes = NamedRenderNodes()});
    TellEncoders(catalog);
    for (const RenderNode& node : catalog.render_nodes()) render_nodes_.insert(node.path);
    registry_ = std::make_unique<Registry>(MakeRegistryOptions(catalog));
    if (auto status = StartMetrics(); !status.ok()) return status;
    MakeServices(catalog);
    if (auto status = StartServer(); !status.ok()) return status;
    // Whatever makes sockets has made them, and nobody was listened to yet, but who asked for
    // metrics on loopback.
    if (auto status = Call(parts_.on_probed); !status.ok()) return status;
    ServeHandOver();
    AttachConfigured();
    starting_ = false;
    return TakeConnections();
  }

  void Drain() {
    const std::lock_guard lock(drain_mutex_);
    if (drained_) return;
    drained_ = true;
    if (server_ != nullptr) DrainServer();
    if (queue_ != nullptr) queue_->Stop();
    // Devices are closed when this returns, not when the daemon is destroyed. A display whose
    // device hangs keeps the registry until it is done, and answers late: what waits for it has
    // nothing of the services, which are gone by then.
    server_.reset();
    viewer_service_.reset();
    access_service_.reset();
    display_service_.reset();
    metrics_.reset();
    registry_.reset();
    hand_over_.reset();
    queue_.reset();
    if (guard_ != nullptr) guard_->Stop();
    // Lines that wait are written.
    gate_.reset();
    RemoveSockets();
    viewer_socket_lock_.reset();
    socket_lock_.reset();
  }

  const std::vector<BoundAddress>& addresses() const { return addresses_; }
  const std::string& metrics_address() const { return metrics_address_; }

 private:
  static absl::Status Call(const std::function<absl::Status()>& step) {
    return step == nullptr ? absl::OkStatus() : step();
  }

  /// All that may need privileges, in one thread.
  absl::Status Bind() {
    // Before any device is touched: a daemon that serves this path may be using them.
    auto socket_lock = ClaimSocketPath(config_.socket_path());
    if (!socket_lock.ok()) return socket_lock.status();
    socket_lock_ = *std::move(socket_lock);
    if (auto status = ClaimViewerSocket(); !status.ok()) return status;
    const absl::Status bound = listen_->Bind(config_, policy_->bound_uids());
    // Also if it failed: what was bound is removed again.
    addresses_ = listen_->bound();
    if (!bound.ok()) return bound;
    if (!config_.hand_over_socket_path().empty()) {
      auto listener = HandOverServer::Bind(config_.hand_over_socket_path());
      if (!listener.ok()) return listener.status();
      hand_over_listener_ = *std::move(listener);
    }
    return OpenAuditLog();
  }

  /// A viewers' socket that nobody asked for is no reason not to start.
  absl::Status ClaimViewerSocket() {
    if (config_.viewer_socket_path() == kNoSocket) return absl::OkStatus();
    auto lock = ClaimSocketPath(config_.viewer_socket_path());
    if (lock.ok()) {
      viewer_socket_lock_ = *std::move(lock);
      return absl::OkStatus();
    }
    if (!ViewerSocketIsDefault(config_)) return lock.status();
    log_.Warning("", absl::StrCat("no socket for viewers: ", lock.status().message(),
                                  "; --viewer-socket names another path, or none"));
    config_.set_viewer_socket_path(std::string(kNoSocket));
    return absl::OkStatus();
  }

  absl::Status OpenAuditLog() {
    AuditLog::Options options;
    options.file_path = config_.audit().file_path();
    // Without a file no level of the log may leave a line out.
    const bool kept = !options.file_path.empty();
    options.log_line = [this, kept](const std::string& json) {
      const std::string line = absl::StrCat("audit: ", json);
      kept ? log_.Info("", line) : log_.Always(line);
    };
    options.wall_ns = [] {
      const auto now = std::chrono::system_clock::now().time_since_epoch();
      return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
    };
    options.monotonic_ns = [this] { return parts_.clock->NowNs(); };
    auto audit = AuditLog::Open(std::move(options));
    if (!audit.ok()) return audit.status();
    audit_ = *std::move(audit);
    return absl::OkStatus();
  }

  /// As many as there are file descriptors for.
  void FitConnections() {
    config::v1::LimitsConfig& limits = *config_.mutable_limits();
    const int fit = static_cast<int>(std::max<size_t>(fds_.connections_max(), 1));
    if (limits.connections_max() <= fit) return;
    log_.Warning("", absl::StrCat("at most ", fit, " TCP connections instead of ",
                                  limits.connections_max(), ": a limit of ", fds_.Read().limit,
                                  " file descriptors leaves no more; raise LimitNOFILE, or lower "
                                  "limits.connections_max"));
    limits.set_connections_max(fit);
  }

  absl::Status MakeGuard() {
    ConnectionGuard::Options options;
    options.clock = parts_.clock;
    options.shares = {config_.limits().connections_max(),
                      config_.limits().per_address().connections_max()};
    options.on_refusal = [this](const std::string& peer, const std::string& limit_key,
                                ConnectionRefusal why) {
      AuditEntry entry;
      entry.event = AuditEvent::kRefusal;
      entry.peer = peer;
      entry.limit_key = limit_key;
      entry.success = false;
      entry.reason = absl::StrCat("CONNECTION_",
                                  absl::AsciiStrToUpper(std::string(ConnectionRefusalName(why))));
      gate_->Audit(std::move(entry));
    };
    auto guard = ConnectionGuard::Make(log_, std::move(options));
    if (!guard.ok()) return guard.status();
    guard_ = *std::move(guard);
    return absl::OkStatus();
  }

  /// Only those that this process bound.
  void RemoveSockets() {
    for (const BoundAddress& address : addresses_) {
      if (address.port == 0) unlink(address.target.substr(sizeof("unix:") - 1).c_str());
    }
    // Who serves it removes it.
    if (hand_over_listener_.valid()) unlink(config_.hand_over_socket_path().c_str());
  }

  void ServeHandOver() {
    if (hand_over_ == nullptr) return;
    hand_over_->Serve();
    log_.Info("", absl::StrCat("devices can be handed over on ", config_.hand_over_socket_path()));
  }

  absl::Status MakeHandOver() {
    if (config_.hand_over_socket_path().empty()) return absl::OkStatus();
    auto server = HandOverServer::Make(config_.hand_over_socket_path(),
                                       std::move(hand_over_listener_), log_, *parts_.clock);
    if (!server.ok()) return server.status();
    hand_over_ = *std::move(server);
    return absl::OkStatus();
  }

  absl::Status StartMetrics() {
    if (config_.metrics_address().empty()) return absl::OkStatus();
    auto server = MetricsServer::Start(config_.metrics_address(), *registry_, [this] {
      return DaemonReading{{audit_->lost(), audit_->suppressed()}, ReadFds(), guard_->Read()};
    });
    if (!server.ok()) return server.status();
    metrics_ = *std::move(server);
    metrics_address_ = metrics_->address();
    log_.Info("", absl::StrCat("metrics on http://", metrics_address_, "/metrics"));
    return absl::OkStatus();
  }

  FdReading ReadFds() const {
    const FdBudget::Reading budget = fds_.Read();
    return {CountOpenFiles(), budget.limit, budget.claimed, budget.displays_max};
  }

  /// Those that the config names, each once.
  std::vector<std::string> NamedRenderNodes() const {
    std::vector<std::string> nodes;
    const auto add = [&nodes](const std::string& node) {
      if (!node.empty() && std::find(nodes.begin(), nodes.end(), node) == nodes.end()) {
        nodes.push_back(node);
      }
    };
    add(config_.encoder().render_node());
    for (const ConfiguredDisplay& display : config_.displays()) add(display.source().render_node());
    return nodes;
  }

  void TellEncoders(const EncoderCatalog& catalog) {
    for (const RenderNode& node : catalog.render_nodes()) {
      log_.Info("",
                absl::StrCat(node.path, ": ", node.driver,
                             node.available ? ", can encode" : ", can't encode: ", node.reason));
    }
  }

  RegistryOptions MakeRegistryOptions(const EncoderCatalog& catalog) {
    const config::v1::EncoderConfig& wish = config_.encoder();
    RegistryOptions options;
    options.displays_max = config_.limits().displays_max();
    options.open_source = [this](const DisplaySpec& spec) { return OpenSource(spec); };
    options.on_display = [this](const DisplaySnapshot& snapshot) { states_.OnDisplay(snapshot); };
    options.display.clock = parts_.clock;
    options.display.codec = &codec_;
    options.display.viewers_max = config_.limits().viewers_per_display_max();
    options.display.encoder_threads = wish.threads();
    options.display.profile =
        wish.profile() == "high" ? H264Profile::kHigh : H264Profile::kConstrainedBaseline;
    options.on_removed = [tickets = tickets_](const std::string& id, const std::string& uid) {
      tickets->ForgetDisplay({id, uid});
    };
    options.display.rate = {wish.quantizer(), wish.bitrate_max_bps()};
    options.display.make_encoder = parts_.make_encoder;
    const bool gpu_wanted = wish.id() == "vaapi" || wish.id() == "auto";
    const bool gpu_works = !catalog.encoders().empty() && catalog.encoders()[0].hardware &&
                           catalog.encoders()[0].available;
    options.display.encoder_reads_by_cpu = !gpu_wanted || !gpu_works;
    options.display.software_fallback = wish.id() == "auto";
    options.display.render_node_of = [fallback = wish.render_node()](const DisplaySpec& spec) {
      const std::string node = FindRenderNode(spec);
      return node.empty() ? fallback : node;
    };
    if (options.display.make_encoder == nullptr) {
      options.display.make_encoder = MakeEncoderFactory(wish.id(), catalog, *parts_.clock);
    }
    if (parts_.open_source == nullptr) {
      parts_.open_source = MakeSourceFactory(opener(), *parts_.clock, hand_over_.get(), &fds_);
    }
    return options;
  }

  DeviceOpener& opener() { return parts_.opener != nullptr ? *parts_.opener : local_opener_; }

  absl::StatusOr<std::unique_ptr<PlaneSource>> OpenSource(const DisplaySpec& spec) {
    if (std::holds_alternative<FakeSpec>(spec.device) && !config_.allow_fake_devices()) {
      return absl::PermissionDeniedError(std::string(kNoFakeDevices));
    }
    // It opens nothing as a GPU on a client's word alone: any file that the daemon may open could
    // be named.
    if (!spec.render_node.empty() && !render_nodes_.contains(spec.render_node)) {
      return absl::NotFoundError(absl::StrCat(
          "there was no render node ", spec.render_node,
          " when the daemon started; 'planecast host' lists those that it knows, and its config "
          "can name others"));
    }
    // Until the server listens nobody but AttachConfigured attaches.
    if (!starting_) return parts_.open_source(spec);
    if (std::holds_alternative<VmmSpec>(spec.device)) return MakeLeftOutSource(VmmInConfig());
    auto source = std::make_unique<RetryingSource>(
        [this, spec] { return parts_.open_source(spec); }, *parts_.clock);
    return source;
  }

  void AttachConfigured() {
    for (const ConfiguredDisplay& display : config_.displays()) {
      // UpgradeWarnings tells of it.
      if (display.source().has_fake() && !config_.allow_fake_devices()) continue;
      auto attached = AttachOne(display);
      if (!attached.ok()) {
        log_.Error(display.display_id(),
                   absl::StrCat("can't be attached: ", attached.status().message()));
        continue;
      }
      // Listed, with the reason.
      if (display.source().has_vmm()) {
        log_.Error(display.display_id(), std::string(VmmInConfig().message()));
        continue;
      }
      log_.Info(display.display_id(), "attached, as configured");
      AuditEntry entry;
      entry.event = AuditEvent::kDisplayAttach;
      entry.principal = "config";
      entry.display = display.display_id();
      entry.permission = "MANAGE";
      audit_->Write(entry);
    }
  }

  absl::StatusOr<DisplaySnapshot> AttachOne(const ConfiguredDisplay& display) {
    absl::StatusOr<DisplaySpec> spec = DisplaySpec();
    if (display.source().has_vmm()) {
      const v1::VmmDevice& vmm = display.source().vmm();
      spec->device = VmmSpec{vmm.pid(), vmm.device(), vmm.start_time_ticks()};
    } else {
      spec = ToSpec(display.source());
    }
    if (!spec.ok()) return spec.status();
    return registry_->Attach({display.display_id(), *spec, "", true});
  }

  void MakeServices(const EncoderCatalog& catalog) {
    GrpcHostService::Options options;
    options.displays_max = config_.limits().displays_max();
    options.viewers_per_display_max = config_.limits().viewers_per_display_max();
    options.opener = &opener();
    options.ways = {hand_over_ != nullptr, config_.allow_fake_devices()};
    options.encoders = catalog.encoders();
    options.render_nodes = catalog.render_nodes();
    options.open_doors = OpenDoors(config_);
    options.read_shortages = [this] { return fds_.Shortages(CountOpenFiles()); };
    options.confinement = parts_.confinement;
    host_service_ = std::make_unique<GrpcHostService>(std::move(options));
    display_service_ = std::make_unique<GrpcDisplayService>(*registry_, wall_, log_);
    viewer_service_ = std::make_unique<GrpcViewerService>(*registry_, codec_, wall_, log_);
    access_service_ = std::make_unique<GrpcAccessService>(*registry_, wall_);
  }

  /// The gRPC server, to which nobody can connect yet.
  absl::Status StartServer() {
    // Both are switches of the process, not of a builder.
    grpc::EnableDefaultHealthCheckService(false);
    // Debian builds abseil as for debugging: each lock of gRPC's would be checked for deadlocks.
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
    grpc::ServerBuilder builder;
    SetServerOptions(builder, config_.limits().connections_max());
    listen_->AddTo(builder);
    queue_->AddTo(builder);
    host_service_->AddTo(builder, *queue_);
    display_service_->AddTo(builder, *queue_);
    viewer_service_->AddTo(builder, *queue_);
    access_service_->AddTo(builder, *queue_);
    input_service_.AddTo(builder, *queue_);
    health_service_.AddTo(builder, *queue_);
    reflection_service_.AddTo(builder, *queue_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::InternalError("the gRPC server did not start");
    queue_->Serve();
    return absl::OkStatus();
  }

  absl::Status TakeConnections() {
    guard_->Start();
    if (auto status = listen_->Start(); !status.ok()) return status;
    for (const BoundAddress& address : addresses_) {
      log_.Info("", absl::StrCat("listening on ", address.target, address.tls ? " (TLS)" : ""));
    }
    WarnOfOpenDoors();
    return absl::OkStatus();
  }

  /// Says who can come in without credentials, and who no longer can.
  void WarnOfOpenDoors() {
    ServerConfig bound = config_;
    const int unix_sockets = static_cast<int>(addresses_.size()) - bound.listeners_size();
    for (int i = 0; i < bound.listeners_size(); ++i) {
      bound.mutable_listeners(i)->set_address(
          addresses_[static_cast<size_t>(unix_sockets) + static_cast<size_t>(i)].target);
    }
    for (const std::string& door : OpenDoors(bound)) log_.Warning("", door);
    for (const std::string& lost : UpgradeWarnings(config_)) log_.Warning("", lost);
  }

  void DrainServer() {
    log_.Info("", "draining: saying goodbye to all streams");
    health_service_.StopServing();
    Goodbye goodbye;
    goodbye.reason = Goodbye::Reason::kDraining;
    goodbye.message = "the server is shutting down";
    goodbye.retry_after_ms = kDrainRetryAfterMs;
    registry_->Drain(goodbye);
    viewer_service_->BeginDrain();
    const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(kDrainMaxSeconds);
    viewer_service_->AwaitStreamsEnd(deadline);
    listen_->Stop();
    queue_->Drain();
    server_->Shutdown(deadline);
    log_.Info("", "stopped");
  }

  ServerConfig config_;
  const Logger& log_;
  Parts parts_;
  /// Outlive all displays.
  FdBudget process_fds_;
  FdBudget& fds_;
  LocalOpener local_opener_{KernelSys(), "let planecast-broker open it"};
  const WallClock wall_;
  GrpcEventCodec codec_;
  StateLog states_;
  bool starting_ = true;
  std::optional<Fd> socket_lock_;
  std::optional<Fd> viewer_socket_lock_;
  const std::shared_ptr<const AccessPolicy> policy_;
  const std::shared_ptr<TicketStore> tickets_;
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<GrpcGate> gate_;
  /// Until it is served.
  Fd hand_over_listener_;
  std::unique_ptr<HandOverServer> hand_over_;
  /// Those that were probed. Constant once the first display is attached.
  std::set<std::string> render_nodes_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<MetricsServer> metrics_;
  std::string metrics_address_;
  std::unique_ptr<GrpcHostService> host_service_;
  std::unique_ptr<GrpcDisplayService> display_service_;
  std::unique_ptr<GrpcViewerService> viewer_service_;
  std::unique_ptr<GrpcAccessService> access_service_;
  GrpcInputService input_service_;
  GrpcHealthService health_service_{ServiceNames()};
  GrpcReflectionService reflection_service_{ServiceNames()};
  std::unique_ptr<ConnectionGuard> guard_;
  std::unique_ptr<GrpcQueue> queue_;
  std::unique_ptr<ListenAddresses> listen_;
  std::unique_ptr<grpc::Server> server_;
  std::vector<BoundAddress> addresses_;
  std::mutex drain_mutex_;
  bool drained_ = false;
};

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const ServerConfig& config, const Logger& log,
                                                      const Parts& parts) {
  auto impl = std::make_unique<Impl>(config, log, parts);
  if (auto status = impl->Start(); !status.ok()) return status;
  return std::make_unique<Daemon>(std::move(impl));
}

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const ServerConfig& config,
                                                      const Logger& log) {
  return Start(config, log, Parts());
}

Daemon::Daemon(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Daemon::~Daemon() = default;
const std::vector<BoundAddress>& Daemon::addresses() const {
  return impl_->addresses();
}
const std::string& Daemon::metrics_address() const {
  return impl_->metrics_address();
}
void Daemon::Drain() {
  impl_->Drain();
}

}  // namespace planecast
