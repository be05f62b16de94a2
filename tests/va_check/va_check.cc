#include "tests/va_check/va_check.h"

#include <drm_fourcc.h>
#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "encoder/encoder.h"
#include "tests/encoder/test_frames.h"
#include "tests/h264/stream_check.h"
#include "tests/va_check/test_dmabuf.h"
#include "vfio/clock.h"

namespace planecast::vacheck {
namespace {

constexpr double kPsnrMin = 34;
constexpr int kChannelErrorMax = 12;
constexpr uint32_t kPatchPx = 64;

/// A page of text with a row of colour patches, and a box that moves.
void PaintCard(testing::HeapPlane& plane, uint32_t picture) {
  if (picture % 30 == 0) PaintText(plane, picture);
  for (uint32_t i = 0; i < 8; ++i) {
    plane.Fill(i * kPatchPx, 0, kPatchPx, kPatchPx, testing::PatchColors()[i]);
  }
  const uint32_t x = picture * 12 % (plane.layout().width_px - kPatchPx);
  plane.Fill(x, kPatchPx * 2, kPatchPx, kPatchPx, 0x2050a0 + picture * 0x010203);
}

struct Quality {
  double psnr_db = 0;
  int channel_error = 0;
};

Quality Measure(const testing::DecodedPicture& picture, testing::HeapPlane& plane) {
  Quality quality;
  double sum = 0;
  const PlaneLayout& layout = plane.layout();
  for (uint32_t y = 0; y < layout.height_px; ++y) {
    const uint8_t* line = plane.line(y);
    for (uint32_t x = 0; x < layout.width_px; ++x) {
      const uint8_t* p = line + size_t{x} * 4;
      const double exact = 16 + 219.0 / 255 * (0.2126 * p[2] + 0.7152 * p[1] + 0.0722 * p[0]);
      const double error = picture.y[size_t{y} * picture.width_px + x] - exact;
      sum += error * error;
    }
  }
  const double mean = std::max(sum / layout.width_px / layout.height_px, 1e-9);
  quality.psnr_db = 10 * std::log10(255 * 255 / mean);
  for (uint32_t i = 0; i < 8; ++i) {
    const uint32_t seen = testing::RgbAt(picture, i * kPatchPx + kPatchPx / 2, kPatchPx / 2);
    for (int shift = 0; shift < 24; shift += 8) {
      const int error = static_cast<int>(seen >> shift & 255) -
                        static_cast<int>(testing::PatchColors()[i] >> shift & 255);
      quality.channel_error = std::max(quality.channel_error, std::abs(error));
    }
  }
  return quality;
}

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

class Checker {
 public:
  Checker(const Options& options, const EncoderCatalog& catalog, std::ostream& out)
      : options_(options), catalog_(catalog), out_(out) {}

  /// Codes the card by import (`dmabuf` not null) or by upload. False if anything was wrong.
  bool Encode(const std::string& node, H264Profile profile, TestDmabuf* dmabuf) {
    const std::string what = absl::StrCat(profile == H264Profile::kHigh ? "high" : "baseline", ", ",
                                          dmabuf != nullptr ? "import" : "upload");
    EncoderParams params;
    params.width_px = static_cast<uint32_t>(options_.width_px);
    params.height_px = static_cast<uint32_t>(options_.height_px);
    params.profile = profile;
    params.render_node = node;
    auto encoder = catalog_.Make("vaapi", params, RateParams{}, MonotonicClock());
    if (!encoder.ok()) return Say(what, false, std::string(encoder.status().message()));
    testing::HeapPlane plane(DRM_FORMAT_XRGB8888, params.width_px, params.height_px);
    std::vector<std::vector<uint8_t>> stream;
    std::vector<double> milliseconds;
    std::string path;
    for (int i = 0; i < options_.pictures; ++i) {
      PaintCard(plane, static_cast<uint32_t>(i));
      Frame frame = plane.frame();
      if (dmabuf != nullptr) {
        if (auto status = dmabuf->Draw(plane.bytes()); !status.ok()) {
          return Say(what, false, std::string(status.message()));
        }
        frame.buffer = dmabuf->buffer();
      }
      const auto begin = std::chrono::steady_clock::now();
      const auto result = (*encoder)->Encode(frame, {.force_idr = i == options_.pictures / 2});
      const std::chrono::duration<double, std::milli> took =
          std::chrono::steady_clock::now() - begin;
      if (!result.ok()) {
        return Say(what, false, absl::StrCat("picture ", i, ": ", result.status().message()));
      }
      if (result->unit == nullptr) {
        return Say(what, false, absl::StrCat("picture ", i, " was taken for the one before"));
      }
      if (i > 0) milliseconds.push_back(took.count());
      path = result->unit->pixel_path == PixelPath::kZeroCopy ? "ZERO_COPY" : "CPU_COPY";
      stream.push_back(result->unit->bytes);
    }
    out_ << "  " << (*encoder)->identity().detail << "\n";
    const auto pictures =
        testing::CheckStream(stream, {.high_profile = profile == H264Profile::kHigh});
    if (!pictures.ok()) return Say(what, false, std::string(pictures.status().message()));
    const Quality quality = Measure(pictures->back(), plane);
    size_t bytes = 0;
    for (const auto& unit : stream) bytes += unit.size();
    const bool good = quality.psnr_db >= kPsnrMin && quality.channel_error <= kChannelErrorMax;
    return Say(what, good,
               absl::StrFormat("%s, %.1f dB, colours off by %d of 255, %d kB, %.1f ms a picture "
                               "(p95 %.1f)",
                               path, quality.psnr_db, quality.channel_error, bytes / 1000,
                               Percentile(milliseconds, 0.5), Percentile(milliseconds, 0.95)));
  }

  bool Say(const std::string& what, bool good, const std::string& detail) {
    out_ << (good ? "PASS " : "FAIL ") << what << ": " << detail << "\n";
    return good;
  }

 private:
  const Options& options_;
  const EncoderCatalog& catalog_;
  std::ostream& out_;
};

void TellNode(const RenderNode& node, std::ostream& out) {
  out << "\nnode " << node.path << ": " << (node.driver.empty() ? "no driver" : node.driver)
      << ", VA-API " << node.va_version << "\n";
  for (const GpuEntrypoint& one : node.entrypoints) {
    out << "  " << one.profile << " " << one.name << ": rates "
        << absl::StrJoin(one.rate_controls, ",") << "; packed headers "
        << absl::StrJoin(one.packed_headers, ",") << "; up to " << one.width_max_px << "x"
        << one.height_max_px << ", " << one.references_max << " references, " << one.slices_max
        << " slices\n";
  }
  for (const GpuProbe& probe : node.probes) {
    out << "  probe " << probe.profile << " " << probe.entrypoint << " " << probe.rate_control
        << ": "
        << (probe.status.ok()
                ? absl::StrFormat("works, %.1f ms", static_cast<double>(probe.duration_ns) / 1e6)
                : std::string(probe.status.message()))
        << "\n";
  }
}

/// True if everything that this node can do is right.
bool CheckNode(const Options& options, const EncoderCatalog& catalog, const RenderNode& node,
               std::ostream& out) {
  TellNode(node, out);
  Checker checker(options, catalog, out);
  if (!node.available) return checker.Say("probe", false, node.reason);
  auto dmabuf = TestDmabuf::Make(node.path, static_cast<uint32_t>(options.width_px),
                                 static_cast<uint32_t>(options.height_px));
  if (dmabuf.ok()) {
    out << "  dma-buf: " << (*dmabuf)->origin() << "\n";
  } else {
    out << "  no dma-buf could be had, so imports are not checked: " << dmabuf.status().message()
        << "\n";
  }
  bool good = true;
  for (const H264Profile profile : {H264Profile::kConstrainedBaseline, H264Profile::kHigh}) {
    const std::string name = profile == H264Profile::kHigh ? "High" : "ConstrainedBaseline";
    const bool works = std::any_of(node.probes.begin(), node.probes.end(), [&](const auto& probe) {
      return probe.profile == name && probe.status.ok();
    });
    if (!works) continue;
    if (dmabuf.ok()) good = checker.Encode(node.path, profile, dmabuf->get()) && good;
    good = checker.Encode(node.path, profile, nullptr) && good;
  }
  return good;
}

}  // namespace

int Run(const Options& options, std::ostream& out) {
  out << "planecast-va-check of planecast " << PLANECAST_VERSION << "\n";
  utsname kernel{};
  if (uname(&kernel) == 0) out << "kernel " << kernel.release << " " << kernel.machine << "\n";
  EncoderCatalogOptions probe;
  if (!options.node.empty()) probe.render_nodes.push_back(options.node);
  const EncoderCatalog catalog = EncoderCatalog::Probe(probe);
  bool any = false;
  bool good = true;
  for (const RenderNode& node : catalog.render_nodes()) {
    if (!options.node.empty() && node.path != options.node) continue;
    any = any || node.available;
    good = CheckNode(options, catalog, node, out) && good;
  }
  if (catalog.render_nodes().empty()) out << "\nthis host has no render node (/dev/dri/renderD*)\n";
  out << "\n"
      << (any && good ? "planecast works here." : "Something is wrong; see FAIL above.")
      << " Paste all of this into a bug report.\n";
  return any && good ? 0 : 1;
}

}  // namespace planecast::vacheck
