// A daemon in this process, on scripted devices, and raw stubs to talk to it.
#pragma once

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "planecast/v1/display_service.grpc.pb.h"
#include "planecast/v1/host_service.grpc.pb.h"
#include "planecast/v1/viewer_service.grpc.pb.h"
#include "service/config/config.h"
#include "service/daemon.h"
#include "tests/service/core/core_testing.h"
#include "tests/service/temp_dir.h"
#include "vfio/fd.h"

namespace planecast::testing {

/// No call of a test may take longer; far beyond what any needs.
inline constexpr std::chrono::seconds kCallMax{120};

/// A client context with a deadline, so that a test fails instead of hanging.
class CallContext : public grpc::ClientContext {
 public:
  CallContext() { set_deadline(std::chrono::system_clock::now() + kCallMax); }
};

/// A log in a file.
class LogFile {
 public:
  explicit LogFile(std::string path)
      : path_(std::move(path)),
        fd_(KernelSys(), open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)),
        logger_(LogLevel::kDebug, fd_.get()) {}
  const Logger& logger() const { return logger_; }
  std::string Text() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

 private:
  std::string path_;
  Fd fd_;
  Logger logger_;
};

/// Serves on a unix socket in a directory of its own and on a free TCP port. Fake devices are
/// scripted: `scripts[profile]` is what they show; `open_error` is what every other device answers.
class DaemonTest : public ::testing::Test {
 protected:
  DaemonTest() {
    config_text_ = "socket_path: \"" + SocketPath() +
                   "\" viewer_socket_path: \"none\" allow_fake_devices: true "
                   "listeners { address: \"127.0.0.1:0\" anonymous_role: \"operator\" }";
    parts_.open_source =
        [this](const DisplaySpec& spec) -> absl::StatusOr<std::unique_ptr<PlaneSource>> {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++opened_;
      const auto* fake = std::get_if<FakeSpec>(&spec.device);
      if (fake == nullptr) return open_error_;
      return std::make_unique<ScriptedSource>(ScriptLocked(fake->profile));
    };
    encoder_ = std::make_shared<EncoderScript>();
    parts_.make_encoder = ScriptedEncoderFactory(encoder_, MonotonicClock());
  }

  std::string SocketPath() const { return dir_.path() + "/s.sock"; }

  /// Starts with config_text_ and `more`.
  absl::Status TryStart(const std::string& more = "") {
    auto config = ParseConfig(config_text_ + more, "test");
    if (!config.ok()) return config.status();
    auto daemon = Daemon::Start(*config, log_.logger(), parts_);
    if (!daemon.ok()) return daemon.status();
    daemon_ = *std::move(daemon);
    return absl::OkStatus();
  }
  void Start(const std::string& more = "") {
    const absl::Status status = TryStart(more);
    ASSERT_TRUE(status.ok()) << status;
    Connect(
        grpc::CreateChannel(daemon_->addresses().at(1).target, grpc::InsecureChannelCredentials()));
  }
  void Connect(std::shared_ptr<grpc::Channel> channel) {
    channel_ = std::move(channel);
    displays_ = v1::DisplayService::NewStub(channel_);
    host_ = v1::HostService::NewStub(channel_);
    viewers_ = v1::ViewerService::NewStub(channel_);
  }

  std::shared_ptr<SourceScript> Script(const std::string& profile) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return ScriptLocked(profile);
  }

  static v1::AttachDisplayRequest FakeRequest(const std::string& id,
                                              const std::string& profile = "ideal") {
    v1::AttachDisplayRequest request;
    request.set_display_id(id);
    request.mutable_source()->mutable_fake()->set_profile(profile);
    return request;
  }
  grpc::Status Attach(const v1::AttachDisplayRequest& request, v1::Display* display = nullptr) {
    CallContext context;
    v1::AttachDisplayResponse response;
    const grpc::Status status = displays_->AttachDisplay(&context, request, &response);
    if (display != nullptr) *display = response.display();
    return status;
  }
  void AttachFake(const std::string& id, const std::string& profile = "ideal") {
    const grpc::Status status = Attach(FakeRequest(id, profile));
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  grpc::Status Detach(const std::string& name) {
    CallContext context;
    v1::DetachDisplayRequest request;
    request.set_name(name);
    v1::DetachDisplayResponse response;
    return displays_->DetachDisplay(&context, request, &response);
  }
  grpc::Status Get(const std::string& name, v1::Display* display = nullptr) {
    CallContext context;
    v1::GetDisplayRequest request;
    request.set_name(name);
    v1::GetDisplayResponse response;
    const grpc::Status status = displays_->GetDisplay(&context, request, &response);
    if (display != nullptr) *display = response.display();
    return status;
  }
  v1::Display Display(const std::string& id) {
    v1::Display display;
    const grpc::Status status = Get("displays/" + id, &display);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return display;
  }

  /// Reads changes of the list until `id` is as wanted.
  template <class Wanted>
  v1::Display Await(const std::string& id, Wanted wanted) {
    CallContext context;
    auto reader = displays_->WatchDisplays(&context, v1::WatchDisplaysRequest());
    v1::WatchDisplaysResponse response;
    while (reader->Read(&response)) {
      if (response.display().name() == "displays/" + id && wanted(response.display())) {
        context.TryCancel();
        return response.display();
      }
    }
    ADD_FAILURE() << id << " never became as wanted: " << reader->Finish().error_message();
    return {};
  }

  TempDir dir_;
  LogFile log_{dir_.path() + "/log"};
  std::string config_text_;
  Daemon::Parts parts_;
  std::shared_ptr<EncoderScript> encoder_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<SourceScript>> scripts_;
  absl::Status open_error_ = absl::NotFoundError("there is no such device");
  int opened_ = 0;
  std::unique_ptr<Daemon> daemon_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::DisplayService::Stub> displays_;
  std::unique_ptr<v1::HostService::Stub> host_;
  std::unique_ptr<v1::ViewerService::Stub> viewers_;

 private:
  std::shared_ptr<SourceScript> ScriptLocked(const std::string& profile) {
    auto& script = scripts_[profile];
    if (script == nullptr) {
      script = std::make_shared<SourceScript>();
      script->poll_interval_ns = 5 * kMs;
    }
    return script;
  }
};

/// A StreamDisplay call.
class Stream {
 public:
  explicit Stream(v1::ViewerService::Stub& stub) : call_(stub.StreamDisplay(&context_)) {}
  Stream(v1::ViewerService::Stub& stub, const std::string& id, bool acknowledges = false)
      : Stream(stub) {
    v1::StreamDisplayRequest request;
    request.mutable_start()->set_name("displays/" + id);
    request.mutable_start()->set_acknowledges(acknowledges);
    Send(request);
  }
  ~Stream() { Cancel(); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  bool Send(const v1::StreamDisplayRequest& request) { return call_->Write(request); }
  void Acknowledge(uint64_t sequence) {
    v1::StreamDisplayRequest request;
    request.mutable_acknowledgements()->add_acknowledgements()->set_sequence(sequence);
    Send(request);
  }
  bool CloseRequests() { return call_->WritesDone(); }
  /// The next event; one without any if the stream ended.
  v1::StreamEvent Next() {
    v1::StreamDisplayResponse response;
    if (!call_->Read(&response)) return {};
    return response.event();
  }
  /// Skips to the next event of a kind; one without any if the stream ended before.
  v1::StreamEvent Next(v1::StreamEvent::EventCase kind) {
    for (;;) {
      v1::StreamEvent event = Next();
      if (event.event_case() == kind || event.event_case() == v1::StreamEvent::EVENT_NOT_SET) {
        return event;
      }
    }
  }
  /// Reads to the end.
  grpc::Status Finish() {
    while (Next().event_case() != v1::StreamEvent::EVENT_NOT_SET) {
    }
    finished_ = true;
    return call_->Finish();
  }
  void Cancel() {
    if (std::exchange(finished_, true)) return;
    context_.TryCancel();
    while (Next().event_case() != v1::StreamEvent::EVENT_NOT_SET) {
    }
    call_->Finish();
  }

 private:
  CallContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::StreamDisplayRequest, v1::StreamDisplayResponse>>
      call_;
  bool finished_ = false;
};

}  // namespace planecast::testing
