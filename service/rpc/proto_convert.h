// Between the wire's messages and the core's structs.
#pragma once

#include "absl/status/statusor.h"
#include "planecast/v1/display.pb.h"
#include "planecast/v1/viewer_service.pb.h"
#include "service/core/display_state.h"
#include "service/core/registry.h"
#include "service/core/stream_event.h"
#include "service/core/viewer.h"
#include "service/rpc/wall_clock.h"

namespace planecast {

/// Validates (CheckDisplaySource) and converts.
absl::StatusOr<DisplaySpec> ToSpec(const v1::DisplaySource& source);
v1::DisplaySource ToProto(const DisplaySpec& spec);

/// `with_source` says where the pixels come from too, which is for who manages the display.
v1::Display ToProto(const DisplaySnapshot& snapshot, const WallClock& wall, bool with_source);
v1::Display::State ToProto(DisplayState state);
v1::CursorPath ToProto(CursorPath path);

/// Everything of an event but what a viewer or the moment adds to it; access units without `data`.
v1::StreamEvent ToProto(const StreamEvent& event, const WallClock& wall);

/// Limits that are absent stay as they were. INVALID_ARGUMENT as ValidateViewerLimits.
absl::StatusOr<ViewerLimits> ToLimits(const v1::ViewerLimits& limits, ViewerLimits before);

/// INVALID_ARGUMENT for a negative number of cursors.
absl::StatusOr<CursorAbilities> ToCursorAbilities(const v1::ClientCapabilities& capabilities);

/// INVALID_ARGUMENT if no display had such an etag.
absl::StatusOr<EtagParts> ParseEtag(const std::string& etag);

}  // namespace planecast
