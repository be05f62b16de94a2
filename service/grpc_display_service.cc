#include "service/grpc_display_service.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "encoder/pixels.h"
#include "service/core/display_name.h"
#include "service/grpc_watch_reactor.h"
#include "service/proto_convert.h"
#include "service/status.h"
#include "vfio/frame.h"

namespace planecast {
namespace {

/// Devices that are opened or closed at a time. Each is a handful of system calls.
constexpr int kDeviceWorkers = 4;
/// Calls that may wait for a worker.
constexpr size_t kJobsMax = 128;
/// Pictures that are compressed at a time.
constexpr int kSnapshotWorkers = 2;
/// Longest wait for a snapshot's picture, whatever the client's deadline.
constexpr int64_t kSnapshotWaitMaxNs = 5'000'000'000;
constexpr int kModeSizeMinPx = 64;

grpc::ServerUnaryReactor* Finish(grpc::ServerUnaryReactor* reactor, const absl::Status& status) {
  reactor->Finish(ToGrpc(status));
  return reactor;
}

absl::Status CheckModeSize(const v1::SetDisplayModeRequest& request) {
  const bool width_ok = request.width_px() >= kModeSizeMinPx &&
                        request.width_px() <= static_cast<int32_t>(kPlaneWidthMaxPx);
  const bool height_ok = request.height_px() >= kModeSizeMinPx &&
                         request.height_px() <= static_cast<int32_t>(kPlaneHeightMaxPx);
  if (width_ok && height_ok) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "mode ", request.width_px(), "x", request.height_px(), " is out of range; use ",
      kModeSizeMinPx, "x", kModeSizeMinPx, " to ", kPlaneWidthMaxPx, "x", kPlaneHeightMaxPx));
}

absl::Status FillSnapshot(const Picture& picture, const WallClock& wall,
                          v1::GetSnapshotResponse& response) {
  auto png = EncodePng(picture.image);
  if (!png.ok()) return png.status();
  response.mutable_png()->assign(png->begin(), png->end());
  response.set_width_px(static_cast<int32_t>(picture.image.width_px));
  response.set_height_px(static_cast<int32_t>(picture.image.height_px));
  *response.mutable_capture_time() = wall.At(picture.capture_time_ns);
  response.set_cursor_drawn(picture.cursor_drawn);
  return absl::OkStatus();
}

}  // namespace

GrpcDisplayService::GrpcDisplayService(Registry& registry, const WallClock& wall, const Logger& log)
    : registry_(registry),
      wall_(wall),
      log_(log),
      device_workers_(kDeviceWorkers, kJobsMax),
      snapshot_workers_(kSnapshotWorkers, kSnapshotsMax) {}

void GrpcDisplayService::FinishFromWorker(WorkerPool& pool, grpc::ServerUnaryReactor* reactor,
                                          std::function<absl::Status()> job) {
  const bool taken =
      pool.Submit([reactor, job = std::move(job)] { reactor->Finish(ToGrpc(job())); });
  if (taken) return;
  Finish(reactor, absl::ResourceExhaustedError("too many calls wait for a device; try again soon"));
}

std::shared_ptr<const void> GrpcDisplayService::StartSnapshot() {
  if (snapshots_.fetch_add(1) >= kSnapshotsMax) {
    --snapshots_;
    return nullptr;
  }
  return {this, [this](const void*) { --snapshots_; }};
}

int64_t GrpcDisplayService::DeadlineNs(const grpc::CallbackServerContext& context) const {
  const auto left = context.deadline() - std::chrono::system_clock::now();
  const int64_t left_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
  return wall_.monotonic().NowNs() + std::clamp<int64_t>(left_ns, 0, kSnapshotWaitMaxNs);
}

grpc::ServerUnaryReactor* GrpcDisplayService::ListDisplays(grpc::CallbackServerContext* context,
                                                           const v1::ListDisplaysRequest* request,
                                                           v1::ListDisplaysResponse* response) {
  auto* reactor = context->DefaultReactor();
  auto page = registry_.List(request->page_size(), request->page_token());
  if (!page.ok()) return Finish(reactor, page.status());
  for (const DisplaySnapshot& snapshot : page->displays) {
    *response->add_displays() = ToProto(snapshot, wall_);
  }
  response->set_next_page_token(page->next_page_token);
  return Finish(reactor, absl::OkStatus());
}

grpc::ServerUnaryReactor* GrpcDisplayService::GetDisplay(grpc::CallbackServerContext* context,
                                                         const v1::GetDisplayRequest* request,
                                                         v1::GetDisplayResponse* response) {
  auto* reactor = context->DefaultReactor();
  auto id = DisplayIdFromName(request->name());
  if (!id.ok()) return Finish(reactor, id.status());
  registry_.Get(*id, [this, reactor, response](absl::StatusOr<DisplaySnapshot> snapshot) {
    if (snapshot.ok()) *response->mutable_display() = ToProto(*snapshot, wall_);
    Finish(reactor, snapshot.status());
  });
  return reactor;
}

grpc::ServerWriteReactor<v1::WatchDisplaysResponse>* GrpcDisplayService::WatchDisplays(
    grpc::CallbackServerContext* /*context*/, const v1::WatchDisplaysRequest* /*request*/) {
  return StartWatch(registry_.Watch(), wall_);
}

grpc::ServerUnaryReactor* GrpcDisplayService::AttachDisplay(grpc::CallbackServerContext* context,
                                                            const v1::AttachDisplayRequest* request,
                                                            v1::AttachDisplayResponse* response) {
  auto* reactor = context->DefaultReactor();
  if (auto status = ValidateDisplayId(request->display_id()); !status.ok()) {
    return Finish(reactor, status);
  }
  auto spec = ToSpec(request->source());
  if (!spec.ok()) return Finish(reactor, spec.status());
  AttachRequest attach{request->display_id(), *std::move(spec), request->request_id(), false};
  FinishFromWorker(device_workers_, reactor, [this, response, attach = std::move(attach)] {
    auto snapshot = registry_.Attach(attach);
    if (!snapshot.ok()) {
      log_.Warning(attach.display_id, absl::StrCat("attach failed: ", snapshot.status().message()));
      return snapshot.status();
    }
    log_.Info(attach.display_id, "attached");
    *response->mutable_display() = ToProto(*snapshot, wall_);
    return absl::OkStatus();
  });
  return reactor;
}

grpc::ServerUnaryReactor* GrpcDisplayService::DetachDisplay(
    grpc::CallbackServerContext* context, const v1::DetachDisplayRequest* request,
    v1::DetachDisplayResponse* /*response*/) {
  auto* reactor = context->DefaultReactor();
  auto id = DisplayIdFromName(request->name());
  if (!id.ok()) return Finish(reactor, id.status());
  FinishFromWorker(device_workers_, reactor, [this, id = *std::move(id)] {
    auto status = registry_.Detach(id);
    if (status.ok()) log_.Info(id, "detached");
    return status;
  });
  return reactor;
}

grpc::ServerUnaryReactor* GrpcDisplayService::SetDisplayMode(
    grpc::CallbackServerContext* context, const v1::SetDisplayModeRequest* request,
    v1::SetDisplayModeResponse* /*response*/) {
  auto* reactor = context->DefaultReactor();
  auto id = DisplayIdFromName(request->name());
  if (!id.ok()) return Finish(reactor, id.status());
  if (auto status = CheckModeSize(*request); !status.ok()) return Finish(reactor, status);
  registry_.SetMode(*id, static_cast<uint32_t>(request->width_px()),
                    static_cast<uint32_t>(request->height_px()),
                    [reactor](const absl::Status& status) { Finish(reactor, status); });
  return reactor;
}

grpc::ServerUnaryReactor* GrpcDisplayService::GetSnapshot(grpc::CallbackServerContext* context,
                                                          const v1::GetSnapshotRequest* request,
                                                          v1::GetSnapshotResponse* response) {
  auto* reactor = context->DefaultReactor();
  auto id = DisplayIdFromName(request->name());
  if (!id.ok()) return Finish(reactor, id.status());
  auto counted = StartSnapshot();
  if (counted == nullptr) {
    return Finish(reactor, absl::ResourceExhaustedError(
                               "too many snapshots are being taken; try again in a moment"));
  }
  registry_.GetPicture(*id, request->exclude_cursor(), DeadlineNs(*context),
                       [this, reactor, response, counted](absl::StatusOr<Picture> picture) {
                         if (!picture.ok()) {
                           Finish(reactor, picture.status());
                           return;
                         }
                         // Compressing takes longer than the display's thread may be kept from its
                         // frames.
                         auto shared = std::make_shared<const Picture>(*std::move(picture));
                         FinishFromWorker(snapshot_workers_, reactor,
                                          [this, shared, response, counted] {
                                            return FillSnapshot(*shared, wall_, *response);
                                          });
                       });
  return reactor;
}

}  // namespace planecast
