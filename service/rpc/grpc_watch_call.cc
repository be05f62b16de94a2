#include "service/rpc/grpc_watch_call.h"

#include <grpcpp/support/async_stream.h>

#include <optional>
#include <utility>
#include <variant>

#include "service/core/display_name.h"
#include "service/core/display_watch.h"
#include "service/rpc/grpc_queue.h"
#include "service/rpc/proto_convert.h"

namespace planecast {
namespace {

class WatchDisplaysCall final : public GrpcCall {
 public:
  WatchDisplaysCall(GrpcQueue& queue, uint64_t id, v1::DisplayService::AsyncService& service,
                    Registry& registry, const WallClock& wall)
      : GrpcCall(queue, id),
        service_(service),
        registry_(registry),
        wall_(wall),
        writer_(&grpc_context()) {}
  ~WatchDisplaysCall() override { CloseWatch(); }

  void OnWake() override { Pump(); }

 protected:
  void StartAccept() override {
    service_.RequestWatchDisplays(&grpc_context(), &request_, &writer_, queue().queue(),
                                  queue().queue(), TagOf(Op::kAccepted));
  }
  void StartFinish(const grpc::Status& status) override {
    writer_.Finish(status, TagOf(Op::kFinished));
  }

  Shared shared() const override { return Shared::kWatches; }
  void HandleAccepted() override {
    auto watch = registry_.Watch();
    if (!watch.ok()) return End(watch.status());
    watch_ = *std::move(watch);
    // The notification may come when this is gone.
    watch_->SetNotify([waker = queue().waker(), call = id()] { waker->Wake(call); });
    Pump();
  }
  void HandleWritten(bool ok) override {
    if (ok) Pump();
  }
  void HandleEnding() override { CloseWatch(); }
  void HandleDone() override { CloseWatch(); }

 private:
  void Pump() {
    if (!CanWrite() || watch_ == nullptr) return;
    // The ticket may have ended with a display, and the next one of its name is another's.
    if (auto status = gate().CheckStill(caller()); !status.ok()) return End(status);
    std::optional<WatchEvent> event = watch_->Take();
    // What the caller may not know of is read over.
    while (event.has_value() && !Visible(*event)) event = watch_->Take();
    if (!event.has_value()) return;
    if (std::holds_alternative<WatchEnd>(*event)) {
      return End(absl::UnavailableError("the server is shutting down; watch again later"));
    }
    NoteWrite();
    writer_.Write(ToResponse(*event), TagOf(Op::kWritten));
  }

  bool Visible(const WatchEvent& event) const {
    const auto* snapshot = std::get_if<DisplaySnapshot>(&event);
    if (snapshot != nullptr) return caller().rights.Allows(Permission::kList, snapshot->id);
    const auto* detached = std::get_if<DisplayDetached>(&event);
    return detached == nullptr || caller().rights.Allows(Permission::kList, detached->id);
  }

  v1::WatchDisplaysResponse ToResponse(const WatchEvent& event) const {
    v1::WatchDisplaysResponse response;
    if (const auto* snapshot = std::get_if<DisplaySnapshot>(&event)) {
      *response.mutable_display() =
          ToProto(*snapshot, wall_, caller().rights.Allows(Permission::kManage, snapshot->id));
    } else if (const auto* detached = std::get_if<DisplayDetached>(&event)) {
      response.mutable_detached()->set_name(DisplayNameFromId(detached->id));
    } else {
      response.mutable_bookmark();
    }
    return response;
  }

  void CloseWatch() {
    if (watch_ != nullptr) watch_->Close();
  }

  v1::DisplayService::AsyncService& service_;
  Registry& registry_;
  const WallClock& wall_;
  v1::WatchDisplaysRequest request_;
  grpc::ServerAsyncWriter<v1::WatchDisplaysResponse> writer_;
  std::shared_ptr<DisplayWatch> watch_;
};

}  // namespace

std::unique_ptr<GrpcCall> MakeWatchDisplaysCall(GrpcQueue& queue, uint64_t id,
                                                v1::DisplayService::AsyncService& service,
                                                Registry& registry, const WallClock& wall) {
  return std::make_unique<WatchDisplaysCall>(queue, id, service, registry, wall);
}

}  // namespace planecast
