#include "service/grpc_host_service.h"

#include "service/host_probe.h"
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

}  // namespace

grpc::ServerUnaryReactor* GrpcHostService::GetHostInfo(grpc::CallbackServerContext* context,
                                                       const v1::GetHostInfoRequest* /*request*/,
                                                       v1::GetHostInfoResponse* response) {
  response->set_version(PLANECAST_VERSION);
  for (const WayToPlane& way : ProbeWaysToPlane(KernelSys(), options_.hand_over)) {
    v1::PlaneSourceInfo& source = *response->add_plane_sources();
    source.set_id(way.id);
    source.set_available(way.problem.empty());
    source.set_reason(way.problem);
  }
  for (const EncoderCapability& encoder : options_.encoders) {
    Fill(encoder, *response->add_encoders());
  }
  v1::HostLimits& limits = *response->mutable_limits();
  limits.set_displays_max(options_.displays_max);
  limits.set_viewers_per_display_max(options_.viewers_per_display_max);
  limits.set_width_max_px(kPlaneWidthMaxPx);
  limits.set_height_max_px(kPlaneHeightMaxPx);
  auto* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace planecast
