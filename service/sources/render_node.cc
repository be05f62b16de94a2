#include "service/sources/render_node.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <variant>
#include <vector>

namespace planecast {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRenderPrefix = "renderD";
// Deeper than any path of sysfs.
constexpr int kClimbMax = 32;

/// A name that can't lead out of its folder.
bool PlainName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
}

/// The render node of one device, or empty.
std::string NodeOf(const fs::path& device) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(device / "drm", error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename();
    if (name.starts_with(kRenderPrefix)) names.push_back(name);
  }
  if (names.empty()) return "";
  return "/dev/dri/" + *std::min_element(names.begin(), names.end());
}

/// From a device up through its parents, and through what a virtual function belongs to.
std::string Climb(const fs::path& link, const fs::path& sysfs) {
  std::error_code error;
  fs::path device = fs::canonical(link, error);
  const fs::path top = fs::canonical(sysfs, error);
  if (error) return "";
  for (int i = 0; i < kClimbMax && device != top && device.has_relative_path(); ++i) {
    if (std::string node = NodeOf(device); !node.empty()) return node;
    const fs::path physical = fs::canonical(device / "physfn", error);
    if (!error) {
      if (std::string node = NodeOf(physical); !node.empty()) return node;
    }
    device = device.parent_path();
  }
  return "";
}

std::string NodeOfName(const std::string& name, const fs::path& sysfs) {
  if (!PlainName(name)) return "";
  for (const char* bus : {"bus/mdev/devices", "bus/pci/devices"}) {
    if (std::string node = Climb(sysfs / bus / name, sysfs); !node.empty()) return node;
  }
  return "";
}

}  // namespace

std::string FindRenderNode(const DisplaySpec& spec, const std::string& sysfs) {
  if (!spec.render_node.empty()) return spec.render_node;
  if (const auto* group = std::get_if<GroupSpec>(&spec.device)) {
    return NodeOfName(group->device, sysfs);
  }
  if (const auto* vmm = std::get_if<VmmSpec>(&spec.device)) return NodeOfName(vmm->device, sysfs);
  if (const auto* cdev = std::get_if<CdevSpec>(&spec.device)) {
    const std::string name = fs::path(cdev->path).filename();
    if (PlainName(name)) return Climb(fs::path(sysfs) / "class/vfio-dev" / name, sysfs);
  }
  return "";
}

}  // namespace planecast
