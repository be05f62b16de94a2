#include "tests/vm/va_checks.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace planecast::vmtest {
namespace {

constexpr const char* kRenderNode = "/dev/dri/renderD128";
// libva finds the driver of vgem by name alone; there is none but ours.
constexpr const char* kEnvironment =
    "LIBVA_DRIVERS_PATH=/payload/lib/dri LIBVA_DRIVER_NAME=planecast_sw";
/// Video memory, by which a guest role finds its device among the daemon's.
constexpr int kFixedMediumMib = 16;
constexpr int kMdpyXgaMib = 4;
constexpr int kMbochsSmallMib = 4;

}  // namespace

void VaChecks::RunAll() {
  const auto mdpy = lab_.CreateMdev("mdpy-xga");
  const auto fixed = lab_.CreateMdev("mbochs_fixed-medium");
  const auto unmodified = lab_.CreateMdev("mbochs-small");
  for (const auto* mdev : {&mdpy, &fixed, &unmodified}) {
    if (!Expect(mdev->status(), "va: a device for the daemon")) return;
  }
  const std::string config = absl::StrFormat(
      "encoder { id: \"vaapi\" render_node: \"%s\" } displays { display_id: \"region\" source { "
      "vfio_group { group: %d device: \"%s\" } } }",
      kRenderNode, mdpy->group, mdpy->uuid);
  if (!StartServing(config, kEnvironment)) return;
  CheckHost();
  CheckDmabuf(*fixed);
  CheckRegion();
  CheckUnmappable(*unmodified);
  for (const char* role : {"dmabuf", "region", "opaque"}) {
    Expect(lab_.Tell(role, "quit"), absl::StrCat("va: ", role, ": the guest ends"));
    const Shell detach = Cli(absl::StrCat("detach ", role));
    Expect(detach.status == 0, absl::StrCat("va: ", role, ": `planecast detach`"), detach.output);
  }
  const std::string fds = lab_.DeviceFds(daemon_);
  Expect(fds.empty(), "va: after the detach the daemon holds no fd of a device or dma-buf", fds);
  StopServing();
  for (const auto* mdev : {&mdpy, &fixed, &unmodified}) {
    Expect(lab_.RemoveMdev(**mdev), "va: the device can be removed");
  }
}

void VaChecks::CheckHost() {
  const Shell host = Cli("host");
  Expect(host.status == 0 && host.output.find(kRenderNode) != std::string::npos,
         "va: `planecast host` tells of the kernel's render node", host.output);
  const auto report = lab_.Run(absl::StrCat(kEnvironment, " planecast-va-check --node ",
                                            kRenderNode, " --pictures 4 --size 640x368; true"));
  Expect(report.ok() && report->find("dma-buf: a dumb buffer of") != std::string::npos &&
             report->find("PASS baseline, import: ZERO_COPY") != std::string::npos &&
             report->find("FAIL") == std::string::npos,
         "va: planecast-va-check imports a dma-buf of the kernel's vgem",
         report.ok() ? *report : Text(report.status()));
}

void VaChecks::ExpectPath(const std::string& id, const std::string& path, const std::string& what) {
  const Shell get = Cli(absl::StrCat("get ", id));
  Expect(get.status == 0 && get.output.find(path) != std::string::npos,
         absl::StrCat("va: ", id, ": ", what), get.output);
}

void VaChecks::CheckDmabuf(const Mdev& fixed) {
  const std::string id = "dmabuf";
  if (!AttachGroup(id, fixed)) return;
  if (!Expect(lab_.StartBorrower(id, daemon_, false, kFixedMediumMib), "va: the guest starts")) {
    return;
  }
  Viewer viewer(channel_, id);
  Expect(lab_.Tell(id, "mode 640 480"), "va: the guest sets 640x480");
  Expect(Paint(id, "paint", 500), "va: the guest paints");
  ExpectState(id, v1::Display::STATE_ACTIVE, "is ACTIVE through VA-API");
  ExpectPicture(viewer, id, 500, 640, 480, "the GPU path shows what the guest painted");
  for (uint16_t code = 501; code <= 506; ++code) {
    Expect(Paint(id, "flip", code), "va: the guest flips");
    ExpectPicture(viewer, id, code, 640, 480, absl::StrCat("picture ", code, " arrives"));
  }
  ExpectPath(id, "ZERO_COPY", "the kernel's dma-buf was imported, not copied");
  // 800 lines of 600 pixels don't fill whole pages.
  Expect(lab_.Tell(id, "mode 800 600"), "va: the guest sets 800x600");
  Expect(Paint(id, "paint", 510), "va: the guest paints");
  Expect(viewer.WaitForSize(800, 600), "va: the same stream goes on with 800x600");
  ExpectPicture(viewer, id, 510, 800, 600, "the picture has the new size");
  Expect(lab_.Tell(id, "mode 640 480"), "va: the guest sets 640x480 again");
  Expect(Paint(id, "paint", 511), "va: the guest paints");
  ExpectPicture(viewer, id, 511, 640, 480, "the first mode's buffers serve again");
  ExpectSoundStream(viewer, id);
}

void VaChecks::CheckRegion() {
  const std::string id = "region";
  if (!Expect(lab_.StartBorrower(id, daemon_, true, kMdpyXgaMib), "va: mdpy's guest starts")) {
    return;
  }
  Expect(Paint(id, "paint", 520), "va: mdpy's guest paints");
  Viewer viewer(channel_, id);
  ExpectPicture(viewer, id, 520, 1024, 768, "a region is uploaded and shows what was painted");
  ExpectPath(id, "CPU_COPY", "the upload is said so");
  ExpectSoundStream(viewer, id);
}

/// The unmodified driver's dma-bufs can't be mapped, and a driver without a GPU has nothing else.
void VaChecks::CheckUnmappable(const Mdev& unmodified) {
  const std::string id = "opaque";
  if (!AttachGroup(id, unmodified)) return;
  if (!Expect(lab_.StartBorrower(id, daemon_, false, kMbochsSmallMib), "va: mbochs's guest starts"))
    return;
  Viewer viewer(channel_, id);
  Expect(lab_.Tell(id, "mode 640 480"), "va: mbochs's guest sets 640x480");
  const auto display = watch_->WaitForState(id, v1::Display::STATE_IMPORT_FAILED);
  Expect(display.has_value(), "va: opaque: a dma-buf that nobody can read is IMPORT_FAILED",
         watch_->Describe(id));
  Expect(display.has_value() && display->state_reason().find("map") != std::string::npos,
         "va: opaque: the reason names import and mapping", watch_->Describe(id));
  Expect(viewer.units() == 0, "va: opaque: no picture was sent");
}

}  // namespace planecast::vmtest
