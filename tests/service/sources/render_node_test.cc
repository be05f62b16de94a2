#include "service/sources/render_node.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/service/temp_dir.h"

namespace planecast {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

class RenderNodeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const fs::path gpu = sysfs() / "devices/pci0000:00/0000:00:02.0";
    fs::create_directories(gpu / "drm/card0");
    fs::create_directories(gpu / "drm/renderD129");
    fs::create_directories(gpu / kUuid / "vfio-dev/vfio3");
    fs::create_directories(sysfs() / "devices/pci0000:00/0000:00:02.1");
    fs::create_directories(sysfs() / "devices/virtual/mbochs/mbochs/other");
    for (const char* folder : {"bus/mdev/devices", "bus/pci/devices", "class/vfio-dev"}) {
      fs::create_directories(sysfs() / folder);
    }
    fs::create_symlink(gpu / kUuid, sysfs() / "bus/mdev/devices" / kUuid);
    fs::create_symlink(sysfs() / "devices/virtual/mbochs/mbochs/other",
                       sysfs() / "bus/mdev/devices/other");
    fs::create_symlink(gpu / kUuid / "vfio-dev/vfio3", sysfs() / "class/vfio-dev/vfio3");
    const fs::path function = sysfs() / "devices/pci0000:00/0000:00:02.1";
    fs::create_symlink(gpu, function / "physfn");
    fs::create_symlink(function, sysfs() / "bus/pci/devices/0000:00:02.1");
    fs::create_symlink(gpu, sysfs() / "bus/pci/devices/0000:00:02.0");
  }

  fs::path sysfs() const { return fs::path(dir_.path()) / "sys"; }
  std::string Find(const DisplaySpec& spec) const { return FindRenderNode(spec, sysfs()); }

 private:
  testing::TempDir dir_;
};

TEST_F(RenderNodeTest, AnMdevIsHostedByItsParent) {
  DisplaySpec spec;
  spec.device = GroupSpec{12, kUuid};
  EXPECT_EQ(Find(spec), "/dev/dri/renderD129");
  spec.device = VmmSpec{4711, kUuid};
  EXPECT_EQ(Find(spec), "/dev/dri/renderD129");
}

TEST_F(RenderNodeTest, AVirtualFunctionIsHostedByItsPhysicalOne) {
  DisplaySpec spec;
  spec.device = GroupSpec{12, "0000:00:02.1"};
  EXPECT_EQ(Find(spec), "/dev/dri/renderD129");
  spec.device = GroupSpec{12, "0000:00:02.0"};
  EXPECT_EQ(Find(spec), "/dev/dri/renderD129");
}

TEST_F(RenderNodeTest, ACdevIsFoundByItsName) {
  DisplaySpec spec;
  spec.device = CdevSpec{"/dev/vfio/devices/vfio3"};
  EXPECT_EQ(Find(spec), "/dev/dri/renderD129");
}

TEST_F(RenderNodeTest, WhatSysfsDoesNotTellIsEmpty) {
  DisplaySpec spec;
  spec.device = GroupSpec{12, "other"};
  EXPECT_EQ(Find(spec), "");
  spec.device = GroupSpec{12, "../../class"};
  EXPECT_EQ(Find(spec), "");
  spec.device = VmmSpec{4711, ""};
  EXPECT_EQ(Find(spec), "");
  spec.device = FakeSpec{.profile = "gvt", .scene = ""};
  EXPECT_EQ(Find(spec), "");
}

TEST_F(RenderNodeTest, WhatIsAskedForComesFirst) {
  DisplaySpec spec;
  spec.device = GroupSpec{12, kUuid};
  spec.render_node = "/dev/dri/renderD200";
  EXPECT_EQ(Find(spec), "/dev/dri/renderD200");
}

}  // namespace
}  // namespace planecast
