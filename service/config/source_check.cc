#include "service/config/source_check.h"

#include <algorithm>
#include <array>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "vfio/frame.h"

namespace planecast {
namespace {

constexpr size_t kDisplayIdMaxChars = 63;
constexpr std::string_view kCdevDirectory = "/dev/vfio/devices/";
constexpr size_t kTokenChars = 32;

constexpr std::array<const char*, 5> kProfiles = {"ideal", "gvt", "mbochs", "mdpy", "nvidia"};
constexpr std::array<const char*, 6> kScenes = {"desktop", "video", "static",
                                                "modeset", "blank", "tearing"};

template <size_t kCount>
absl::Status CheckOneOf(const char* field, const std::string& value,
                        const std::array<const char*, kCount>& choices) {
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, " '", value.substr(0, kSourceTextMaxBytes),
                                                 "' is unknown; use one of ",
                                                 absl::StrJoin(choices, ", ")));
}

/// 0 means unset and is taken.
absl::Status CheckOptionalRange(const char* field, int64_t value, int64_t min, int64_t max) {
  if (value == 0 || (value >= min && value <= max)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " ", value, " is out of range; use ", min, " to ", max));
}

/// Printable ASCII without spaces, as UUIDs, PCI addresses and device paths are.
absl::Status CheckText(const char* field, const std::string& value) {
  if (value.size() > kSourceTextMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " is longer than ", kSourceTextMaxBytes, " bytes"));
  }
  const bool clean = std::all_of(value.begin(), value.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7f;
  });
  if (clean) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " has characters that no device name has; use a UUID or a PCI address"));
}

absl::Status CheckFake(const v1::FakeDevice& fake) {
  if (auto status = CheckOneOf("fake.profile", fake.profile(), kProfiles); !status.ok()) {
    return status;
  }
  if (!fake.scene().empty()) {
    if (auto status = CheckOneOf("fake.scene", fake.scene(), kScenes); !status.ok()) return status;
  }
  auto status =
      CheckOptionalRange("fake.width_px", fake.width_px(), kFakeSizeMinPx, kPlaneWidthMaxPx);
  if (!status.ok()) return status;
  status =
      CheckOptionalRange("fake.height_px", fake.height_px(), kFakeSizeMinPx, kPlaneHeightMaxPx);
  if (!status.ok()) return status;
  return CheckOptionalRange("fake.frame_rate_hz", fake.frame_rate_hz(), 1, kFakeFrameRateMaxHz);
}

absl::Status CheckGroup(const v1::VfioGroupDevice& device) {
  if (device.group() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("vfio_group.group ", device.group(), " is negative; it is N of /dev/vfio/N"));
  }
  // A name with a slash could never be a device and might be mistaken for a path.
  if (device.device().empty() || device.device().find('/') != std::string::npos) {
    return absl::InvalidArgumentError(
        "vfio_group.device is missing or malformed; give the mdev's UUID or the PCI address");
  }
  return CheckText("vfio_group.device", device.device());
}

absl::Status CheckCdev(const v1::VfioCdevDevice& device) {
  const std::string& path = device.path();
  const bool inside = path.size() > kCdevDirectory.size() &&
                      path.compare(0, kCdevDirectory.size(), kCdevDirectory) == 0 &&
                      path.find('/', kCdevDirectory.size()) == std::string::npos &&
                      path != std::string(kCdevDirectory) + "..";
  // The daemon is privileged: it opens nothing else on a client's word.
  if (!inside) {
    return absl::InvalidArgumentError("vfio_cdev.path must name a node in /dev/vfio/devices/");
  }
  return CheckText("vfio_cdev.path", path);
}

absl::Status CheckVmm(const v1::VmmDevice& device) {
  if (device.pid() <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("vmm.pid ", device.pid(), " is no process; give the VMM's pid"));
  }
  if (device.start_time_ticks() <= 0) {
    return absl::InvalidArgumentError(
        "vmm.start_time_ticks is missing: give when that process started, field 22 of "
        "/proc/PID/stat, since a pid alone may be another process by now ('planecast attach' reads "
        "it itself)");
  }
  if (device.device().find('/') != std::string::npos) {
    return absl::InvalidArgumentError(
        "vmm.device is malformed; give the mdev's UUID or the PCI address, or leave it out");
  }
  return CheckText("vmm.device", device.device());
}

absl::Status CheckHandedOver(const v1::HandedOverDevice& device) {
  if (device.token().size() == kTokenChars) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("handed_over.token must have ", kTokenChars,
                                                 " hexadecimal digits, as the hand-over socket "
                                                 "answered"));
}

absl::Status CheckEnums(const v1::DisplaySource& source) {
  if (!v1::DisplaySource::Dialect_IsValid(source.dialect())) {
    return absl::InvalidArgumentError(
        absl::StrCat("source.dialect ", static_cast<int>(source.dialect()), " is unknown"));
  }
  if (!v1::DisplaySource::FlipEvents_IsValid(source.flip_events())) {
    return absl::InvalidArgumentError(
        absl::StrCat("source.flip_events ", static_cast<int>(source.flip_events()), " is unknown"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckDisplayId(std::string_view id) {
  const bool clean = std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
  if (!id.empty() && id.size() <= kDisplayIdMaxChars && clean) return absl::OkStatus();
  return absl::InvalidArgumentError("a display id has 1 to 63 lower-case letters, digits and '-'");
}

absl::Status CheckDisplaySource(const v1::DisplaySource& source) {
  if (auto status = CheckEnums(source); !status.ok()) return status;
  const std::string& render_node = source.render_node();
  if (!render_node.empty() && render_node[0] != '/') {
    return absl::InvalidArgumentError(
        "source.render_node is no absolute path; use e.g. /dev/dri/renderD128");
  }
  if (auto status = CheckText("source.render_node", render_node); !status.ok()) return status;
  switch (source.device_case()) {
    case v1::DisplaySource::kFake:
      return CheckFake(source.fake());
    case v1::DisplaySource::kVfioGroup:
      return CheckGroup(source.vfio_group());
    case v1::DisplaySource::kVfioCdev:
      return CheckCdev(source.vfio_cdev());
    case v1::DisplaySource::kVmm:
      return CheckVmm(source.vmm());
    case v1::DisplaySource::kHandedOver:
      return CheckHandedOver(source.handed_over());
    case v1::DisplaySource::DEVICE_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "source names no device; set one of fake, vfio_group, vfio_cdev, vmm, handed_over");
}

}  // namespace planecast
