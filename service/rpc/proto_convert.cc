#include "service/rpc/proto_convert.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "service/config/source_check.h"
#include "service/core/display_name.h"
#include "vfio/frame.h"

namespace planecast {
namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
// Clang does not deduce it by itself yet.
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

int32_t Clamp32(int64_t value) {
  return static_cast<int32_t>(std::clamp<int64_t>(value, std::numeric_limits<int32_t>::min(),
                                                  std::numeric_limits<int32_t>::max()));
}

AbiDialect ToDialect(v1::DisplaySource::Dialect dialect) {
  switch (dialect) {
    case v1::DisplaySource::DIALECT_V15:
      return AbiDialect::kV15;
    case v1::DisplaySource::DIALECT_V1:
      return AbiDialect::kV1;
    default:
      return AbiDialect::kFinal;
  }
}

v1::DisplaySource::Dialect ToProto(AbiDialect dialect) {
  switch (dialect) {
    case AbiDialect::kV15:
      return v1::DisplaySource::DIALECT_V15;
    case AbiDialect::kV1:
      return v1::DisplaySource::DIALECT_V1;
    case AbiDialect::kFinal:
      break;
  }
  return v1::DisplaySource::DIALECT_FINAL;
}

FlipEventChoice ToFlipEvents(v1::DisplaySource::FlipEvents flip_events) {
  switch (flip_events) {
    case v1::DisplaySource::FLIP_EVENTS_NONE:
      return FlipEventChoice::kNone;
    case v1::DisplaySource::FLIP_EVENTS_EVENTFD_IOCTL:
      return FlipEventChoice::kEventfdIoctl;
    default:
      return FlipEventChoice::kAuto;
  }
}

v1::DisplaySource::FlipEvents ToProto(FlipEventChoice choice) {
  switch (choice) {
    case FlipEventChoice::kNone:
      return v1::DisplaySource::FLIP_EVENTS_NONE;
    case FlipEventChoice::kEventfdIoctl:
      return v1::DisplaySource::FLIP_EVENTS_EVENTFD_IOCTL;
    case FlipEventChoice::kAuto:
      break;
  }
  return v1::DisplaySource::FLIP_EVENTS_AUTO;
}

v1::FlipRegime ToProto(std::optional<FlipRegime> regime) {
  if (!regime.has_value()) return v1::FLIP_REGIME_UNSPECIFIED;
  switch (*regime) {
    case FlipRegime::kPolling:
      return v1::FLIP_REGIME_POLLING;
    case FlipRegime::kIrq:
      return v1::FLIP_REGIME_IRQ;
    case FlipRegime::kEventfd:
      return v1::FLIP_REGIME_EVENTFD;
  }
  return v1::FLIP_REGIME_UNSPECIFIED;
}

v1::PixelPath ToProto(PixelPath path) {
  switch (path) {
    case PixelPath::kZeroCopy:
      return v1::PIXEL_PATH_ZERO_COPY;
    case PixelPath::kGpuCopy:
      return v1::PIXEL_PATH_GPU_COPY;
    case PixelPath::kCpuCopy:
      return v1::PIXEL_PATH_CPU_COPY;
  }
  return v1::PIXEL_PATH_UNSPECIFIED;
}

v1::Goodbye::Reason ToProto(Goodbye::Reason reason) {
  switch (reason) {
    case Goodbye::Reason::kDraining:
      return v1::Goodbye::REASON_DRAINING;
    case Goodbye::Reason::kDetached:
      return v1::Goodbye::REASON_DETACHED;
    case Goodbye::Reason::kStalled:
      return v1::Goodbye::REASON_STALLED;
    case Goodbye::Reason::kResumed:
      return v1::Goodbye::REASON_RESUMED;
    case Goodbye::Reason::kDisplayFailed:
      return v1::Goodbye::REASON_DISPLAY_FAILED;
    case Goodbye::Reason::kEvicted:
      return v1::Goodbye::REASON_EVICTED;
    case Goodbye::Reason::kRevoked:
      return v1::Goodbye::REASON_REVOKED;
  }
  return v1::Goodbye::REASON_UNSPECIFIED;
}

void Fill(const PlaneLayout& layout, PlaneKind kind, v1::Plane& out) {
  out.set_width_px(Clamp32(layout.width_px));
  out.set_height_px(Clamp32(layout.height_px));
  out.set_stride_bytes(layout.stride_bytes);
  out.set_fourcc(FourccName(layout.fourcc));
  out.set_modifier(layout.modifier);
  out.set_kind(kind == PlaneKind::kRegion ? v1::PLANE_KIND_REGION : v1::PLANE_KIND_DMABUF);
}

void Fill(const StageLatency& latency, v1::StageLatency& out) {
  out.set_samples(latency.samples);
  out.set_p50_ns(latency.p50_ns);
  out.set_p95_ns(latency.p95_ns);
  out.set_max_ns(latency.max_ns);
}

void Fill(const DropCounts& drops, v1::DropCounts& out) {
  out.set_queue_full(drops[DropReason::kQueueFull]);
  out.set_queue_age(drops[DropReason::kQueueAge]);
  out.set_awaiting_key_frame(drops[DropReason::kAwaitingKeyFrame]);
  out.set_superseded(drops[DropReason::kSuperseded]);
}

void Fill(const StreamStarted& started, v1::StreamStarted& out) {
  out.set_name(DisplayNameFromId(started.display_id));
  out.set_cursor_path(ToProto(started.cursor_path));
  out.set_flip_regime(ToProto(started.flip_regime));
  out.set_encoder(started.encoder);
  // Colour is a contract of the encoder's: BT.709, limited range.
  constexpr int kBt709 = 1;
  out.mutable_color()->set_primaries(kBt709);
  out.mutable_color()->set_transfer(kBt709);
  out.mutable_color()->set_matrix(kBt709);
  if (!started.description.has_value()) return;
  out.set_codec(started.description->codec);
  out.set_profile(started.description->profile);
  out.set_coded_width_px(Clamp32(started.description->coded_width_px));
  out.set_coded_height_px(Clamp32(started.description->coded_height_px));
  out.set_visible_width_px(Clamp32(started.description->visible_width_px));
  out.set_visible_height_px(Clamp32(started.description->visible_height_px));
}

void Fill(const UnitEvent& event, v1::AccessUnit& out) {
  out.set_sequence(event.sequence);
  out.set_key_frame(event.unit->key_frame);
  out.set_flip_time_ns(event.unit->flip_time_ns);
  out.set_capture_time_ns(event.unit->capture_time_ns);
  out.set_converted_time_ns(event.unit->converted_time_ns);
  out.set_encoded_time_ns(event.unit->encoded_time_ns);
  out.set_pixel_path(ToProto(event.unit->pixel_path));
  out.set_quantizer(event.unit->quantizer);
  out.set_pixel_path_reason(event.unit->pixel_path_reason);
  out.set_refinement(event.unit->refinement);
  out.set_sharp(event.unit->sharp);
}

void FillRaw(const CursorImage& image, v1::CursorShape& out) {
  out.set_encoding(v1::CursorShape::ENCODING_RAW);
  std::string& argb = *out.mutable_argb();
  argb.reserve(image.argb.size() * 4);
  // Byte by byte, so that the wire is B, G, R, A on every host.
  for (const uint32_t pixel : image.argb) {
    for (int shift = 0; shift < 32; shift += 8) argb.push_back(static_cast<char>(pixel >> shift));
  }
}

void Fill(const CursorShape& shape, v1::CursorShape& out) {
  const CursorImage& image = *shape.image;
  out.set_width_px(Clamp32(image.width_px));
  out.set_height_px(Clamp32(image.height_px));
  out.set_shape_id(shape.id);
  if (shape.png != nullptr) {
    out.set_encoding(v1::CursorShape::ENCODING_PNG);
    out.set_png(shape.png->data(), shape.png->size());
  } else {
    FillRaw(image, out);
  }
  out.set_hotspot_known(image.hotspot.has_value());
  if (!image.hotspot.has_value()) return;
  out.set_hotspot_x_px(image.hotspot->x_px);
  out.set_hotspot_y_px(image.hotspot->y_px);
}

void Fill(const StreamStats& stats, v1::StreamStats& out) {
  out.set_viewer_count(stats.viewer_count);
  out.set_looks(stats.looks);
  out.set_unchanged(stats.unchanged);
  out.set_encoded(stats.encoded);
  out.set_key_frames(stats.key_frames);
  out.set_encoded_bytes(stats.encoded_bytes);
  out.set_dropped(stats.dropped.Sum());
  Fill(stats.dropped, *out.mutable_dropped_by_reason());
  out.set_skipped_no_viewer_ready(stats.skipped_no_viewer_ready);
  out.set_skipped_frame_rate(stats.skipped_frame_rate);
  out.set_refinements(stats.refinements);
  out.set_encode_errors(stats.encode_errors);
  out.set_resyncs(stats.resyncs);
  out.set_frames_per_second(stats.frames_per_second);
  out.set_bitrate_bps(stats.bitrate_bps);
  Fill(stats.flip_to_capture, *out.mutable_flip_to_capture());
  Fill(stats.capture_to_encoded, *out.mutable_capture_to_encoded());
  Fill(stats.capture_to_converted, *out.mutable_capture_to_converted());
  Fill(stats.converted_to_encoded, *out.mutable_converted_to_encoded());
  Fill(stats.encoded_to_written, *out.mutable_encoded_to_written());
  Fill(stats.encoded_to_sent, *out.mutable_encoded_to_sent());
  Fill(stats.sent_to_written, *out.mutable_sent_to_written());
  Fill(stats.encoded_to_acknowledged, *out.mutable_encoded_to_acknowledged());
  Fill(stats.network_round_trip, *out.mutable_network_round_trip());
  Fill(stats.received_to_decoded, *out.mutable_received_to_decoded());
  Fill(stats.received_to_presented, *out.mutable_received_to_presented());
  out.set_unacknowledged(stats.unacknowledged);
  out.set_quantizer(stats.quantizer);
  out.set_encoder(stats.encoder);
  out.set_flip_regime(ToProto(stats.flip_regime));
}

}  // namespace

absl::StatusOr<DisplaySpec> ToSpec(const v1::DisplaySource& source) {
  if (auto status = CheckDisplaySource(source); !status.ok()) return status;
  DisplaySpec spec;
  spec.dialect = ToDialect(source.dialect());
  spec.flip_events = ToFlipEvents(source.flip_events());
  spec.render_node = source.render_node();
  switch (source.device_case()) {
    case v1::DisplaySource::kFake: {
      const v1::FakeDevice& fake = source.fake();
      spec.device = FakeSpec{fake.profile(), fake.scene(), static_cast<uint32_t>(fake.width_px()),
                             static_cast<uint32_t>(fake.height_px()), fake.frame_rate_hz()};
      break;
    }
    case v1::DisplaySource::kVfioGroup:
      spec.device = GroupSpec{source.vfio_group().group(), source.vfio_group().device()};
      break;
    case v1::DisplaySource::kVfioCdev:
      spec.device = CdevSpec{source.vfio_cdev().path()};
      break;
    case v1::DisplaySource::kVmm:
      spec.device =
          VmmSpec{source.vmm().pid(), source.vmm().device(), source.vmm().start_time_ticks()};
      break;
    case v1::DisplaySource::kHandedOver:
      spec.device = HandedOverSpec{source.handed_over().token()};
      break;
    case v1::DisplaySource::DEVICE_NOT_SET:
      return absl::InvalidArgumentError("source names no device");
  }
  return spec;
}

v1::DisplaySource ToProto(const DisplaySpec& spec) {
  v1::DisplaySource source;
  source.set_dialect(ToProto(spec.dialect));
  source.set_flip_events(ToProto(spec.flip_events));
  source.set_render_node(spec.render_node);
  std::visit(Overloaded{
                 [&](const FakeSpec& fake) {
                   v1::FakeDevice& out = *source.mutable_fake();
                   out.set_profile(fake.profile);
                   out.set_scene(fake.scene);
                   out.set_width_px(Clamp32(fake.width_px));
                   out.set_height_px(Clamp32(fake.height_px));
                   out.set_frame_rate_hz(fake.frame_rate_hz);
                 },
                 [&](const GroupSpec& group) {
                   source.mutable_vfio_group()->set_group(group.group);
                   source.mutable_vfio_group()->set_device(group.device);
                 },
                 [&](const CdevSpec& cdev) { source.mutable_vfio_cdev()->set_path(cdev.path); },
                 [&](const VmmSpec& vmm) {
                   source.mutable_vmm()->set_pid(vmm.pid);
                   source.mutable_vmm()->set_device(vmm.device);
                   source.mutable_vmm()->set_start_time_ticks(vmm.start_time_ticks);
                 },
                 // The token was used up and is nobody's business any more.
                 [&](const HandedOverSpec&) { source.mutable_handed_over(); },
             },
             spec.device);
  return source;
}

v1::Display::State ToProto(DisplayState state) {
  switch (state) {
    case DisplayState::kAttaching:
      return v1::Display::STATE_ATTACHING;
    case DisplayState::kActive:
      return v1::Display::STATE_ACTIVE;
    case DisplayState::kWaitingForGuest:
      return v1::Display::STATE_WAITING_FOR_GUEST;
    case DisplayState::kBlanked:
      return v1::Display::STATE_BLANKED;
    case DisplayState::kUnsupportedFormat:
      return v1::Display::STATE_UNSUPPORTED_FORMAT;
    case DisplayState::kImportFailed:
      return v1::Display::STATE_IMPORT_FAILED;
    case DisplayState::kEncoderFailed:
      return v1::Display::STATE_ENCODER_FAILED;
    case DisplayState::kDeviceError:
      return v1::Display::STATE_DEVICE_ERROR;
    case DisplayState::kDeviceGone:
      return v1::Display::STATE_DEVICE_GONE;
    case DisplayState::kDetaching:
      return v1::Display::STATE_DETACHING;
  }
  return v1::Display::STATE_UNSPECIFIED;
}

v1::CursorPath ToProto(CursorPath path) {
  switch (path) {
    case CursorPath::kSeparate:
      return v1::CURSOR_PATH_SEPARATE;
    case CursorPath::kInPicture:
      return v1::CURSOR_PATH_IN_PICTURE;
    case CursorPath::kUnknown:
      break;
  }
  return v1::CURSOR_PATH_UNSPECIFIED;
}

v1::Display ToProto(const DisplaySnapshot& snapshot, const WallClock& wall, bool with_source) {
  v1::Display display;
  display.set_name(DisplayNameFromId(snapshot.id));
  if (with_source) {
    *display.mutable_source() = ToProto(snapshot.spec);
    display.set_device_description(snapshot.device_description);
  }
  display.set_state(ToProto(snapshot.state.state));
  display.set_state_reason(snapshot.state.reason);
  display.set_state_remedy(snapshot.state.remedy);
  if (snapshot.state.since_ns != 0) {
    *display.mutable_state_start_time() = wall.At(snapshot.state.since_ns);
  }
  if (snapshot.primary_plane.has_value()) {
    Fill(snapshot.primary_plane->layout, snapshot.primary_plane->kind,
         *display.mutable_primary_plane());
  }
  display.set_cursor_path(ToProto(snapshot.cursor_path));
  display.set_flip_regime(ToProto(snapshot.flip_regime));
  display.set_encoder(snapshot.encoder);
  display.set_viewer_count(snapshot.viewer_count);
  display.set_configured(snapshot.configured);
  if (snapshot.attach_time_ns != 0) {
    *display.mutable_attach_time() = wall.At(snapshot.attach_time_ns);
  }
  display.set_mode_settable(snapshot.mode_settable);
  display.set_degraded_reason(snapshot.degraded_reason);
  display.set_encoder_detail(snapshot.encoder_detail);
  if (snapshot.pixel_path.has_value()) display.set_pixel_path(ToProto(*snapshot.pixel_path));
  display.set_pixel_path_reason(snapshot.pixel_path_reason);
  display.set_uid(snapshot.uid);
  display.mutable_labels()->insert(snapshot.labels.begin(), snapshot.labels.end());
  display.set_etag(absl::StrCat(snapshot.uid, "-", snapshot.revision));
  return display;
}

absl::StatusOr<EtagParts> ParseEtag(const std::string& etag) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(etag, absl::MaxSplits('-', 1));
  EtagParts result{parts.first, 0};
  if (absl::SimpleAtoi(parts.second, &result.revision)) return result;
  return absl::InvalidArgumentError("etag is not one that a display had; leave it out or get it");
}

v1::StreamEvent ToProto(const StreamEvent& event, const WallClock& wall) {
  v1::StreamEvent out;
  std::visit(
      Overloaded{
          [&](const StreamStarted& started) { Fill(started, *out.mutable_started()); },
          [&](const UnitEvent& unit) { Fill(unit, *out.mutable_access_unit()); },
          [&](const CursorShape& shape) { Fill(shape, *out.mutable_cursor_shape()); },
          [&](const CursorMoved& moved) {
            out.mutable_cursor_moved()->set_x_px(moved.x_px);
            out.mutable_cursor_moved()->set_y_px(moved.y_px);
            out.mutable_cursor_moved()->set_visible(moved.visible);
            out.mutable_cursor_moved()->set_shape_id(moved.shape_id);
          },
          [&](const StateChanged& changed) {
            v1::DisplayStateChanged& state = *out.mutable_state_changed();
            state.set_state(ToProto(changed.report.state));
            state.set_reason(changed.report.reason);
            state.set_remedy(changed.report.remedy);
            *state.mutable_start_time() = wall.At(changed.report.since_ns);
          },
          [&](const StreamStats& stats) { Fill(stats, *out.mutable_stats()); },
          [&](const Goodbye& goodbye) {
            out.mutable_goodbye()->set_reason(ToProto(goodbye.reason));
            out.mutable_goodbye()->set_message(goodbye.message);
            if (goodbye.retry_after_ms < 0) return;
            *out.mutable_goodbye()->mutable_retry_after() =
                google::protobuf::util::TimeUtil::MillisecondsToDuration(goodbye.retry_after_ms);
          },
      },
      event.body);
  return out;
}

absl::StatusOr<CursorAbilities> ToCursorAbilities(const v1::ClientCapabilities& capabilities) {
  if (capabilities.cursors_kept() < 0) {
    return absl::InvalidArgumentError("capabilities.cursors_kept is negative: use 0 for none");
  }
  CursorAbilities abilities;
  abilities.kept_max = static_cast<size_t>(capabilities.cursors_kept());
  for (const int encoding : capabilities.cursor_encodings()) {
    abilities.png = abilities.png || encoding == v1::CursorShape::ENCODING_PNG;
  }
  return abilities;
}

absl::StatusOr<ViewerLimits> ToLimits(const v1::ViewerLimits& limits, ViewerLimits before) {
  ViewerLimits result = before;
  if (limits.has_bitrate_max_bps()) result.bitrate_max_bps = limits.bitrate_max_bps();
  if (limits.has_frame_rate_max_hz()) result.frame_rate_max_hz = limits.frame_rate_max_hz();
  if (auto status = ValidateViewerLimits(result); !status.ok()) return status;
  return result;
}

}  // namespace planecast
