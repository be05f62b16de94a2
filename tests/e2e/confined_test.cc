// planecastd as a process that root has started, without privileges and behind its filter of system
// calls, on a GPU that is the software VA driver: what a driver calls is let through, also when an
// encoder is built anew long after the start.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "clients/cpp/client.h"
#include "service/process/system_call_filter.h"
#include "tests/e2e/e2e_testing.h"
#include "tests/service/program.h"
#include "tests/service/temp_dir.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// The driver where the daemon's user can read it, wherever this was built.
std::string CopyDriver(const std::string& folder) {
  namespace fs = std::filesystem;
  const fs::path build(PLANECAST_BUILD);
  fs::create_directories(folder + "/bin");
  fs::create_directories(folder + "/lib/dri");
  for (const char* file :
       {"bin/planecast-sw-va", "lib/libplanecast_sw_drm.so", "lib/dri/planecast_sw_drv_video.so"}) {
    fs::copy_file(build / file, folder + "/" + file);
  }
  return folder + "/bin/planecast-sw-va";
}

TEST(ConfinedDaemon, StreamsOnAGpuAndBuildsItsEncoderAnew) {
  const TempDir dir;
  const std::string socket = dir.path() + "/s.sock";
  const std::string config = dir.path() + "/config";
  std::ofstream(config) << "allow_fake_devices: true";
  std::vector<std::string> arguments = {"--persona", "ihd", "--fault", "encode-fails:5",
                                        PLANECASTD};
  for (const std::string& argument :
       AsServingUser(dir, {"--socket", socket, "--viewer-socket", "none", "--config", config,
                           "--encoder", "vaapi", "--render-node", "/dev/null"})) {
    arguments.push_back(argument);
  }
  Program program(arguments, true, CopyDriver(dir.path()));
  ASSERT_TRUE(program.AwaitText("listening on unix:")) << program.printed();

  ClientOptions options;
  options.server = "unix:" + socket;
  auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok()) << client.status();
  const auto host = (*client)->GetHostInfo();
  ASSERT_TRUE(host.ok()) << host.status();
  EXPECT_EQ(host->confinement().system_calls_filtered(),
            std::string(SystemCallFilterProblem()).empty());
  v1::DisplaySource source;
  source.mutable_fake()->set_profile("gvt");
  source.mutable_fake()->set_scene("desktop");
  source.mutable_fake()->set_width_px(640);
  source.mutable_fake()->set_height_px(368);
  source.mutable_fake()->set_frame_rate_hz(30);
  const auto attached = (*client)->AttachDisplay("vm", source);
  ASSERT_TRUE(attached.ok()) << attached.status();
  TestViewer viewer(**client, "vm");
  // Each encoder gives four pictures.
  EXPECT_TRUE(viewer.WaitForPictures(12));
  viewer.Stop();
  const auto display = (*client)->GetDisplay("vm");
  ASSERT_TRUE(display.ok()) << display.status();
  EXPECT_EQ(display->encoder(), "vaapi");
  client->reset();
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 0);
  EXPECT_THAT(program.printed(), Not(HasSubstr("the system call")));
}

}  // namespace
}  // namespace planecast::testing
