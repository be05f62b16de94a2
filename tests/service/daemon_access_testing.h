// A daemon with every way in, and callers of every kind.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "planecast/rpc/v1/status.pb.h"
#include "planecast/v1/access_service.grpc.pb.h"
#include "tests/service/daemon_testing.h"
#include "tests/service/rpc/test_certificates.h"
#include "vfio/clock.h"

namespace planecast::testing {

/// The machine's clock, which a test may put forward.
class JumpingClock : public Clock {
 public:
  int64_t NowNs() override { return MonotonicClock().NowNs() + ahead_ns_; }
  void Jump(int64_t duration_ns) { ahead_ns_ += duration_ns; }

 private:
  std::atomic<int64_t> ahead_ns_ = 0;
};

/// A status as programs read it, e.g. `NOT_FOUND DISPLAY_NOT_FOUND`; the message is for people.
inline std::string Told(const grpc::Status& status) {
  std::string told = absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code()));
  rpc::v1::Status details;
  rpc::v1::ErrorInfo info;
  if (!details.ParseFromString(status.error_details())) return told + " with broken details";
  for (const auto& detail : details.details()) {
    if (detail.type_url() == "type.googleapis.com/google.rpc.ErrorInfo" &&
        info.ParseFromString(detail.value())) {
      told += " " + info.reason();
    }
  }
  return told;
}

/// Somebody who calls: his connection, his ticket, and the viewer that he is.
struct As {
  std::shared_ptr<grpc::Channel> channel;
  std::string secret = {};
  std::string viewer_id = {};

  void Sign(grpc::ClientContext& context) const {
    if (!secret.empty()) context.AddMetadata("authorization", "Bearer " + secret);
    if (!viewer_id.empty()) context.AddMetadata("planecast-viewer-id", viewer_id);
  }
};

/// A unary call, e.g. `Call(as, &v1::HostService::Stub::GetHostInfo, request, &response)`.
template <class Stub, class Request, class Response>
grpc::Status Call(const As& as,
                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  const Request& request, Response* response) {
  Stub stub(as.channel);
  CallContext context;
  as.Sign(context);
  return (stub.*method)(&context, request, response);
}

/// Somebody's StreamDisplay call.
class ViewerStream {
 public:
  using Event = v1::StreamEvent;

  ViewerStream(const As& as, const v1::StreamStart& start) : stub_(as.channel) {
    as.Sign(context_);
    call_ = stub_.StreamDisplay(&context_);
    v1::StreamDisplayRequest request;
    *request.mutable_start() = start;
    call_->Write(request);
  }
  ViewerStream(const As& as, const std::string& id, const std::string& resumed_viewer_id = "")
      : ViewerStream(as, Start(id, resumed_viewer_id)) {}
  ~ViewerStream() { Cancel(); }
  ViewerStream(const ViewerStream&) = delete;
  ViewerStream& operator=(const ViewerStream&) = delete;

  static v1::StreamStart Start(const std::string& id, const std::string& resumed_viewer_id = "") {
    v1::StreamStart start;
    start.set_name("displays/" + id);
    start.set_resumed_viewer_id(resumed_viewer_id);
    return start;
  }
  /// The next event; one without any if the stream ended.
  Event Next() {
    v1::StreamDisplayResponse response;
    return call_->Read(&response) ? response.event() : Event();
  }
  /// Waits for the start.
  const v1::StreamStarted& started() {
    if (started_.viewer_id().empty()) {
      started_ = Next().started();
      EXPECT_NE(started_.viewer_id(), "") << "the stream did not start";
    }
    return started_;
  }
  /// Skips to it; an empty one if there is none.
  v1::Goodbye Goodbye() {
    Event event = Next();
    while (!event.has_goodbye() && event.event_case() != Event::EVENT_NOT_SET) event = Next();
    return event.goodbye();
  }
  /// Reads to the end.
  grpc::Status Finish() {
    while (Next().event_case() != Event::EVENT_NOT_SET) {
    }
    finished_ = true;
    return call_->Finish();
  }
  void Cancel() {
    if (finished_) return;
    context_.TryCancel();
    Finish();
  }

 private:
  v1::ViewerService::Stub stub_;
  CallContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::StreamDisplayRequest, v1::StreamDisplayResponse>>
      call_;
  v1::StreamStarted started_;
  bool finished_ = false;
};

/// A daemon with both unix sockets, plain text on loopback without a role, and TLS with optional
/// client certificates. `manager` is who shows the certificate `CN=manager`: he manages and watches
/// displays `a*`. The fixture's own stubs are an operator's.
class DaemonAccessTest : public DaemonTest {
 protected:
  DaemonAccessTest() {
    parts_.clock = &clock_;
    // A stream that nobody reads is no stalled one.
    encoder_->change_once = true;
    std::ofstream(dir_.path() + "/server.pem") << server_.certificate;
    std::ofstream(dir_.path() + "/server.key") << server_.key;
    std::ofstream(dir_.path() + "/ca.pem") << ca_.certificate;
    config_text_ = "socket_path: \"" + SocketPath() + "\" viewer_socket_path: \"" + dir_.path() +
                   "/v.sock\" listeners { address: \"127.0.0.1:0\" } "
                   "listeners { address: \"127.0.0.1:0\" tls { certificate_path: \"" +
                   dir_.path() + "/server.pem\" private_key_path: \"" + dir_.path() +
                   "/server.key\" client_ca_path: \"" + dir_.path() +
                   "/ca.pem\" client_certificate: CLIENT_CERTIFICATE_OPTIONAL } } "
                   "roles { name: \"manager\" permissions: [PERMISSION_MANAGE, PERMISSION_WATCH, "
                   "PERMISSION_SNAPSHOT] } "
                   "bindings { certificate_subject: \"CN=manager\" role: \"manager\" "
                   "displays: \"a*\" } "
                   "allow_fake_devices: true audit { file_path: \"" +
                   AuditPath() + "\" } ";
  }
  ~DaemonAccessTest() override { daemon_.reset(); }

  std::string AuditPath() const { return dir_.path() + "/audit"; }

  /// Starts, and attaches displays with these ids.
  void StartWith(const std::vector<std::string>& ids, const std::string& more = "") {
    const absl::Status status = TryStart(more);
    ASSERT_TRUE(status.ok()) << status;
    Connect(Plain(0));
    for (const std::string& id : ids) AttachFake(id);
  }

  As Operator() const { return {channel_}; }
  /// On the viewers' socket, with nothing to show, or with a ticket, or as a viewer by it.
  As Viewer(const std::string& secret = "", const std::string& viewer_id = "") const {
    return {Plain(1), secret, viewer_id};
  }
  As OnLoopback(const std::string& secret = "") const { return {Plain(2), secret}; }
  As OverTls(const TestCertificate& client = {}, const std::string& secret = "") const {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ca_.certificate;
    options.pem_cert_chain = client.certificate;
    options.pem_private_key = client.key;
    return {grpc::CreateChannel(daemon_->addresses().at(3).target, grpc::SslCredentials(options)),
            secret};
  }
  As Manager() const { return OverTls(MakeLeaf("manager", ca_)); }

  static v1::CreateTicketRequest TicketRequest(const std::string& role,
                                               const std::vector<std::string>& ids) {
    v1::CreateTicketRequest request;
    request.set_role(role);
    for (const std::string& id : ids) request.add_displays("displays/" + id);
    return request;
  }
  static grpc::Status TryTicket(const As& as, const v1::CreateTicketRequest& request,
                                v1::CreateTicketResponse* made) {
    return Call(as, &v1::AccessService::Stub::CreateTicket, request, made);
  }
  /// An operator's ticket.
  v1::CreateTicketResponse Ticket(const v1::CreateTicketRequest& request) const {
    v1::CreateTicketResponse made;
    const grpc::Status status = TryTicket(Operator(), request, &made);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return made;
  }
  v1::CreateTicketResponse Ticket(const std::string& role, const std::string& id) const {
    return Ticket(TicketRequest(role, {id}));
  }
  static grpc::Status Revoke(const As& as, const std::string& name) {
    v1::RevokeTicketRequest request;
    request.set_name(name);
    v1::RevokeTicketResponse response;
    return Call(as, &v1::AccessService::Stub::RevokeTicket, request, &response);
  }

  // What calls of every kind are told.
  static grpc::Status GetAs(const As& as, const std::string& id) {
    v1::GetDisplayRequest request;
    request.set_name("displays/" + id);
    v1::GetDisplayResponse response;
    return Call(as, &v1::DisplayService::Stub::GetDisplay, request, &response);
  }
  static grpc::Status SetModeAs(const As& as, const std::string& id) {
    v1::SetDisplayModeRequest request;
    request.set_name("displays/" + id);
    request.set_width_px(800);
    request.set_height_px(600);
    v1::SetDisplayModeResponse response;
    return Call(as, &v1::DisplayService::Stub::SetDisplayMode, request, &response);
  }
  std::string PrincipalOf(const As& as) const {
    v1::GetHostInfoResponse response;
    const grpc::Status status =
        Call(as, &v1::HostService::Stub::GetHostInfo, v1::GetHostInfoRequest(), &response);
    return status.ok() ? response.principal() : Told(status);
  }

  JumpingClock clock_;
  const TestCertificate ca_ = MakeCa("ca");
  const TestCertificate server_ = MakeLeaf("server", ca_);

 private:
  std::shared_ptr<grpc::Channel> Plain(size_t address) const {
    return grpc::CreateChannel(daemon_->addresses().at(address).target,
                               grpc::InsecureChannelCredentials());
  }
};

}  // namespace planecast::testing
