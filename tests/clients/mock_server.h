// A scripted server of all services, in process.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "planecast/v1/access_service.grpc.pb.h"
#include "planecast/v1/display_service.grpc.pb.h"
#include "planecast/v1/errors.pb.h"
#include "planecast/v1/host_service.grpc.pb.h"
#include "planecast/v1/viewer_service.grpc.pb.h"

namespace planecast {

/// A StreamDisplay call, seen from the server.
using ServerStream = grpc::ServerReaderWriter<v1::StreamDisplayResponse, v1::StreamDisplayRequest>;

/// What the server does in one StreamDisplay call after it has read the start.
using StreamScript = std::function<grpc::Status(const v1::StreamStart&, ServerStream&)>;

/// What the server does in a WatchDisplays call.
using WatchScript = std::function<grpc::Status(grpc::ServerContext&,
                                               grpc::ServerWriter<v1::WatchDisplaysResponse>&)>;

/// What a call said of its caller.
struct SeenCall {
  std::string method;
  /// Metadata; empty where there is none.
  std::string authorization;
  std::string viewer_id;
};

/// Serves on a unix socket in a folder of its own, or on a free TCP port. Thread-safe.
class MockServer final : public v1::AccessService::Service,
                         public v1::HostService::Service,
                         public v1::DisplayService::Service,
                         public v1::ViewerService::Service {
 public:
  /// Starts to serve. `credentials` null: on a unix socket; else on 127.0.0.1.
  explicit MockServer(std::shared_ptr<grpc::ServerCredentials> credentials = nullptr);
  ~MockServer() override;

  /// For --server.
  const std::string& address() const { return address_; }
  /// A folder that goes with the server.
  const std::string& folder() const { return folder_; }

  /// Ends all calls and closes the socket.
  void StopServing();
  /// Serves again, at the same address.
  void StartServing();

  /// Attaches a display without a call.
  void AddDisplay(const v1::Display& display);
  /// Lets each call of the method fail with this status; OK lets it work again.
  void FailCalls(const std::string& method, const grpc::Status& status);
  /// Each StreamDisplay call takes the next script; without one it fails NOT_FOUND.
  void AddStreamScript(StreamScript script);
  void SetWatchScript(WatchScript script);
  /// What each WatchDisplay call sends before it waits for the client to go.
  void SetWatchedEvents(std::vector<v1::StreamDisplayResponse> events);
  void SetSnapshot(const v1::GetSnapshotResponse& snapshot);
  /// What GetHostInfo tells beside what it always does.
  void SetHostInfo(const v1::GetHostInfoResponse& more);
  void AddTicket(const v1::Ticket& ticket);
  void AddViewer(const v1::ViewerInfo& viewer);
  /// Called in each UpdateDisplay before it looks at the display, for what others do meanwhile.
  void SetBeforeUpdate(std::function<void(v1::Display&)> before_update);

  /// Requests so far, oldest first.
  std::vector<v1::AttachDisplayRequest> attach_requests();
  std::vector<v1::SetDisplayModeRequest> mode_requests();
  std::vector<v1::GetSnapshotRequest> snapshot_requests();
  std::vector<v1::CreateTicketRequest> ticket_requests();
  std::vector<v1::EndViewerRequest> end_requests();
  int list_calls();
  /// Tickets that are left, by name.
  std::vector<std::string> tickets();
  /// Calls so far, oldest first.
  std::vector<SeenCall> calls();

 private:
  grpc::Status GetHostInfo(grpc::ServerContext*, const v1::GetHostInfoRequest*,
                           v1::GetHostInfoResponse*) override;
  grpc::Status ListDisplays(grpc::ServerContext*, const v1::ListDisplaysRequest*,
                            v1::ListDisplaysResponse*) override;
  grpc::Status GetDisplay(grpc::ServerContext*, const v1::GetDisplayRequest*,
                          v1::GetDisplayResponse*) override;
  grpc::Status WatchDisplays(grpc::ServerContext*, const v1::WatchDisplaysRequest*,
                             grpc::ServerWriter<v1::WatchDisplaysResponse>*) override;
  grpc::Status AttachDisplay(grpc::ServerContext*, const v1::AttachDisplayRequest*,
                             v1::AttachDisplayResponse*) override;
  grpc::Status DetachDisplay(grpc::ServerContext*, const v1::DetachDisplayRequest*,
                             v1::DetachDisplayResponse*) override;
  grpc::Status SetDisplayMode(grpc::ServerContext*, const v1::SetDisplayModeRequest*,
                              v1::SetDisplayModeResponse*) override;
  grpc::Status GetSnapshot(grpc::ServerContext*, const v1::GetSnapshotRequest*,
                           v1::GetSnapshotResponse*) override;
  grpc::Status UpdateDisplay(grpc::ServerContext*, const v1::UpdateDisplayRequest*,
                             v1::UpdateDisplayResponse*) override;
  grpc::Status CreateTicket(grpc::ServerContext*, const v1::CreateTicketRequest*,
                            v1::CreateTicketResponse*) override;
  grpc::Status ListTickets(grpc::ServerContext*, const v1::ListTicketsRequest*,
                           v1::ListTicketsResponse*) override;
  grpc::Status RevokeTicket(grpc::ServerContext*, const v1::RevokeTicketRequest*,
                            v1::RevokeTicketResponse*) override;
  grpc::Status ListViewers(grpc::ServerContext*, const v1::ListViewersRequest*,
                           v1::ListViewersResponse*) override;
  grpc::Status EndViewer(grpc::ServerContext*, const v1::EndViewerRequest*,
                         v1::EndViewerResponse*) override;
  grpc::Status StreamDisplay(grpc::ServerContext*, ServerStream*) override;
  grpc::Status WatchDisplay(grpc::ServerContext*, const v1::WatchDisplayRequest*,
                            grpc::ServerWriter<v1::WatchDisplayResponse>*) override;

  grpc::Status Failure(const std::string& method);
  void Note(const char* method, const grpc::ServerContext& context);

  std::string folder_;
  std::string address_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;
  std::unique_ptr<grpc::Server> server_;

  std::mutex mutex_;
  // All below: guarded by mutex_.
  std::map<std::string, v1::Display> displays_;
  std::map<std::string, grpc::Status> failures_;
  std::deque<StreamScript> stream_scripts_;
  WatchScript watch_script_;
  std::vector<v1::StreamDisplayResponse> watched_events_;
  v1::GetSnapshotResponse snapshot_;
  v1::GetHostInfoResponse host_info_;
  std::vector<v1::Ticket> tickets_;
  std::vector<v1::ViewerInfo> viewers_;
  std::function<void(v1::Display&)> before_update_;
  std::vector<SeenCall> calls_;
  std::vector<v1::CreateTicketRequest> ticket_requests_;
  std::vector<v1::EndViewerRequest> end_requests_;
  std::vector<v1::AttachDisplayRequest> attach_requests_;
  std::vector<v1::SetDisplayModeRequest> mode_requests_;
  std::vector<v1::GetSnapshotRequest> snapshot_requests_;
  int list_calls_ = 0;
};

/// The secret of each ticket that the server makes.
inline constexpr char kMockTicket[] = "pct_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM-_01";

/// An error that says why.
grpc::Status MakeError(grpc::StatusCode code, const std::string& message, v1::ErrorReason reason);

/// An ACTIVE display of 640x480.
v1::Display MakeDisplay(const std::string& id);

/// Events as a server sends them.
v1::StreamDisplayResponse StartedEvent(int width_px, int height_px, int64_t server_time_ns = 0);
v1::StreamDisplayResponse UnitEvent(uint64_t sequence, bool key_frame,
                                    const std::string& data = "unit", int64_t flip_time_ns = 0);
v1::StreamDisplayResponse StateEvent(v1::Display::State state, const std::string& reason,
                                     const std::string& remedy);
v1::StreamDisplayResponse GoodbyeEvent(v1::Goodbye::Reason reason, const std::string& message,
                                       std::optional<int> retry_after_ms = std::nullopt);

/// The sequence that a request acknowledges last; 0 if it is no acknowledgement.
uint64_t AcknowledgedBy(const v1::StreamDisplayRequest& request);

/// Reads requests until one of this kind comes and returns it; anything else if the call ended.
v1::StreamDisplayRequest ReadRequest(ServerStream& stream,
                                     v1::StreamDisplayRequest::RequestCase kind);

/// Reads until the client ends the call.
void ReadToEnd(ServerStream& stream);

}  // namespace planecast
