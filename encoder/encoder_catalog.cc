// The encoders of this host and the choice among them.
#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "encoder/encoder.h"
#include "encoder/encoder_checks.h"
#if PLANECAST_HAVE_VAAPI
#include "encoder/va/va_probe.h"
#endif

#include <drm_fourcc.h>

namespace planecast {

#if PLANECAST_HAVE_VAAPI

struct EncoderCatalog::Content {
  std::vector<EncoderCapability> encoders;
  std::vector<RenderNode> render_nodes;
  std::vector<VaKnownNode> known;

  const VaKnownNode* Find(const std::string& path) const {
    const auto found = std::find_if(known.begin(), known.end(), [&](const VaKnownNode& one) {
      return path.empty() ? one.node.available : one.node.path == path;
    });
    return found != known.end() ? &*found : nullptr;
  }
};

namespace {

EncoderCapability DescribeVa(const std::vector<VaKnownNode>& known) {
  EncoderCapability capability;
  capability.id = "vaapi";
  capability.hardware = true;
  capability.reason = "this host has no render node (/dev/dri/renderD*)";
  bool baseline = false;
  bool high = false;
  for (const VaKnownNode& one : known) {
    if (!one.node.available) {
      if (!capability.available) {
        capability.reason = absl::StrCat(one.node.path, ": ", one.node.reason);
      }
      continue;
    }
    if (!capability.available)
      capability.library_version = absl::StrCat("VA-API ", one.node.va_version);
    capability.available = true;
    capability.reason.clear();
    baseline = baseline || one.constrained_baseline.works;
    high = high || one.high.works;
    for (const GpuEntrypoint& entrypoint : one.node.entrypoints) {
      capability.width_max_px =
          std::max(capability.width_max_px, std::min(entrypoint.width_max_px, kPlaneWidthMaxPx));
      capability.height_max_px =
          std::max(capability.height_max_px, std::min(entrypoint.height_max_px, kPlaneHeightMaxPx));
    }
  }
  if (baseline) capability.profiles.emplace_back("constrained-baseline");
  if (high) capability.profiles.emplace_back("high");
  if (capability.available) {
    capability.fourccs = {DRM_FORMAT_XRGB8888,   DRM_FORMAT_ARGB8888, DRM_FORMAT_XBGR8888,
                          DRM_FORMAT_ABGR8888,   DRM_FORMAT_RGB565,   DRM_FORMAT_XRGB2101010,
                          DRM_FORMAT_XBGR2101010};
  }
  return capability;
}

}  // namespace

EncoderCatalog EncoderCatalog::Probe(const EncoderCatalogOptions& options) {
  auto content = std::make_shared<Content>();
  // Named nodes first: who names one prefers it.
  std::vector<std::string> paths = options.render_nodes;
  for (std::string& path : ListRenderNodes()) paths.push_back(std::move(path));
  for (const std::string& path : paths) {
    if (content->Find(path) == nullptr) content->known.push_back(ProbeVaNode(path));
  }
  for (const VaKnownNode& one : content->known) content->render_nodes.push_back(one.node);
  content->encoders.push_back(DescribeVa(content->known));
  for (EncoderCapability& software : ProbeSoftwareEncoders()) {
    content->encoders.push_back(std::move(software));
  }
  EncoderCatalog catalog;
  catalog.content_ = std::move(content);
  return catalog;
}

absl::StatusOr<std::unique_ptr<Encoder>> EncoderCatalog::Make(std::string_view id,
                                                              const EncoderParams& params,
                                                              const RateParams& rate,
                                                              Clock& clock) const {
  if (auto status = CheckEncoderParams(params, rate); !status.ok()) return status;
  const VaKnownNode* known = content_->Find(params.render_node);
  EncoderParams with_node = params;
  if (known != nullptr) with_node.render_node = known->node.path;
  if (id == "vaapi") {
    if (with_node.render_node.empty()) {
      return absl::UnavailableError(
          absl::StrCat("no GPU can encode here: ", content_->encoders[0].reason));
    }
    return MakeVaEncoder(with_node, rate, clock, known);
  }
  if (id != "auto" || params.software_only) return MakeSoftwareEncoder(id, params, rate, clock, "");
  // A host without any GPU lacks nothing that would have to be told.
  if (known == nullptr && params.render_node.empty()) {
    return MakeSoftwareEncoder(id, params, rate, clock, "");
  }
  auto encoder = MakeVaEncoder(with_node, rate, clock, known);
  if (encoder.ok()) return encoder;
  return MakeSoftwareEncoder(
      id, params, rate, clock,
      absl::StrCat("The GPU can't encode this display: ", encoder.status().message()));
}

#else

struct EncoderCatalog::Content {
  std::vector<EncoderCapability> encoders;
  std::vector<RenderNode> render_nodes;
};

EncoderCatalog EncoderCatalog::Probe(const EncoderCatalogOptions& /*options*/) {
  auto content = std::make_shared<Content>();
  content->encoders = ProbeSoftwareEncoders();
  EncoderCatalog catalog;
  catalog.content_ = std::move(content);
  return catalog;
}

absl::StatusOr<std::unique_ptr<Encoder>> EncoderCatalog::Make(std::string_view id,
                                                              const EncoderParams& params,
                                                              const RateParams& rate,
                                                              Clock& clock) const {
  return MakeEncoder(id, params, rate, clock);
}

#endif

const std::vector<EncoderCapability>& EncoderCatalog::encoders() const {
  return content_->encoders;
}

const std::vector<RenderNode>& EncoderCatalog::render_nodes() const {
  return content_->render_nodes;
}

}  // namespace planecast
