// What a GPU can really do, found by doing it once. Names nothing of libva, so that those who
// choose among encoders need not know it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "encoder/encoder.h"

namespace planecast {

/// What a probe learned of one profile.
struct VaKnownProfile {
  bool works = false;
  /// Ways from the top of the ladder that failed, and why; where `works`.
  size_t rungs_to_skip = 0;
  std::string skip_reason;
};

/// What a probe learned of one render node.
struct VaKnownNode {
  RenderNode node;
  VaKnownProfile constrained_baseline;
  VaKnownProfile high;
};

/// The render nodes of /dev/dri, by number.
std::vector<std::string> ListRenderNodes();

/// Opens the node, asks it everything and codes a small picture with each way until one works, for
/// each profile. May take seconds with a GPU that hangs.
VaKnownNode ProbeVaNode(const std::string& render_node);

/// Makes an encoder on params.render_node, which may be unknown (null): then it finds out by
/// itself.
absl::StatusOr<std::unique_ptr<Encoder>> MakeVaEncoder(const EncoderParams& params,
                                                       const RateParams& rate, Clock& clock,
                                                       const VaKnownNode* known);

}  // namespace planecast
