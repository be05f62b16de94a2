#include "service/rpc/grpc_display_service.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "encoder/pixels/pixels.h"
#include "service/core/display_name.h"
#include "service/rpc/grpc_watch_call.h"
#include "service/rpc/proto_convert.h"
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

/// Runs `job` on a worker of `pool` and finishes the call with its status.
template <class ExchangePtr>
void FinishFromWorker(WorkerPool& pool, const ExchangePtr& exchange,
                      std::function<absl::Status()> job) {
  const bool taken = pool.Submit([exchange, job = std::move(job)] { exchange->Finish(job()); });
  if (taken) return;
  exchange->Finish(
      absl::ResourceExhaustedError("too many calls wait for a device; try again soon"));
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

void GrpcDisplayService::AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue) {
  using Self = GrpcDisplayService;
  builder.RegisterService(this);
  const auto add = [&](HandlerThread thread, auto request, auto handler) {
    AddUnary(queue, thread, this, request,
             [this, handler](const auto& exchange) { (this->*handler)(exchange); });
  };
  // Each of a list's displays takes as long as a message to a viewer.
  add(HandlerThread::kWorker, &Self::RequestListDisplays, &Self::List);
  add(HandlerThread::kQueue, &Self::RequestGetDisplay, &Self::Get);
  add(HandlerThread::kQueue, &Self::RequestAttachDisplay, &Self::Attach);
  add(HandlerThread::kQueue, &Self::RequestDetachDisplay, &Self::Detach);
  add(HandlerThread::kQueue, &Self::RequestSetDisplayMode, &Self::SetMode);
  add(HandlerThread::kQueue, &Self::RequestGetSnapshot, &Self::Snapshot);
  queue.Add([this](GrpcQueue& q, uint64_t id) {
    return MakeWatchDisplaysCall(q, id, *this, registry_, wall_);
  });
}

std::shared_ptr<const void> GrpcDisplayService::StartSnapshot() {
  if (snapshots_.fetch_add(1) >= kSnapshotsMax) {
    --snapshots_;
    return nullptr;
  }
  return {this, [this](const void*) { --snapshots_; }};
}

int64_t GrpcDisplayService::DeadlineNs(std::chrono::system_clock::time_point deadline) const {
  const auto left = deadline - std::chrono::system_clock::now();
  const int64_t left_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
  return wall_.monotonic().NowNs() + std::clamp<int64_t>(left_ns, 0, kSnapshotWaitMaxNs);
}

void GrpcDisplayService::List(
    const Exchange<v1::ListDisplaysRequest, v1::ListDisplaysResponse>& exchange) {
  const v1::ListDisplaysRequest& request = exchange->request();
  auto page = registry_.List(request.page_size(), request.page_token());
  if (!page.ok()) return exchange->Finish(page.status());
  for (const DisplaySnapshot& snapshot : page->displays) {
    *exchange->response().add_displays() = ToProto(snapshot, wall_);
  }
  exchange->response().set_next_page_token(page->next_page_token);
  exchange->Finish(absl::OkStatus());
}

void GrpcDisplayService::Get(
    const Exchange<v1::GetDisplayRequest, v1::GetDisplayResponse>& exchange) {
  auto id = DisplayIdFromName(exchange->request().name());
  if (!id.ok()) return exchange->Finish(id.status());
  registry_.Get(*id, [this, exchange](absl::StatusOr<DisplaySnapshot> snapshot) {
    if (snapshot.ok()) *exchange->response().mutable_display() = ToProto(*snapshot, wall_);
    exchange->Finish(snapshot.status());
  });
}

void GrpcDisplayService::Attach(
    const Exchange<v1::AttachDisplayRequest, v1::AttachDisplayResponse>& exchange) {
  const v1::AttachDisplayRequest& request = exchange->request();
  if (auto status = ValidateDisplayId(request.display_id()); !status.ok()) {
    return exchange->Finish(status);
  }
  auto spec = ToSpec(request.source());
  if (!spec.ok()) return exchange->Finish(spec.status());
  AttachRequest attach{request.display_id(), *std::move(spec), request.request_id(), false};
  FinishFromWorker(device_workers_, exchange, [this, exchange, attach = std::move(attach)] {
    auto snapshot = registry_.Attach(attach);
    if (!snapshot.ok()) {
      log_.Warning(attach.display_id, absl::StrCat("attach failed: ", snapshot.status().message()));
      return snapshot.status();
    }
    log_.Info(attach.display_id, "attached");
    *exchange->response().mutable_display() = ToProto(*snapshot, wall_);
    return absl::OkStatus();
  });
}

void GrpcDisplayService::Detach(
    const Exchange<v1::DetachDisplayRequest, v1::DetachDisplayResponse>& exchange) {
  auto id = DisplayIdFromName(exchange->request().name());
  if (!id.ok()) return exchange->Finish(id.status());
  FinishFromWorker(device_workers_, exchange, [this, id = *std::move(id)] {
    auto status = registry_.Detach(id);
    if (status.ok()) log_.Info(id, "detached");
    return status;
  });
}

void GrpcDisplayService::SetMode(
    const Exchange<v1::SetDisplayModeRequest, v1::SetDisplayModeResponse>& exchange) {
  const v1::SetDisplayModeRequest& request = exchange->request();
  auto id = DisplayIdFromName(request.name());
  if (!id.ok()) return exchange->Finish(id.status());
  if (auto status = CheckModeSize(request); !status.ok()) return exchange->Finish(status);
  registry_.SetMode(*id, static_cast<uint32_t>(request.width_px()),
                    static_cast<uint32_t>(request.height_px()),
                    [exchange](const absl::Status& status) { exchange->Finish(status); });
}

void GrpcDisplayService::Snapshot(
    const Exchange<v1::GetSnapshotRequest, v1::GetSnapshotResponse>& exchange) {
  auto id = DisplayIdFromName(exchange->request().name());
  if (!id.ok()) return exchange->Finish(id.status());
  auto counted = StartSnapshot();
  if (counted == nullptr) {
    return exchange->Finish(
        absl::ResourceExhaustedError("too many snapshots are being taken; try again in a moment"));
  }
  const auto compress = [this, exchange, counted](absl::StatusOr<Picture> picture) {
    if (!picture.ok()) return exchange->Finish(picture.status());
    // Compressing takes longer than the display's thread may be kept from its frames.
    auto shared = std::make_shared<const Picture>(*std::move(picture));
    FinishFromWorker(snapshot_workers_, exchange, [this, exchange, shared, counted] {
      return FillSnapshot(*shared, wall_, exchange->response());
    });
  };
  registry_.GetPicture(*id, exchange->request().exclude_cursor(), DeadlineNs(exchange->deadline()),
                       compress);
}

}  // namespace planecast
