#include "service/rpc/grpc_display_service.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "encoder/pixels/pixels.h"
#include "service/core/display_name.h"
#include "service/core/reason.h"
#include "service/rpc/grpc_watch_call.h"
#include "service/rpc/proto_convert.h"
#include "vfio/frame.h"

namespace planecast {
namespace {

/// Devices that are opened or closed at a time. Each is a handful of system calls.
constexpr int kDeviceWorkers = 4;
/// A job belongs to a call, and there are no more of these.
constexpr size_t kJobsMax = kCallsMax;
/// Pictures that are compressed at a time.
constexpr int kSnapshotWorkers = 2;
/// Longest wait for a snapshot's picture, whatever the client's deadline.
constexpr int64_t kSnapshotWaitMaxNs = 5'000'000'000;
constexpr int kModeSizeMinPx = 64;
/// gRPC clients take 4 MiB unless told otherwise; the rest is for the message around it.
constexpr size_t kSnapshotSizeDefaultBytes = (4 << 20) - (16 << 10);
constexpr int64_t kSnapshotSizeMinBytes = 16 << 10;
constexpr int64_t kSnapshotSizeMaxBytes = 64 << 20;

/// Of a call that waited for kAnswerMaxNs.
absl::Status Hangs(std::string_view id, std::string_view what) {
  return absl::UnavailableError(absl::StrCat("display ", std::string(id), " has not answered for ",
                                             kAnswerMaxNs / 1'000'000'000,
                                             " s: its device or GPU hangs. ", std::string(what)));
}

/// Runs `job` on a worker of `pool` and finishes the call with its status.
template <class ExchangePtr>
void FinishFromWorker(WorkerPool& pool, const ExchangePtr& exchange,
                      std::function<absl::Status()> job) {
  const bool taken = pool.Submit([exchange, job = std::move(job)] { exchange->Finish(job()); });
  if (taken) return;
  exchange->Finish(
      absl::ResourceExhaustedError("too many calls wait for a device; try again soon"));
}

bool Manages(const Caller& caller, std::string_view display_id) {
  return caller.rights.Allows(Permission::kManage, display_id);
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

/// Scaling and compressing until it fits must end.
constexpr int kShrinksMax = 6;

absl::Status CheckSnapshot(const v1::GetSnapshotRequest& request) {
  if (request.width_max_px() < 0) return absl::InvalidArgumentError("width_max_px is negative");
  if (request.age_max().seconds() < 0 || request.age_max().nanos() < 0) {
    return absl::InvalidArgumentError("age_max is negative");
  }
  if (request.format() != v1::GetSnapshotRequest::FORMAT_UNSPECIFIED &&
      request.format() != v1::GetSnapshotRequest::FORMAT_PNG) {
    return absl::InvalidArgumentError("format: only PNG is built yet");
  }
  if (request.size_max_bytes() == 0 || (request.size_max_bytes() >= kSnapshotSizeMinBytes &&
                                        request.size_max_bytes() <= kSnapshotSizeMaxBytes)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("size_max_bytes is out of range; use ",
                                                 kSnapshotSizeMinBytes, " to ",
                                                 kSnapshotSizeMaxBytes, ", or 0"));
}

/// A picture that can't be had: the display's state says why.
absl::Status NoPicture(const absl::Status& status) {
  return status.code() == absl::StatusCode::kFailedPrecondition ? WithReason(status, "NO_PICTURE")
                                                                : status;
}

absl::Status FillSnapshot(const Picture& picture, const v1::GetSnapshotRequest& request,
                          const WallClock& wall, v1::GetSnapshotResponse& response) {
  const size_t size_max_bytes = request.size_max_bytes() == 0
                                    ? kSnapshotSizeDefaultBytes
                                    : static_cast<size_t>(request.size_max_bytes());
  const uint32_t asked_px = static_cast<uint32_t>(request.width_max_px());
  uint32_t width_px = picture.image.width_px;
  if (asked_px > 0) width_px = std::min(width_px, asked_px);
  for (int i = 0; i < kShrinksMax; ++i, width_px = std::max(width_px / 2, 1U)) {
    const auto scaled = ScaleDown(picture.image, width_px);
    const auto& image = scaled.has_value() ? *scaled : picture.image;
    auto png = EncodePng(image);
    if (!png.ok()) return png.status();
    if (png->size() > size_max_bytes) continue;
    response.mutable_image()->assign(png->begin(), png->end());
    response.set_width_px(static_cast<int32_t>(image.width_px));
    response.set_height_px(static_cast<int32_t>(image.height_px));
    response.set_plane_width_px(static_cast<int32_t>(picture.image.width_px));
    response.set_plane_height_px(static_cast<int32_t>(picture.image.height_px));
    response.set_format(v1::GetSnapshotRequest::FORMAT_PNG);
    *response.mutable_capture_time() = wall.At(picture.capture_time_ns);
    response.set_cursor_drawn(picture.cursor_drawn);
    return absl::OkStatus();
  }
  return WithReason(absl::FailedPreconditionError(
                        absl::StrCat("not even a small picture fits into ", size_max_bytes,
                                     " bytes: raise size_max_bytes, or lower width_max_px")),
                    "SNAPSHOT_TOO_LARGE");
}

}  // namespace

GrpcDisplayService::GrpcDisplayService(Registry& registry, const WallClock& wall, const Logger& log)
    : registry_(registry),
      wall_(wall),
      log_(log),
      device_workers_(std::make_shared<WorkerPool>(kDeviceWorkers, kJobsMax)),
      snapshot_workers_(std::make_shared<WorkerPool>(kSnapshotWorkers, kSnapshotsMax,
                                                     WorkerPool::Priority::kLow)) {}

GrpcDisplayService::~GrpcDisplayService() {
  // Others may hold them.
  snapshot_workers_->Stop();
  device_workers_->Stop();
}

void GrpcDisplayService::AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue) {
  using Self = GrpcDisplayService;
  builder.RegisterService(this);
  const auto add = [&](const char* name, HandlerThread thread, auto request, auto handler) {
    AddUnary(queue, absl::StrCat("planecast.v1.DisplayService.", name), thread, this, request,
             [this, handler](const auto& exchange) { (this->*handler)(exchange); });
  };
  // Each of a list's displays takes as long as a message to a viewer.
  add("ListDisplays", HandlerThread::kWorker, &Self::RequestListDisplays, &Self::List);
  add("GetDisplay", HandlerThread::kQueue, &Self::RequestGetDisplay, &Self::Get);
  add("AttachDisplay", HandlerThread::kQueue, &Self::RequestAttachDisplay, &Self::Attach);
  add("UpdateDisplay", HandlerThread::kQueue, &Self::RequestUpdateDisplay, &Self::Update);
  add("DetachDisplay", HandlerThread::kQueue, &Self::RequestDetachDisplay, &Self::Detach);
  add("SetDisplayMode", HandlerThread::kQueue, &Self::RequestSetDisplayMode, &Self::SetMode);
  add("GetSnapshot", HandlerThread::kQueue, &Self::RequestGetSnapshot, &Self::Snapshot);
  queue.Add("planecast.v1.DisplayService.WatchDisplays", [this](GrpcQueue& q, uint64_t id) {
    return MakeWatchDisplaysCall(q, id, *this, registry_, wall_);
  });
}

int64_t GrpcDisplayService::DeadlineNs(std::chrono::system_clock::time_point deadline) const {
  const auto left = deadline - std::chrono::system_clock::now();
  const int64_t left_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
  return NowNs() + std::clamp<int64_t>(left_ns, 0, kSnapshotWaitMaxNs);
}

void GrpcDisplayService::List(
    const Exchange<v1::ListDisplaysRequest, v1::ListDisplaysResponse>& exchange) {
  const v1::ListDisplaysRequest& request = exchange->request();
  auto page = registry_.List(request.page_size(), request.page_token(), [&](std::string_view id) {
    return exchange->caller().rights.Allows(Permission::kList, id);
  });
  if (!page.ok()) return exchange->Finish(page.status());
  for (const DisplaySnapshot& snapshot : page->displays) {
    *exchange->response().add_displays() =
        ToProto(snapshot, wall_, Manages(exchange->caller(), snapshot.id));
  }
  exchange->response().set_next_page_token(page->next_page_token);
  exchange->Finish(absl::OkStatus());
}

void GrpcDisplayService::Get(
    const Exchange<v1::GetDisplayRequest, v1::GetDisplayResponse>& exchange) {
  auto id = DisplayIdFromName(exchange->request().name());
  if (!id.ok()) return exchange->Finish(id.status());
  exchange->AnswerBy(NowNs() + kAnswerMaxNs, Hangs(*id, "ListDisplays has its last state."));
  // By the display's thread: what it uses must outlive the registry.
  registry_.Get(*id, [wall = &wall_, exchange](absl::StatusOr<DisplaySnapshot> snapshot) {
    if (snapshot.ok()) {
      *exchange->response().mutable_display() =
          ToProto(*snapshot, *wall, Manages(exchange->caller(), snapshot->id));
    }
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
  exchange->set_audit_display(request.display_id());
  AttachRequest attach{request.display_id(),
                       *std::move(spec),
                       request.request_id(),
                       false,
                       {request.labels().begin(), request.labels().end()}};
  FinishFromWorker(*device_workers_, exchange, [this, exchange, attach = std::move(attach)] {
    auto snapshot = registry_.Attach(attach);
    if (!snapshot.ok()) {
      log_.Warning(attach.display_id, absl::StrCat("attach failed: ", snapshot.status().message()));
      return snapshot.status();
    }
    log_.Info(attach.display_id, "attached");
    *exchange->response().mutable_display() = ToProto(*snapshot, wall_, true);
    return absl::OkStatus();
  });
}

void GrpcDisplayService::Update(
    const Exchange<v1::UpdateDisplayRequest, v1::UpdateDisplayResponse>& exchange) {
  const v1::UpdateDisplayRequest& request = exchange->request();
  auto id = DisplayIdFromName(request.display().name());
  if (!id.ok()) return exchange->Finish(id.status());
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "labels") continue;
    return exchange->Finish(absl::InvalidArgumentError(
        "update_mask: only labels can be changed; detach and attach to change anything else"));
  }
  if (request.update_mask().paths().empty()) {
    return exchange->Finish(absl::InvalidArgumentError("update_mask is required: write labels"));
  }
  std::optional<EtagParts> expected;
  if (!request.display().etag().empty()) {
    auto etag = ParseEtag(request.display().etag());
    if (!etag.ok()) return exchange->Finish(etag.status());
    expected = *std::move(etag);
  }
  const auto& labels = request.display().labels();
  auto changed = registry_.SetLabels(*id, {labels.begin(), labels.end()}, std::move(expected));
  if (changed.ok()) *exchange->response().mutable_display() = ToProto(*changed, wall_, true);
  exchange->Finish(changed.status());
}

void GrpcDisplayService::Detach(
    const Exchange<v1::DetachDisplayRequest, v1::DetachDisplayResponse>& exchange) {
  auto id = DisplayIdFromName(exchange->request().name());
  if (!id.ok()) return exchange->Finish(id.status());
  exchange->AnswerBy(NowNs() + kAnswerMaxNs,
                     Hangs(*id,
                           "It is listed until its device is closed; restart the daemon if "
                           "that does not come to pass."));
  // By the display's thread, which can't wait for its own end.
  const auto ended = [workers = device_workers_, registry = &registry_, log = &log_, exchange,
                      id = *id](uint64_t generation) {
    FinishFromWorker(*workers, exchange, [registry, log, id, generation] {
      if (registry->FinishDetach(id, generation)) log->Info(id, "detached");
      return absl::OkStatus();
    });
  };
  auto status = registry_.BeginDetach(*id, ended);
  if (!status.ok()) exchange->Finish(status);
}

void GrpcDisplayService::SetMode(
    const Exchange<v1::SetDisplayModeRequest, v1::SetDisplayModeResponse>& exchange) {
  const v1::SetDisplayModeRequest& request = exchange->request();
  auto id = DisplayIdFromName(request.name());
  if (!id.ok()) return exchange->Finish(id.status());
  if (auto status = CheckModeSize(request); !status.ok()) return exchange->Finish(status);
  exchange->AnswerBy(NowNs() + kAnswerMaxNs, Hangs(*id, "The mode may come yet."));
  registry_.SetMode(*id, static_cast<uint32_t>(request.width_px()),
                    static_cast<uint32_t>(request.height_px()),
                    [exchange](const absl::Status& status) { exchange->Finish(status); });
}

void GrpcDisplayService::Snapshot(
    const Exchange<v1::GetSnapshotRequest, v1::GetSnapshotResponse>& exchange) {
  auto id = DisplayIdFromName(exchange->request().name());
  if (!id.ok()) return exchange->Finish(id.status());
  if (auto status = CheckSnapshot(exchange->request()); !status.ok()) {
    return exchange->Finish(status);
  }
  if (auto status = exchange->Hold(Shared::kSnapshots); !status.ok()) {
    return exchange->Finish(status);
  }
  exchange->AnswerBy(NowNs() + kAnswerMaxNs, Hangs(*id, "ListDisplays has its last state."));
  // By the display's thread: what it uses must outlive the registry.
  const auto compress = [workers = snapshot_workers_, wall = &wall_,
                         exchange](absl::StatusOr<Picture> picture) {
    if (exchange->answered()) return;
    if (!picture.ok()) return exchange->Finish(NoPicture(picture.status()));
    // Compressing takes longer than the display's thread may be kept from its frames.
    auto shared = std::make_shared<const Picture>(*std::move(picture));
    FinishFromWorker(*workers, exchange, [wall, exchange, shared] {
      return FillSnapshot(*shared, exchange->request(), *wall, exchange->response());
    });
  };
  registry_.GetPicture(*id, exchange->request().exclude_cursor(), DeadlineNs(exchange->deadline()),
                       compress);
}

}  // namespace planecast
