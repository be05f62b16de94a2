#include "service/rpc/grpc_host_service.h"

#include <string>
#include <utility>

#include "service/rpc/grpc_unary.h"
#include "service/rpc/status.h"
#include "vfio/frame.h"

namespace planecast {
namespace {

void Fill(const EncoderCapability& capability, v1::EncoderInfo& out) {
  out.set_id(capability.id);
  out.set_library_version(capability.library_version);
  out.set_available(capability.available);
  out.set_reason(capability.reason);
  out.set_hardware(capability.hardware);
  for (const std::string& profile : capability.profiles) out.add_profiles(profile);
  out.set_width_max_px(static_cast<int32_t>(capability.width_max_px));
  out.set_height_max_px(static_cast<int32_t>(capability.height_max_px));
  for (const uint32_t fourcc : capability.fourccs) out.add_fourccs(FourccName(fourcc));
}

void Fill(const RenderNode& node, v1::RenderNodeInfo& out) {
  out.set_path(node.path);
  out.set_driver(node.driver);
  out.set_va_version(node.va_version);
  out.set_available(node.available);
  out.set_reason(node.reason);
  for (const GpuEntrypoint& entrypoint : node.entrypoints) {
    v1::GpuEntrypoint& one = *out.add_entrypoints();
    one.set_profile(entrypoint.profile);
    one.set_name(entrypoint.name);
    for (const std::string& mode : entrypoint.rate_controls) one.add_rate_controls(mode);
    for (const std::string& header : entrypoint.packed_headers) one.add_packed_headers(header);
    one.set_width_max_px(static_cast<int32_t>(entrypoint.width_max_px));
    one.set_height_max_px(static_cast<int32_t>(entrypoint.height_max_px));
    one.set_references_max(static_cast<int32_t>(entrypoint.references_max));
    one.set_slices_max(static_cast<int32_t>(entrypoint.slices_max));
  }
  for (const GpuProbe& probe : node.probes) {
    v1::GpuProbe& one = *out.add_probes();
    one.set_profile(probe.profile);
    one.set_entrypoint(probe.entrypoint);
    one.set_rate_control(probe.rate_control);
    one.set_ok(probe.status.ok());
    one.set_reason(std::string(probe.status.message()));
    one.set_duration_ns(probe.duration_ns);
  }
}

void Fill(const Confinement& confinement, v1::Confinement& out) {
  out.set_user(confinement.user);
  out.set_privileged(confinement.privileged);
  out.set_opener(confinement.broker ? "broker" : "daemon");
  out.set_opener_problem(confinement.opener_problem);
  out.set_system_calls_filtered(confinement.system_calls_filtered);
  out.set_system_call_filter_problem(confinement.system_call_filter_problem);
}

}  // namespace

void GrpcHostService::AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue) {
  builder.RegisterService(this);
  gate_ = &queue.gate();
  AddUnary(queue, "planecast.v1.HostService.GetHostInfo", HandlerThread::kWorker, this,
           &GrpcHostService::RequestGetHostInfo, [this](const auto& exchange) {
             FillInfo(exchange->caller(), exchange->response());
             exchange->Finish(absl::OkStatus());
           });
  AddUnary(queue, "planecast.v1.HostService.ReloadConfig", HandlerThread::kQueue, this,
           &GrpcHostService::RequestReloadConfig,
           [](const auto& exchange) { exchange->Finish(NotBuilt("reloading the config")); });
}

void GrpcHostService::FillInfo(const Caller& caller, v1::GetHostInfoResponse& response) const {
  response.set_version(PLANECAST_VERSION);
  response.set_principal(caller.principal.name);
  if (caller.rights.AllowsEverywhere(Permission::kManage)) {
    for (const std::string& door : options_.open_doors) response.add_open_doors(door);
    if (options_.read_shortages != nullptr) {
      for (std::string& shortage : options_.read_shortages()) {
        response.add_shortages(std::move(shortage));
      }
    }
    if (gate_->audit_log() != nullptr) response.set_audit_problem(gate_->audit_log()->Problem());
    if (options_.confinement != nullptr) {
      Fill(options_.confinement(), *response.mutable_confinement());
    }
  }
  for (const WayToPlane& way : ProbeWaysToPlane(*options_.opener, options_.ways)) {
    v1::PlaneSourceInfo& source = *response.add_plane_sources();
    source.set_id(way.id);
    source.set_available(way.problem.empty());
    source.set_reason(way.problem);
  }
  for (const EncoderCapability& encoder : options_.encoders) {
    Fill(encoder, *response.add_encoders());
  }
  for (const RenderNode& node : options_.render_nodes) Fill(node, *response.add_render_nodes());
  v1::HostLimits& limits = *response.mutable_limits();
  limits.set_displays_max(options_.displays_max);
  limits.set_viewers_per_display_max(options_.viewers_per_display_max);
  limits.set_width_max_px(kPlaneWidthMaxPx);
  limits.set_height_max_px(kPlaneHeightMaxPx);
}

}  // namespace planecast
