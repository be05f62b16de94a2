#include "clients/cpp/client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "clients/cpp/start_stream.h"
#include "clients/cpp/status.h"
#include "clients/cpp/ticket.h"
#include "planecast/v1/access_service.grpc.pb.h"
#include "planecast/v1/display_service.grpc.pb.h"
#include "planecast/v1/host_service.grpc.pb.h"
#include "planecast/v1/viewer_service.grpc.pb.h"

namespace planecast {
namespace {

// A key frame of an 8K display, or a snapshot of noise at that size, in bytes.
constexpr int kMessageSizeMax = 128 << 20;
// What a snapshot may take; the most that a server gives.
constexpr int64_t kSnapshotSizeMax = int64_t{64} << 20;
// What may be under way to a client that neither acknowledges nor reads, in bytes. Small: whatever
// waits in there is an old picture by the time it is shown.
constexpr int kReceiveWindowBytes = 256 << 10;
// gRPC waits up to two minutes between tries by default, behind the back of our own back-off.
constexpr int kReconnectMinMs = 100;
constexpr int kReconnectMaxMs = 1000;
// Pings tell a dead link from an idle display: it is noticed after the sum of both. planecastd
// allows pings every 5 s.
constexpr int kKeepaliveTimeMs = 20'000;
constexpr int kKeepaliveTimeoutMs = 10'000;
// Displays, tickets or viewers asked for at a time.
constexpr int kPageSize = 500;
// Pages taken before a server that never stops is given up on.
constexpr int kPagesMax = 1000;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat("can't read ", path));
  std::ostringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeTlsCredentials(
    const TlsOptions& tls) {
  if (tls.certificate_path.empty() != tls.private_key_path.empty()) {
    return absl::InvalidArgumentError(
        "a client certificate needs its private key and the other way round: give both, "
        "--tls-cert and --tls-key");
  }
  grpc::SslCredentialsOptions options;
  const std::array<std::pair<const std::string*, std::string*>, 3> files = {{
      {&tls.ca_path, &options.pem_root_certs},
      {&tls.certificate_path, &options.pem_cert_chain},
      {&tls.private_key_path, &options.pem_private_key},
  }};
  for (const auto& [path, contents] : files) {
    if (path->empty()) continue;
    absl::StatusOr<std::string> read = ReadFile(*path);
    if (!read.ok()) return read.status();
    *contents = *std::move(read);
  }
  return grpc::SslCredentials(options);
}

absl::StatusOr<bool> ChooseTls(const ClientOptions& options, const ServerAddress& address) {
  if (options.transport == Transport::kPlainText && options.tls.any()) {
    return absl::InvalidArgumentError(
        "plain text and TLS options contradict each other: leave one of them out");
  }
  const bool wanted = options.transport == Transport::kTls || options.tls.any();
  if (wanted && address.is_unix) {
    return absl::InvalidArgumentError(absl::StrCat(
        address.target, " is a unix socket, which has no TLS: leave the TLS options out"));
  }
  return wanted || (options.transport == Transport::kAuto && !address.is_local);
}

// Nobody on a network can listen in.
bool IsSafe(const ServerAddress& address, bool use_tls) {
  return use_tls || address.is_local;
}

absl::StatusOr<std::string> ChooseTicket(const ClientOptions& options, bool is_safe) {
  std::string ticket = options.ticket;
  const char* from_environment = std::getenv("PLANECAST_TICKET");
  if (ticket.empty() && from_environment != nullptr) ticket = from_environment;
  if (ticket.empty()) return ticket;
  if (absl::Status status = CheckTicket(ticket); !status.ok()) return status;
  if (!is_safe) {
    return absl::InvalidArgumentError(
        "a ticket is never sent over plain text to another machine; use TLS (--tls-ca)");
  }
  return ticket;
}

// How much HTTP/2 lets be under way.
enum class ReceiveWindow {
  // What the link brings in its round trip, as gRPC measures it: for all but a stream that does not
  // acknowledge. One that does is kept current by the server, and on a long way it needs more than
  // HTTP/2's 64 KiB to be more than 5 Mbit/s.
  kGrowing,
  kSmall,
};

grpc::ChannelArguments MakeChannelArguments(const ServerAddress& address, const TlsOptions& tls,
                                            ReceiveWindow window) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageSizeMax);
  if (window == ReceiveWindow::kSmall) {
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kReceiveWindowBytes);
  }
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMinMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMaxMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  // Who only watches sends no data; after two pings gRPC would stop.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A proxy of the environment can't reach this machine's own addresses.
  if (address.is_local) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (!tls.server_name.empty()) arguments.SetSslTargetNameOverride(tls.server_name);
  return arguments;
}

// Gets all pages of a list by `call`, from what `request` asks for on, and hands each to `take`.
template <typename Response, typename Request, typename Call, typename Take>
absl::Status ForEachPage(Request request, const Call& call, const Take& take) {
  request.set_page_size(kPageSize);
  for (int page = 0; page < kPagesMax; ++page) {
    Response response;
    if (absl::Status status = call(request, response); !status.ok()) return status;
    take(response);
    if (response.next_page_token().empty()) return absl::OkStatus();
    request.set_page_token(response.next_page_token());
  }
  return absl::InternalError(
      absl::StrCat("the server's list did not end after ", kPagesMax, " pages"));
}

// A random UUID, version 4.
std::string MakeRequestId() {
  std::random_device random;
  std::array<uint32_t, 4> words = {random(), random(), random(), random()};
  words[1] = (words[1] & 0xffff0fffU) | 0x00004000U;
  words[2] = (words[2] & 0x3fffffffU) | 0x80000000U;
  return absl::StrFormat("%08x-%04x-%04x-%04x-%04x%08x", words[0], words[1] >> 16,
                         words[1] & 0xffffU, words[2] >> 16, words[2] & 0xffffU, words[3]);
}

}  // namespace

struct Client::Impl {
  ServerAddress address;
  bool use_tls = false;
  std::chrono::milliseconds deadline;
  std::shared_ptr<CallMetadata> metadata;
  std::unique_ptr<v1::AccessService::Stub> access;
  std::unique_ptr<v1::HostService::Stub> host;
  std::unique_ptr<v1::DisplayService::Stub> displays;
  std::shared_ptr<v1::ViewerService::Stub> viewers;
  // For streams that do not acknowledge. Connects when there is one.
  std::shared_ptr<v1::ViewerService::Stub> deaf_viewers;

  absl::Status Explain(const grpc::Status& status) const {
    return FromGrpc(status, address, use_tls);
  }

  // Runs one unary call of `stub` within the deadline.
  template <typename Stub, typename Request, typename Response>
  absl::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response) const {
    grpc::ClientContext context;
    metadata->AddTo(context);
    context.set_deadline(std::chrono::system_clock::now() + deadline);
    return Explain((stub.*method)(&context, request, &response));
  }
};

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const ClientOptions& options) {
  absl::StatusOr<ServerAddress> address = ParseServerAddress(options.server);
  if (!address.ok()) return address.status();
  const absl::StatusOr<bool> use_tls = ChooseTls(options, *address);
  if (!use_tls.ok()) return use_tls.status();
  absl::StatusOr<std::string> ticket = ChooseTicket(options, IsSafe(*address, *use_tls));
  if (!ticket.ok()) return ticket.status();
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (*use_tls) {
    auto tls = MakeTlsCredentials(options.tls);
    if (!tls.ok()) return tls.status();
    credentials = *std::move(tls);
  }
  const auto make_channel = [&](ReceiveWindow window) {
    return grpc::CreateCustomChannel(address->target, credentials,
                                     MakeChannelArguments(*address, options.tls, window));
  };
  const std::shared_ptr<grpc::Channel> channel = make_channel(ReceiveWindow::kGrowing);
  const std::shared_ptr<grpc::Channel> deaf_channel = make_channel(ReceiveWindow::kSmall);
  auto impl = std::make_unique<Impl>();
  impl->address = *std::move(address);
  impl->use_tls = *use_tls;
  impl->deadline = options.deadline;
  impl->metadata = std::make_shared<CallMetadata>(*std::move(ticket));
  impl->access = v1::AccessService::NewStub(channel);
  impl->host = v1::HostService::NewStub(channel);
  impl->displays = v1::DisplayService::NewStub(channel);
  impl->viewers = v1::ViewerService::NewStub(channel);
  impl->deaf_viewers = v1::ViewerService::NewStub(deaf_channel);
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

const std::string& Client::server() const {
  return impl_->address.target;
}

absl::StatusOr<v1::GetHostInfoResponse> Client::GetHostInfo() {
  v1::GetHostInfoResponse response;
  const absl::Status status = impl_->Call(*impl_->host, &v1::HostService::Stub::GetHostInfo,
                                          v1::GetHostInfoRequest(), response);
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<std::vector<v1::Display>> Client::ListDisplays() {
  std::vector<v1::Display> displays;
  const absl::Status status = ForEachPage<v1::ListDisplaysResponse>(
      v1::ListDisplaysRequest(),
      [this](const auto& request, auto& response) {
        return impl_->Call(*impl_->displays, &v1::DisplayService::Stub::ListDisplays, request,
                           response);
      },
      [&displays](v1::ListDisplaysResponse& page) {
        std::move(page.mutable_displays()->begin(), page.mutable_displays()->end(),
                  std::back_inserter(displays));
      });
  if (!status.ok()) return status;
  return displays;
}

absl::StatusOr<v1::Display> Client::GetDisplay(std::string_view display) {
  absl::StatusOr<std::string> name = ParseDisplayName(display);
  if (!name.ok()) return name.status();
  v1::GetDisplayRequest request;
  request.set_name(*std::move(name));
  v1::GetDisplayResponse response;
  const absl::Status status =
      impl_->Call(*impl_->displays, &v1::DisplayService::Stub::GetDisplay, request, response);
  if (!status.ok()) return status;
  return std::move(*response.mutable_display());
}

absl::StatusOr<v1::Display> Client::AttachDisplay(
    std::string_view display, const v1::DisplaySource& source,
    const std::map<std::string, std::string>& labels) {
  const absl::StatusOr<std::string> name = ParseDisplayName(display);
  if (!name.ok()) return name.status();
  v1::AttachDisplayRequest request;
  request.set_display_id(std::string(DisplayId(*name)));
  *request.mutable_source() = source;
  request.set_request_id(MakeRequestId());
  for (const auto& [key, value] : labels) (*request.mutable_labels())[key] = value;
  absl::Status status;
  for (int attempt = 0; attempt < 2; ++attempt) {
    v1::AttachDisplayResponse response;
    status =
        impl_->Call(*impl_->displays, &v1::DisplayService::Stub::AttachDisplay, request, response);
    if (status.ok()) return std::move(*response.mutable_display());
    // A server that says why has answered.
    if (!absl::IsUnavailable(status) || ReasonOf(status) != v1::ERROR_REASON_UNSPECIFIED) break;
  }
  return status;
}

absl::Status Client::DetachDisplay(std::string_view display) {
  absl::StatusOr<std::string> name = ParseDisplayName(display);
  if (!name.ok()) return name.status();
  v1::DetachDisplayRequest request;
  request.set_name(*std::move(name));
  v1::DetachDisplayResponse response;
  return impl_->Call(*impl_->displays, &v1::DisplayService::Stub::DetachDisplay, request, response);
}

absl::Status Client::SetDisplayMode(std::string_view display, int width_px, int height_px) {
  absl::StatusOr<std::string> name = ParseDisplayName(display);
  if (!name.ok()) return name.status();
  v1::SetDisplayModeRequest request;
  request.set_name(*std::move(name));
  request.set_width_px(width_px);
  request.set_height_px(height_px);
  v1::SetDisplayModeResponse response;
  return impl_->Call(*impl_->displays, &v1::DisplayService::Stub::SetDisplayMode, request,
                     response);
}

absl::StatusOr<v1::GetSnapshotResponse> Client::GetSnapshot(std::string_view display,
                                                            const SnapshotOptions& options) {
  absl::StatusOr<std::string> name = ParseDisplayName(display);
  if (!name.ok()) return name.status();
  v1::GetSnapshotRequest request;
  request.set_name(*std::move(name));
  request.set_exclude_cursor(options.exclude_cursor);
  request.set_width_max_px(options.width_max_px);
  request.set_size_max_bytes(kSnapshotSizeMax);
  v1::GetSnapshotResponse response;
  const absl::Status status =
      impl_->Call(*impl_->displays, &v1::DisplayService::Stub::GetSnapshot, request, response);
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<v1::Display> Client::UpdateDisplay(const v1::Display& display,
                                                  const std::vector<std::string>& fields) {
  v1::UpdateDisplayRequest request;
  *request.mutable_display() = display;
  for (const std::string& field : fields) request.mutable_update_mask()->add_paths(field);
  v1::UpdateDisplayResponse response;
  const absl::Status status =
      impl_->Call(*impl_->displays, &v1::DisplayService::Stub::UpdateDisplay, request, response);
  if (!status.ok()) return status;
  return std::move(*response.mutable_display());
}

absl::StatusOr<v1::CreateTicketResponse> Client::CreateTicket(
    const v1::CreateTicketRequest& request) {
  if (!IsSafe(impl_->address, impl_->use_tls)) {
    return absl::InvalidArgumentError(
        "a ticket is never sent over plain text from another machine; use TLS (--tls-ca), or make "
        "it on the host");
  }
  v1::CreateTicketRequest named = request;
  for (std::string& display : *named.mutable_displays()) {
    absl::StatusOr<std::string> name = ParseDisplayName(display);
    if (!name.ok()) return name.status();
    display = *std::move(name);
  }
  v1::CreateTicketResponse response;
  const absl::Status status =
      impl_->Call(*impl_->access, &v1::AccessService::Stub::CreateTicket, named, response);
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<std::vector<v1::Ticket>> Client::ListTickets() {
  std::vector<v1::Ticket> tickets;
  const absl::Status status = ForEachPage<v1::ListTicketsResponse>(
      v1::ListTicketsRequest(),
      [this](const auto& request, auto& response) {
        return impl_->Call(*impl_->access, &v1::AccessService::Stub::ListTickets, request,
                           response);
      },
      [&tickets](v1::ListTicketsResponse& page) {
        std::move(page.mutable_tickets()->begin(), page.mutable_tickets()->end(),
                  std::back_inserter(tickets));
      });
  if (!status.ok()) return status;
  return tickets;
}

absl::Status Client::RevokeTicket(std::string_view ticket) {
  absl::StatusOr<std::string> name = ParseTicketName(ticket);
  if (!name.ok()) return name.status();
  v1::RevokeTicketRequest request;
  request.set_name(*std::move(name));
  v1::RevokeTicketResponse response;
  return impl_->Call(*impl_->access, &v1::AccessService::Stub::RevokeTicket, request, response);
}

absl::StatusOr<std::vector<v1::ViewerInfo>> Client::ListViewers(std::string_view display) {
  absl::StatusOr<std::string> name = ParseDisplayName(display);
  if (!name.ok()) return name.status();
  v1::ListViewersRequest first;
  first.set_parent(*std::move(name));
  std::vector<v1::ViewerInfo> viewers;
  const absl::Status status = ForEachPage<v1::ListViewersResponse>(
      std::move(first),
      [this](const auto& request, auto& response) {
        return impl_->Call(*impl_->viewers, &v1::ViewerService::Stub::ListViewers, request,
                           response);
      },
      [&viewers](v1::ListViewersResponse& page) {
        std::move(page.mutable_viewers()->begin(), page.mutable_viewers()->end(),
                  std::back_inserter(viewers));
      });
  if (!status.ok()) return status;
  return viewers;
}

absl::Status Client::EndViewer(std::string_view display, std::string_view viewer,
                               std::string_view message) {
  absl::StatusOr<std::string> name = ParseViewerName(display, viewer);
  if (!name.ok()) return name.status();
  v1::EndViewerRequest request;
  request.set_name(*std::move(name));
  request.set_message(std::string(message));
  v1::EndViewerResponse response;
  return impl_->Call(*impl_->viewers, &v1::ViewerService::Stub::EndViewer, request, response);
}

absl::Status Client::WatchDisplays(
    const std::stop_token& stop,
    const std::function<bool(const v1::WatchDisplaysResponse&)>& on_event) {
  grpc::ClientContext context;
  impl_->metadata->AddTo(context);
  const std::unique_ptr<grpc::ClientReader<v1::WatchDisplaysResponse>> call =
      impl_->displays->WatchDisplays(&context, v1::WatchDisplaysRequest());
  bool done = false;
  grpc::Status status;
  {
    const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
    v1::WatchDisplaysResponse response;
    while (!done && call->Read(&response)) done = !on_event(response);
    if (done) context.TryCancel();
    status = call->Finish();
  }
  if (done || stop.stop_requested()) return absl::OkStatus();
  if (status.ok()) return absl::UnavailableError("the server ended the watch");
  return impl_->Explain(status);
}

absl::StatusOr<std::unique_ptr<Stream>> Client::StreamDisplay(std::string_view display,
                                                              const StreamOptions& options,
                                                              StreamHandler& handler) {
  absl::StatusOr<std::string> name = ParseDisplayName(display);
  if (!name.ok()) return name.status();
  auto explain = [address = impl_->address, use_tls = impl_->use_tls](const grpc::Status& status) {
    return FromGrpc(status, address, use_tls);
  };
  const auto& stub =
      options.acknowledge == AcknowledgeMode::kNever ? impl_->deaf_viewers : impl_->viewers;
  return StartStream(stub, impl_->metadata, *std::move(name), options, std::move(explain), handler);
}

}  // namespace planecast
