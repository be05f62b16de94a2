// Runs a contract suite on a sample device in the VM.
//
//   vm_contract driver|session --group N --device UUID --kind region|dmabuf --readable yes|no
//
// `driver` checks an unmodified driver against the facts that planecast relies on, `session` checks
// planecast's own plane session against the device contract that the fake device is held to too.
#include <fcntl.h>

#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/vfio/device_contract.h"
#include "tests/vm/driver_contract.h"
#include "tests/vm/guest_device.h"
#include "tests/vm/report.h"
#include "vfio/open_device.h"
#include "vfio/sys.h"

namespace planecast::vmtest {
namespace {

struct Options {
  int group = -1;
  std::string device;
  bool region = false;
  bool readable = false;
};

std::string Text(const absl::Status& status) {
  return std::string(status.message());
}

int RunDriver(const Options& options) {
  Report report;
  auto device = OpenByGroup(options.group, options.device);
  if (!report.Check(device.ok(), "the device opens by its group", Text(device.status()))) {
    return report.Close();
  }
  const auto second = OpenByGroup(options.group, options.device);
  report.Check(!second.ok() && second.status().message().substr(0, 5) == "EBUSY",
               "a second open of the group is EBUSY, although group and container are closed");
  auto guest = GuestDevice::Create(*std::move(device));
  if (!report.Check(guest.ok(), "the guest maps video memory", Text(guest.status()))) {
    return report.Close();
  }
  report.Check((*guest)->region_plane() == options.region, "the plane's kind");
  CheckDriver(**guest, report);
  guest->reset();
  report.Check(OpenByGroup(options.group, options.device).ok(),
               "once device and mappings are gone the group opens again");
  return report.Close();
}

/// The guest of a sample device in the contract's role.
class SampleRole : public GuestRole {
 public:
  explicit SampleRole(GuestDevice& guest) : guest_(guest) {}

  absl::Status SetMode(uint32_t width_px, uint32_t height_px) override {
    if (!guest_.region_plane()) return guest_.SetMode(width_px, height_px);
    if (width_px == guest_.width_px() && height_px == guest_.height_px()) return absl::OkStatus();
    return absl::UnimplementedError("mdpy has one mode");
  }
  absl::Status Paint(uint8_t value) override { return guest_.Fill(value); }
  absl::Status Pan(int buffer) override {
    return guest_.Pan(static_cast<uint32_t>(buffer) * guest_.SlotLines());
  }
  absl::Status Disable() override { return guest_.SetEnabled(false); }
  absl::Status Reset() override {
    if (guest_.region_plane()) return absl::UnimplementedError("mdpy stays on over a reset");
    return guest_.Reset();
  }

 private:
  GuestDevice& guest_;
};

int RunSession(const Options& options) {
  Report report;
  auto opened = OpenGroupDevice(KernelSys(), options.group, options.device);
  if (!report.Check(opened.ok(), "planecast opens the device", Text(opened.status()))) {
    return report.Close();
  }
  auto guest = GuestDevice::Create(Fd(KernelSys(), KernelSys().Dup(opened->device.get())));
  if (!report.Check(guest.ok(), "the guest maps video memory", Text(guest.status()))) {
    return report.Close();
  }
  SampleRole role(**guest);
  ContractDevice device;
  device.open = [&] { return *std::move(opened); };
  device.guest = &role;
  device.clock = &MonotonicClock();
  device.is_readable = options.readable;
  device.modes = {{640, 480}, {800, 600}, {1024, 768}};
  if (options.region) device.modes = {{(*guest)->width_px(), (*guest)->height_px()}};
  for (const ContractResult& result : RunDeviceContract(device)) {
    if (result.outcome == ContractResult::Outcome::kLeftOut) {
      std::cout << "left out: " << result.name << ": " << result.reason << std::endl;
      continue;
    }
    report.Check(result.outcome == ContractResult::Outcome::kPassed, result.name, result.reason);
  }
  guest->reset();
  report.Check(OpenByGroup(options.group, options.device).ok(),
               "after the session nothing holds the device");
  return report.Close();
}

int Main(int argc, char** argv) {
  std::map<std::string, std::string> words;
  for (int i = 2; i + 1 < argc; i += 2) words[argv[i]] = argv[i + 1];
  const Options options{.group = std::stoi(words["--group"]),
                        .device = words["--device"],
                        .region = words["--kind"] == "region",
                        .readable = words["--readable"] == "yes"};
  return std::string(argv[1]) == "session" ? RunSession(options) : RunDriver(options);
}

}  // namespace
}  // namespace planecast::vmtest

int main(int argc, char** argv) {
  return planecast::vmtest::Main(argc, argv);
}
