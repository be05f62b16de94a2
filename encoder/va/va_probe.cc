#include "encoder/va/va_probe.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "encoder/h264/h264_bits.h"
#include "encoder/h264/h264_headers.h"
#include "encoder/probe_frame.h"
#include "encoder/va/va_caps.h"
#include "encoder/va/va_encoder.h"

namespace planecast {
namespace {

constexpr const char* kDriDirectory = "/dev/dri";
constexpr const char* kRenderPrefix = "renderD";
// Above what encoders of any vendor take at least.
constexpr uint32_t kProbeSizePx = 256;

/// The unit has to be an IDR that says about itself what every stream of ours does.
absl::Status CheckUnit(const AccessUnit& unit) {
  for (const auto nal : SplitAnnexB(unit.bytes)) {
    if (NalTypeOf(nal) != NalType::kSps) continue;
    const auto sps = ParseSps(nal);
    if (!sps.ok()) return sps.status();
    if (sps->width_mbs * 16 != kProbeSizePx || sps->height_mbs * 16 != kProbeSizePx) {
      return absl::InternalError("the stream has another size than asked for");
    }
    return absl::OkStatus();
  }
  return absl::InternalError("the stream has no sequence parameter set");
}

EncoderParams ProbeParams(const std::string& render_node, H264Profile profile) {
  EncoderParams params;
  params.width_px = params.height_px = kProbeSizePx;
  params.profile = profile;
  params.render_node = render_node;
  return params;
}

/// Codes a picture with one way.
GpuProbe ProbeRung(const EncoderParams& params, size_t rung, const VaRung& way) {
  GpuProbe probe;
  probe.profile = Describe(way.caps).profile;
  probe.entrypoint = EntrypointName(way.caps.entrypoint);
  probe.rate_control = RateControlName(way.rate_control);
  auto encoder = VaEncoder::Make(params, RateParams{}, MonotonicClock(),
                                 {.rungs_to_skip = rung, .one_rung = true, .skip_reason = ""});
  if (!encoder.ok()) {
    probe.status = encoder.status();
    return probe;
  }
  auto result = (*encoder)->Encode(MakeProbeFrame(kProbeSizePx, kProbeSizePx), {});
  if (!result.ok()) {
    probe.status = result.status();
  } else if (result->unit == nullptr || !result->unit->key_frame) {
    probe.status = absl::InternalError("the first picture is no key frame");
  } else {
    probe.status = CheckUnit(*result->unit);
    probe.duration_ns = result->encode_duration_ns;
  }
  return probe;
}

VaKnownProfile ProbeProfile(const std::string& render_node, H264Profile profile, RenderNode& node) {
  VaKnownProfile known;
  const EncoderParams params = ProbeParams(render_node, profile);
  auto first = VaEncoder::Make(params, RateParams{}, MonotonicClock(),
                               {.one_rung = true, .skip_reason = ""});
  if (!first.ok()) {
    known.skip_reason = std::string(first.status().message());
    return known;
  }
  const std::vector<VaRung> ladder = (*first)->ladder();
  first->reset();
  for (size_t rung = 0; rung < ladder.size(); ++rung) {
    node.probes.push_back(ProbeRung(params, rung, ladder[rung]));
    const GpuProbe& probe = node.probes.back();
    if (probe.status.ok()) {
      known.works = true;
      known.rungs_to_skip = rung;
      return known;
    }
    absl::StrAppend(&known.skip_reason, known.skip_reason.empty() ? "" : "; ", probe.entrypoint,
                    " with ", probe.rate_control, " failed: ", probe.status.message());
  }
  return known;
}

}  // namespace

std::vector<std::string> ListRenderNodes() {
  std::vector<std::string> nodes;
  std::error_code error;
  for (std::filesystem::directory_iterator it(kDriDirectory, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename();
    if (name.starts_with(kRenderPrefix)) nodes.push_back(it->path());
  }
  std::sort(nodes.begin(), nodes.end());
  return nodes;
}

VaKnownNode ProbeVaNode(const std::string& render_node) {
  VaKnownNode known;
  known.node.path = render_node;
  {
    auto display = VaDisplay::Open(render_node);
    if (!display.ok()) {
      known.node.reason = std::string(display.status().message());
      return known;
    }
    known.node.driver = (*display)->vendor();
    known.node.va_version = (*display)->version();
    for (const VaEncodeCaps& caps : QueryEncodeCaps(**display)) {
      known.node.entrypoints.push_back(Describe(caps));
    }
  }
  known.constrained_baseline =
      ProbeProfile(render_node, H264Profile::kConstrainedBaseline, known.node);
  known.high = ProbeProfile(render_node, H264Profile::kHigh, known.node);
  known.node.available = known.constrained_baseline.works || known.high.works;
  if (!known.node.available) known.node.reason = known.constrained_baseline.skip_reason;
  return known;
}

absl::StatusOr<std::unique_ptr<Encoder>> MakeVaEncoder(const EncoderParams& params,
                                                       const RateParams& rate, Clock& clock,
                                                       const VaKnownNode* known) {
  VaEncoderOptions options;
  if (known != nullptr) {
    const VaKnownProfile& profile =
        params.profile == H264Profile::kHigh ? known->high : known->constrained_baseline;
    if (!profile.works) {
      return absl::UnavailableError(absl::StrCat(params.render_node, ": ", profile.skip_reason));
    }
    options.rungs_to_skip = profile.rungs_to_skip;
    options.skip_reason = profile.skip_reason;
  }
  return VaEncoder::Make(params, rate, clock, options);
}

}  // namespace planecast
