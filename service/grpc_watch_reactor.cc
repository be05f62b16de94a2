#include "service/grpc_watch_reactor.h"

#include <mutex>
#include <optional>
#include <utility>
#include <variant>

#include "service/core/display_name.h"
#include "service/proto_convert.h"
#include "service/status.h"

namespace planecast {
namespace {

/// Writes one event at a time. gRPC and the registry call it from any thread.
///
/// It lives until OnDone, and OnDone comes only after Finish, which is called exactly once and
/// never while a write is under way. So whoever sets `busy_` may use `this` after unlocking.
class WatchReactor final : public grpc::ServerWriteReactor<v1::WatchDisplaysResponse> {
 public:
  WatchReactor(std::shared_ptr<DisplayWatch> watch, const WallClock& wall)
      : watch_(std::move(watch)), wall_(wall), self_(std::make_shared<Self>()) {
    self_->reactor = this;
  }

  void Start() {
    // The notification may come when this is gone: it owns what it looks at.
    watch_->SetNotify([self = self_] { Step(*self); });
    Step(*self_);
  }

  void OnWriteDone(bool ok) override {
    {
      const std::lock_guard lock(self_->mutex);
      busy_ = false;
      cancelled_ = cancelled_ || !ok;
    }
    Step(*self_);
  }

  void OnCancel() override {
    watch_->Close();
    {
      const std::lock_guard lock(self_->mutex);
      cancelled_ = true;
    }
    Step(*self_);
  }

  void OnDone() override {
    watch_->Close();
    {
      const std::lock_guard lock(self_->mutex);
      self_->reactor = nullptr;
    }
    std::unique_ptr<WatchReactor>(this).reset();
  }

 private:
  struct Self {
    std::mutex mutex;
    WatchReactor* reactor = nullptr;
  };

  /// Writes the next event or ends the call, if neither is under way.
  static void Step(Self& self) {
    std::optional<grpc::Status> end;
    WatchReactor* reactor = nullptr;
    {
      const std::lock_guard lock(self.mutex);
      reactor = self.reactor;
      if (reactor == nullptr || reactor->busy_) return;
      if (reactor->cancelled_) {
        end = grpc::Status::CANCELLED;
      } else if (auto event = reactor->watch_->Take(); !event.has_value()) {
        return;
      } else if (std::holds_alternative<WatchEnd>(*event)) {
        end = grpc::Status(grpc::StatusCode::UNAVAILABLE,
                           "the server is shutting down; watch again later");
      } else {
        reactor->Fill(*event);
      }
      reactor->busy_ = true;
    }
    if (end.has_value()) {
      reactor->Finish(*end);
    } else {
      reactor->StartWrite(&reactor->response_);
    }
  }

  void Fill(const WatchEvent& event) {
    response_.Clear();
    if (const auto* snapshot = std::get_if<DisplaySnapshot>(&event)) {
      *response_.mutable_display() = ToProto(*snapshot, wall_);
    } else if (const auto* detached = std::get_if<DisplayDetached>(&event)) {
      response_.mutable_detached()->set_name(DisplayNameFromId(detached->id));
    } else {
      response_.mutable_bookmark();
    }
  }

  const std::shared_ptr<DisplayWatch> watch_;
  const WallClock& wall_;
  const std::shared_ptr<Self> self_;
  // Guarded by self_->mutex.
  bool busy_ = false;
  bool cancelled_ = false;
  /// Belongs to gRPC while busy_.
  v1::WatchDisplaysResponse response_;
};

/// A call that ends with an error.
class FailedReactor final : public grpc::ServerWriteReactor<v1::WatchDisplaysResponse> {
 public:
  explicit FailedReactor(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { std::unique_ptr<FailedReactor>(this).reset(); }
};

}  // namespace

grpc::ServerWriteReactor<v1::WatchDisplaysResponse>* StartWatch(
    absl::StatusOr<std::shared_ptr<DisplayWatch>> watch, const WallClock& wall) {
  if (!watch.ok()) return std::make_unique<FailedReactor>(watch.status()).release();
  auto* reactor = std::make_unique<WatchReactor>(*std::move(watch), wall).release();
  reactor->Start();
  return reactor;
}

}  // namespace planecast
