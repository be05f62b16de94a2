// Runs on the host beside the VM: the device contract on the unmodified drivers, then planecastd in
// the VM and clients here, picture by picture. See tests/vm/README.md.
//
//   vm_e2e --control SOCKET --server HOST:PORT --cli PLANECAST --scratch DIR
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/vm/daemon_session.h"
#include "tests/vm/lab.h"
#include "tests/vm/report.h"
#include "tests/vm/server_link.h"
#include "tests/vm/va_checks.h"
#include "tests/vm/vm_control.h"

namespace planecast::vmtest {
namespace {

constexpr const char* kUnmodifiedTypes[] = {"mbochs-medium", "mbochs-large", "mdpy-vga", "mdpy-hd"};
constexpr const char* kSessionTypes[] = {"mbochs-medium", "mdpy-hd", "mbochs_fixed-medium"};
/// Video memory, by which a guest role finds its device among the daemon's.
constexpr int kFixedMediumMib = 16;
constexpr int kMdpyXgaMib = 4;
constexpr int kMbochsSmallMib = 4;

class EndToEnd : private DaemonSession {
 public:
  EndToEnd(Lab& lab, Report& report, std::map<std::string, std::string> options)
      : DaemonSession(lab, report, std::move(options)) {}

  void RunAll() {
    for (const char* type : kUnmodifiedTypes) CheckContract("driver", type);
    for (const char* type : kSessionTypes) CheckContract("session", type);
    Expect(lab_.TraceGets(), "kernel probes count every GET_GFX_DMABUF");
    if (!StartDaemon()) return;
    CheckRegionPlane();
    CheckFixedMbochs();
    CheckUnmodifiedMbochs();
    CheckBorrowed();
    CheckHandedOver();
    CheckCli();
    CheckDetach();
    CheckEnd();
  }

 private:
  /// A suite of the contract program on a fresh device; its failures are shown one by one.
  void CheckContract(const std::string& suite, const std::string& type) {
    const std::string what = absl::StrCat(type, ", ", suite, " contract");
    const auto mdev = lab_.CreateMdev(type);
    if (!Expect(mdev.status(), absl::StrCat(what, ": a device"))) return;
    const bool region = type.starts_with("mdpy");
    const auto output = lab_.Run(absl::StrFormat(
        "vm_contract %s --group %d --device %s --kind %s --readable %s; true", suite, mdev->group,
        mdev->uuid, region ? "region" : "dmabuf", type.starts_with("mbochs-") ? "no" : "yes"));
    if (!Expect(output.status(), absl::StrCat(what, ": its program runs"))) return;
    std::istringstream lines(*output);
    int checks = 0;
    int left_out = 0;
    bool closed = false;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("FAIL ")) {
        report_.Adopt(absl::StrCat("FAIL ", what, ": ", line.substr(5)));
      }
      checks += line.starts_with("PASS ");
      left_out += line.starts_with("left out: ");
      closed = closed || line.find(" passed, 0 failed") != std::string::npos;
    }
    Expect(closed,
           absl::StrFormat("%s holds: %d checks, %d left out as the device lacks what they need",
                           what, checks, left_out),
           *output);
    Expect(lab_.RemoveMdev(*mdev), absl::StrCat(what, ": the device is free again"));
  }

  bool StartDaemon() {
    const auto mdpy = lab_.CreateMdev("mdpy-xga");
    const auto fixed = lab_.CreateMdev("mbochs_fixed-medium");
    const auto unmodified = lab_.CreateMdev("mbochs-small");
    const auto borrowed = lab_.CreateMdev("mbochs_fixed-large");
    for (const auto* mdev : {&mdpy, &fixed, &unmodified, &borrowed}) {
      if (!Expect(mdev->status(), "a device for the daemon")) return false;
    }
    fixed_ = *fixed;
    unmodified_ = *unmodified;
    borrowed_ = *borrowed;
    return StartServing(absl::StrFormat(
        "displays { display_id: \"mdpy\" source { vfio_group { group: %d device: \"%s\" } } }",
        mdpy->group, mdpy->uuid));
  }

  void CheckRegionPlane() {
    const std::string id = "mdpy";
    ExpectState(id, v1::Display::STATE_ACTIVE, "attached by config, it is ACTIVE");
    if (!Expect(lab_.StartBorrower(id, daemon_, true, kMdpyXgaMib), "mdpy: the guest starts"))
      return;
    Expect(Paint(id, "paint", 100), "mdpy: the guest paints");
    Viewer viewer(channel_, id);
    Expect(viewer.WaitForSize(1024, 768), "mdpy: the stream is 1024x768");
    ExpectPicture(viewer, id, 100, 1024, 768, "the decoded picture is what the guest painted");
    for (uint16_t code = 101; code <= 103; ++code) {
      Expect(Paint(id, "paint", code), "mdpy: the guest paints over it");
      ExpectPicture(viewer, id, code, 1024, 768, absl::StrCat("picture ", code, " arrives"));
    }
    ExpectSoundStream(viewer, id);
  }

  void CheckFixedMbochs() {
    const std::string id = "fixed";
    if (!AttachGroup(id, fixed_)) return;
    ExpectState(id, v1::Display::STATE_WAITING_FOR_GUEST, "waits for the guest");
    if (!Expect(lab_.StartBorrower(id, daemon_, false, kFixedMediumMib),
                "fixed: the guest starts")) {
      return;
    }
    Viewer viewer(channel_, id);
    Expect(lab_.Tell(id, "mode 640 480"), "fixed: the guest sets 640x480");
    Expect(Paint(id, "paint", 200), "fixed: the guest paints");
    ExpectState(id, v1::Display::STATE_ACTIVE, "is ACTIVE once there is a mode");
    ExpectPicture(viewer, id, 200, 640, 480, "the decoded picture is what the guest painted");
    for (uint16_t code = 201; code <= 206; ++code) {
      Expect(Paint(id, "flip", code), "fixed: the guest flips");
      ExpectPicture(viewer, id, code, 640, 480, absl::StrCat("picture ", code, " arrives"));
    }
    Expect(lab_.Tell(id, "off"), "fixed: the guest switches off");
    ExpectState(id, v1::Display::STATE_BLANKED, "is BLANKED");
    Expect(lab_.Tell(id, "on"), "fixed: the guest switches on");
    ExpectState(id, v1::Display::STATE_ACTIVE, "is ACTIVE again");
    Expect(Paint(id, "flip", 207), "fixed: the guest flips");
    ExpectPicture(viewer, id, 207, 640, 480, "the picture is back");
    // 800 lines of 600 pixels don't fill whole pages.
    Expect(lab_.Tell(id, "mode 800 600"), "fixed: the guest sets 800x600");
    Expect(Paint(id, "paint", 210), "fixed: the guest paints");
    Expect(viewer.WaitForSize(800, 600), "fixed: the same stream goes on with 800x600");
    ExpectPicture(viewer, id, 210, 800, 600, "the decoded picture has the new size");
    Expect(lab_.Tell(id, "mode 640 480"), "fixed: the guest sets 640x480 again");
    Expect(Paint(id, "paint", 211), "fixed: the guest paints");
    ExpectPicture(viewer, id, 211, 640, 480, "the first mode's buffers serve again");
    Expect(lab_.Tell(id, "reset"), "fixed: the device is reset");
    ExpectState(id, v1::Display::STATE_BLANKED, "a reset blanks");
    Expect(lab_.Tell(id, "mode 1280 720"), "fixed: the guest comes back with 1280x720");
    Expect(Paint(id, "paint", 212), "fixed: the guest paints");
    ExpectPicture(viewer, id, 212, 1280, 720, "the picture after a reset");
    ExpectSoundStream(viewer, id);
    const Shell mode = Cli("mode fixed 1024x768");
    Expect(mode.status == 0, "fixed: `planecast mode` offers 1024x768", mode.output);
    Expect(EdidOffers(id, 1024, 768), "fixed: the guest finds an EDID that prefers 1024x768");
  }

  /// Reads the guest's EDID until its first detailed timing is of this size.
  bool EdidOffers(const std::string& role, int width_px, int height_px) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(kWaitMaxS);
    while (std::chrono::steady_clock::now() < deadline) {
      const auto edid = lab_.ReadEdid(role);
      if (!edid.ok() || edid->size() != 128) return false;
      const auto byte = [&](size_t at) { return static_cast<uint8_t>((*edid)[at]); };
      uint8_t sum = 0;
      for (size_t at = 0; at < edid->size(); ++at) sum += byte(at);
      if (byte(1) == 0xff && sum == 0 && (byte(56) | (byte(58) >> 4) << 8) == width_px &&
          (byte(59) | (byte(61) >> 4) << 8) == height_px) {
        return true;
      }
    }
    return false;
  }

  void CheckUnmodifiedMbochs() {
    const std::string id = "unmodified";
    if (!AttachGroup(id, unmodified_)) return;
    if (!Expect(lab_.StartBorrower(id, daemon_, false, kMbochsSmallMib),
                "unmodified: the guest starts")) {
      return;
    }
    Viewer viewer(channel_, id);
    Expect(lab_.Tell(id, "mode 640 480"), "unmodified: the guest sets 640x480");
    const auto display = watch_->WaitForState(id, v1::Display::STATE_IMPORT_FAILED);
    Expect(display.has_value(), "unmodified: is IMPORT_FAILED", watch_->Describe(id));
    Expect(display.has_value() && display->state_reason().find("map") != std::string::npos &&
               !display->state_remedy().empty(),
           "unmodified: says that the dma-buf can't be mapped, and what to do",
           watch_->Describe(id));
    for (uint16_t code = 1; code <= 6; ++code) {
      Expect(Paint(id, "flip", code), "unmodified: the guest flips on");
    }
    Expect(lab_.Tell(id, "off"), "unmodified: the guest switches off");
    ExpectState(id, v1::Display::STATE_BLANKED, "is followed all the same");
    Expect(lab_.Tell(id, "mode 640 480"), "unmodified: the guest sets the mode again");
    ExpectState(id, v1::Display::STATE_IMPORT_FAILED, "is IMPORT_FAILED again");
    Expect(viewer.units() == 0, "unmodified: no picture was sent");
    ExpectSoundStream(viewer, id);
  }

  void ExpectRefused(const std::string& source, const std::string& reason,
                     const std::string& what) {
    const Shell attach = Cli(absl::StrCat("attach refused ", source));
    Expect(attach.status == 1 && attach.output.find(reason) != std::string::npos, what,
           attach.output);
  }

  void CheckBorrowed() {
    const std::string id = "borrowed";
    const auto owner = lab_.StartOwner(id, borrowed_);
    if (!Expect(owner.status(), "borrowed: another process opens the device")) return;
    Expect(lab_.Tell(id, "mode 1024 768"), "borrowed: its guest sets 1024x768");
    Expect(Paint(id, "paint", 300), "borrowed: its guest paints");
    const auto start = lab_.StartTicks(*owner);
    if (!Expect(start.status(), "borrowed: it is known when its owner started")) return;
    const std::string vmm = absl::StrCat("--vmm-pid ", *owner, " --vmm-start ", *start);
    ExpectRefused(absl::StrCat(vmm, "1"), "another process by now",
                  "borrowed: a pid of another process by now is refused");
    ExpectRefused(absl::StrCat(vmm, " --device ", fixed_.uuid), "does not hold /dev/vfio/",
                  "borrowed: another device than the owner's is refused");
    if (!Attach(id, absl::StrCat(vmm, " --device ", borrowed_.uuid))) return;
    ExpectState(id, v1::Display::STATE_ACTIVE, "is ACTIVE on the borrowed fd");
    const Shell get = Cli("get borrowed");
    Expect(get.output.find(absl::StrCat("device ", borrowed_.uuid, ", the only one of group ",
                                        borrowed_.group)) != std::string::npos,
           "borrowed: `planecast get` says by what its device was proved", get.output);
    {
      Viewer viewer(channel_, id);
      ExpectPicture(viewer, id, 300, 1024, 768, "the decoded picture is what the guest painted");
      for (uint16_t code = 301; code <= 303; ++code) {
        Expect(Paint(id, "flip", code), "borrowed: the guest flips");
        ExpectPicture(viewer, id, code, 1024, 768, absl::StrCat("picture ", code, " arrives"));
      }
      ExpectSoundStream(viewer, id);
      Expect(lab_.Run(absl::StrCat("kill -KILL ", *owner)).status(),
             "borrowed: its owner is killed");
      ExpectState(id, v1::Display::STATE_DEVICE_GONE, "is DEVICE_GONE");
    }
  }

  /// The device of CheckBorrowed again: its next owner hands it over itself.
  void CheckHandedOver() {
    const std::string id = "handed";
    const auto owner = lab_.StartOwner(id, borrowed_);
    Expect(owner.status(), "handed: the device of `borrowed` opens again, nothing holds it");
    Expect(lab_.Tell(id, "mode 640 480"), "handed: the guest sets 640x480");
    Expect(Paint(id, "paint", 400), "handed: the guest paints");
    const auto token = lab_.HandOver(id);
    if (!Expect(token.status(), "handed: the owner hands its fd over for a token")) return;
    if (!Attach(id, absl::StrCat("--hand-over-token ", *token))) return;
    {
      Viewer viewer(channel_, id);
      ExpectPicture(viewer, id, 400, 640, 480, "the decoded picture is what the guest painted");
      Expect(Paint(id, "flip", 401), "handed: the guest flips");
      ExpectPicture(viewer, id, 401, 640, 480, "picture 401 arrives");
      ExpectSoundStream(viewer, id);
    }
    Expect(Cli("detach handed").status == 0, "handed: `planecast detach`");
    Expect(lab_.Tell(id, "quit"), "handed: the owner ends");
    Expect(lab_.RemoveMdev(borrowed_), "handed: the device can be removed");
  }

  void CheckCli() {
    const Shell list = Cli("list");
    Expect(list.status == 0 && list.output.find("mdpy") != std::string::npos &&
               list.output.find("fixed") != std::string::npos &&
               list.output.find("IMPORT_FAILED") != std::string::npos,
           "`planecast list` on the host", list.output);
    Expect(Paint("mdpy", "paint", 110), "mdpy: the guest paints");
    const std::string png = options_["--scratch"] + "/mdpy.png";
    const Shell snapshot = Cli(absl::StrCat("snapshot mdpy -f ", png));
    if (Expect(snapshot.status == 0, "`planecast snapshot` on the host", snapshot.output)) {
      const auto image = DecodePng(png);
      Expect(image.ok() ? CompareExactly(*image, Pattern(kSeed, 110, 1024, 768)) : image.status(),
             "the snapshot is pixel for pixel what the guest painted");
    }
    Expect(Paint("fixed", "paint", 220), "fixed: the guest paints");
    const std::string mp4 = options_["--scratch"] + "/fixed.mp4";
    const Shell record = Cli(absl::StrCat("record fixed --seconds 2 -f ", mp4));
    if (Expect(record.status == 0, "`planecast record` on the host", record.output)) {
      const auto pictures = DecodeFile(mp4);
      Expect(pictures.ok() && !pictures->empty()
                 ? Compare(pictures->back(), Pattern(kSeed, 220, 1280, 720))
                 : absl::DataLossError(pictures.ok() ? "no picture" : Text(pictures.status())),
             "the recording shows what the guest painted");
    }
  }

  void CheckDetach() {
    for (const char* role : {"mdpy", "fixed", "unmodified"}) {
      Expect(lab_.Tell(role, "quit"), absl::StrCat(role, ": the guest ends"));
    }
    Viewer viewer(channel_, "mdpy");
    Expect(viewer.WaitForSize(1024, 768), "mdpy: a client streams");
    for (const char* id : {"mdpy", "fixed", "unmodified", "borrowed"}) {
      const Shell detach = Cli(absl::StrCat("detach ", id));
      Expect(detach.status == 0, absl::StrCat(id, ": `planecast detach`"), detach.output);
    }
    const auto goodbye = viewer.WaitForGoodbye();
    Expect(goodbye.has_value() && goodbye->reason() == v1::Goodbye::REASON_DETACHED,
           "mdpy: the client is told goodbye");
    const std::string fds = lab_.DeviceFds(daemon_);
    Expect(fds.empty(), "after the detach the daemon holds no fd of a device or dma-buf", fds);
    Expect(lab_.RemoveMdev(fixed_), "fixed: the device can be removed");
    Expect(lab_.RemoveMdev(unmodified_), "unmodified: the device can be removed");
  }

  void CheckEnd() {
    StopServing();
    CheckGets();
  }

  /// Ids are never used twice while a device exists, so a pair that comes twice is a second GET of
  /// one buffer.
  void CheckGets() {
    const auto gets = lab_.Gets();
    if (!Expect(gets.status(), "the recorded GETs can be read")) return;
    std::set<std::string> seen;
    std::map<std::string, int> by_driver;
    std::string twice;
    for (const Lab::Get& get : *gets) {
      ++by_driver[get.driver];
      const std::string key = absl::StrCat(get.driver, " ", get.device, " id ", get.id);
      if (!seen.insert(key).second) absl::StrAppend(&twice, key, "; ");
    }
    Expect(by_driver["mbochs"] > 0 && by_driver["mbochs_fixed"] > 0,
           absl::StrFormat("GETs were seen (%d of mbochs, %d of mbochs_fixed)", by_driver["mbochs"],
                           by_driver["mbochs_fixed"]));
    Expect(twice.empty(), "no id was ever got twice", twice);
  }

  Mdev fixed_;
  Mdev unmodified_;
  Mdev borrowed_;
};

int Main(int argc, char** argv) {
  std::map<std::string, std::string> options;
  for (int i = 1; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  Report report;
  const auto control = VmControl::Connect(options["--control"]);
  if (!report.Check(control.ok(), "the VM boots", Text(control.status()))) return report.Close();
  Lab lab(**control);
  EndToEnd(lab, report, options).RunAll();
  VaChecks(lab, report, options).RunAll();
  const std::string bugs = lab.KernelBugs();
  report.Check(bugs.empty(), "the kernel's log tells of no bug", bugs);
  std::ofstream(options["--scratch"] + "/daemon.log") << lab.DaemonLog();
  if (report.failed() > 0) {
    std::cout << "--- the daemon's log, its end\n"
              << lab.Run("tail -n 60 /run/daemon.log").value_or("")
              << "--- the kernel's log, its end\n"
              << lab.Run("dmesg | tail -n 20").value_or("");
  }
  (*control)->Stop(0);
  return report.Close();
}

}  // namespace
}  // namespace planecast::vmtest

int main(int argc, char** argv) {
  return planecast::vmtest::Main(argc, argv);
}
