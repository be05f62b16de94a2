// DisplayService and HostService of a whole daemon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "service/rpc/grpc_display_service.h"
#include "tests/service/daemon_testing.h"
#include "vfio/fake/fake_device.h"

namespace planecast::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using DaemonDisplaysTest = DaemonTest;

TEST_F(DaemonDisplaysTest, HostInfoNamesSourcesEncodersAndLimits) {
  Start(" limits { displays_max: 3 viewers_per_display_max: 4 }");
  CallContext context;
  v1::GetHostInfoResponse info;
  ASSERT_TRUE(host_->GetHostInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.version(), PLANECAST_VERSION);
  std::vector<std::string> ids;
  for (const auto& source : info.plane_sources()) {
    ids.push_back(source.id());
    EXPECT_EQ(source.available(), source.reason().empty()) << source.id();
  }
  EXPECT_THAT(ids, ElementsAre("fake", "vfio-group", "vfio-cdev", "vmm", "handed-over"));
  EXPECT_TRUE(info.plane_sources(0).available());
  EXPECT_THAT(info.plane_sources(4).reason(), HasSubstr("hand_over_socket_path"));
  ASSERT_GT(info.encoders_size(), 0);
  bool software = false;
  for (const auto& encoder : info.encoders()) {
    EXPECT_EQ(encoder.available(), encoder.reason().empty()) << encoder.id();
    software = software || (encoder.available() && !encoder.hardware());
  }
  EXPECT_TRUE(software);
  EXPECT_EQ(info.limits().displays_max(), 3);
  EXPECT_EQ(info.limits().viewers_per_display_max(), 4);
  EXPECT_EQ(info.limits().width_max_px(), 7680);
}

TEST_F(DaemonDisplaysTest, AnAttachedDisplayIsListedWithWhatItIs) {
  Start();
  v1::AttachDisplayRequest request = FakeRequest("vm-1");
  request.mutable_source()->mutable_fake()->set_width_px(640);
  request.mutable_source()->set_flip_events(v1::DisplaySource::FLIP_EVENTS_NONE);
  v1::Display attached;
  const grpc::Status status = Attach(request, &attached);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(attached.name(), "displays/vm-1");
  EXPECT_EQ(attached.state(), v1::Display::STATE_ACTIVE);
  EXPECT_EQ(attached.source().fake().width_px(), 640);
  EXPECT_EQ(attached.source().flip_events(), v1::DisplaySource::FLIP_EVENTS_NONE);
  EXPECT_EQ(attached.primary_plane().width_px(), 64);
  EXPECT_EQ(attached.primary_plane().fourcc(), "XR24");
  EXPECT_FALSE(attached.configured());
  EXPECT_GT(attached.attach_time().seconds(), 0);
  v1::Display got = Display("vm-1");
  EXPECT_EQ(got.SerializeAsString(), attached.SerializeAsString());
}

TEST_F(DaemonDisplaysTest, ListsAreSortedAndPaged) {
  Start();
  for (const char* id : {"c", "a", "b"}) AttachFake(id);
  std::vector<std::string> names;
  v1::ListDisplaysRequest request;
  request.set_page_size(2);
  do {
    CallContext context;
    v1::ListDisplaysResponse page;
    ASSERT_TRUE(displays_->ListDisplays(&context, request, &page).ok());
    EXPECT_LE(page.displays_size(), 2);
    for (const auto& display : page.displays()) names.push_back(display.name());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(names, ElementsAre("displays/a", "displays/b", "displays/c"));

  for (const auto& [size, token] : std::vector<std::pair<int, std::string>>{{-1, ""}, {1, "x y"}}) {
    CallContext context;
    request.set_page_size(size);
    request.set_page_token(token);
    v1::ListDisplaysResponse page;
    EXPECT_EQ(displays_->ListDisplays(&context, request, &page).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
}

TEST_F(DaemonDisplaysTest, AttachIsIdempotentByRequestId) {
  Start();
  v1::AttachDisplayRequest request = FakeRequest("a");
  request.set_request_id("6a51a8a7-0a4c-4a05-9b0c-8e8d0f6ad1c3");
  ASSERT_TRUE(Attach(request).ok());
  v1::Display again;
  ASSERT_TRUE(Attach(request, &again).ok());
  EXPECT_EQ(again.name(), "displays/a");
  EXPECT_EQ(opened_, 1);
  EXPECT_EQ(Attach(FakeRequest("a")).error_code(), grpc::StatusCode::ALREADY_EXISTS);
}

TEST_F(DaemonDisplaysTest, MalformedAttachRequestsAreRefused) {
  Start();
  const auto code_of = [this](auto change) {
    v1::AttachDisplayRequest request = FakeRequest("a");
    change(request);
    const grpc::Status status = Attach(request);
    EXPECT_NE(status.error_message(), "");
    return status.error_code();
  };
  using Request = v1::AttachDisplayRequest;
  const std::vector<std::function<void(Request&)>> changes = {
      [](Request& r) { r.set_display_id(""); },
      [](Request& r) { r.set_display_id("UPPER"); },
      [](Request& r) { r.set_display_id(std::string(64, 'a')); },
      [](Request& r) { r.clear_source(); },
      [](Request& r) { r.set_request_id(std::string(1000, 'x')); },
      [](Request& r) { r.mutable_source()->mutable_fake()->set_profile("unknown"); },
      [](Request& r) { r.mutable_source()->mutable_fake()->set_scene("unknown"); },
      [](Request& r) { r.mutable_source()->mutable_fake()->set_width_px(-1); },
      [](Request& r) { r.mutable_source()->mutable_fake()->set_height_px(2'000'000'000); },
      [](Request& r) { r.mutable_source()->mutable_fake()->set_frame_rate_hz(241); },
      [](Request& r) { r.mutable_source()->mutable_vfio_group()->set_group(-1); },
      [](Request& r) { r.mutable_source()->mutable_vfio_group()->set_device(""); },
      [](Request& r) { r.mutable_source()->mutable_vfio_group()->set_device("../x"); },
      [](Request& r) { r.mutable_source()->mutable_vfio_cdev()->set_path("/etc/passwd"); },
      [](Request& r) {
        r.mutable_source()->mutable_vfio_cdev()->set_path("/dev/vfio/devices/../vfio");
      },
      [](Request& r) { r.mutable_source()->mutable_vmm()->set_pid(0); },
      [](Request& r) { r.mutable_source()->mutable_vmm()->set_pid(-7); },
      // Without its start time a pid may be any process's.
      [](Request& r) { r.mutable_source()->mutable_vmm()->set_pid(4711); },
      [](Request& r) { r.mutable_source()->mutable_handed_over()->set_token("short"); },
      [](Request& r) {
        r.mutable_source()->set_dialect(static_cast<v1::DisplaySource::Dialect>(77));
      },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    EXPECT_EQ(code_of(changes[i]), grpc::StatusCode::INVALID_ARGUMENT) << "case " << i;
  }
  EXPECT_EQ(opened_, 0);
}

TEST_F(DaemonDisplaysTest, ADeviceThatDoesNotOpenIsAnErrorWithItsReason) {
  Start();
  v1::AttachDisplayRequest request = FakeRequest("a");
  request.mutable_source()->mutable_vfio_group()->set_device(
      "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001");
  grpc::Status status = Attach(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "there is no such device");
  EXPECT_EQ(Get("displays/a").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(log_.Text(), HasSubstr("a: attach failed: there is no such device"));
}

TEST_F(DaemonDisplaysTest, NothingIsOpenedAsAGpuOnAClientsWordAlone) {
  Start();
  v1::AttachDisplayRequest request = FakeRequest("a", "ideal");
  request.mutable_source()->set_render_node("/dev/zero");
  const grpc::Status status = Attach(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("/dev/zero"));
  request.mutable_source()->set_render_node("renderD128");
  EXPECT_EQ(Attach(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(DaemonDisplaysTest, TheLimitOfDisplaysHolds) {
  Start(" limits { displays_max: 1 }");
  AttachFake("a");
  EXPECT_EQ(Attach(FakeRequest("b")).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  ASSERT_TRUE(Detach("displays/a").ok());
  AttachFake("b");
}

TEST_F(DaemonDisplaysTest, NamesAreChecked) {
  Start();
  for (const std::string name : {"", "a", "displays/", "displays/A", "displays/a/b"}) {
    EXPECT_EQ(Get(name).error_code(), grpc::StatusCode::INVALID_ARGUMENT) << name;
    EXPECT_EQ(Detach(name).error_code(), grpc::StatusCode::INVALID_ARGUMENT) << name;
  }
  EXPECT_EQ(Get("displays/none").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Detach("displays/none").error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(DaemonDisplaysTest, DetachClosesTheDeviceBeforeItReturns) {
  Start();
  AttachFake("a");
  const auto script = Script("ideal");
  ASSERT_TRUE(Detach("displays/a").ok());
  const std::lock_guard<std::mutex> lock(script->mutex);
  EXPECT_TRUE(script->destroyed);
}

TEST_F(DaemonDisplaysTest, AWatchTellsWhatIsThereThenTheBookmarkThenChanges) {
  Start();
  AttachFake("a");
  CallContext context;
  auto reader = displays_->WatchDisplays(&context, {});
  v1::WatchDisplaysResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.display().name(), "displays/a");
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_TRUE(response.has_bookmark());
  AttachFake("b");
  do {
    ASSERT_TRUE(reader->Read(&response));
  } while (response.display().name() != "displays/b");
  ASSERT_TRUE(Detach("displays/a").ok());
  do {
    ASSERT_TRUE(reader->Read(&response));
  } while (!response.has_detached());
  EXPECT_EQ(response.detached().name(), "displays/a");
  daemon_->Drain();
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(DaemonDisplaysTest, AModeIsOfferedToTheGuest) {
  Start();
  AttachFake("a");
  const auto set_mode = [this](const std::string& name, int width_px, int height_px) {
    CallContext context;
    v1::SetDisplayModeRequest request;
    request.set_name(name);
    request.set_width_px(width_px);
    request.set_height_px(height_px);
    v1::SetDisplayModeResponse response;
    return displays_->SetDisplayMode(&context, request, &response).error_code();
  };
  EXPECT_EQ(set_mode("displays/a", 1920, 1080), grpc::StatusCode::OK);
  const auto script = Script("ideal");
  {
    const std::lock_guard<std::mutex> lock(script->mutex);
    EXPECT_THAT(script->modes, ElementsAre(std::pair(1920U, 1080U)));
    script->mode_answer = absl::FailedPreconditionError("no EDID");
  }
  EXPECT_EQ(set_mode("displays/a", 800, 600), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(set_mode("displays/a", 63, 600), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(set_mode("displays/a", -1, -1), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(set_mode("displays/a", 7681, 600), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(set_mode("displays/none", 800, 600), grpc::StatusCode::NOT_FOUND);
}

TEST_F(DaemonDisplaysTest, ASnapshotIsAPngOfThePicture) {
  Start();
  AttachFake("a");
  const auto snapshot = [this](v1::GetSnapshotResponse* response) {
    CallContext context;
    v1::GetSnapshotRequest request;
    request.set_name("displays/a");
    return displays_->GetSnapshot(&context, request, response);
  };
  v1::GetSnapshotResponse response;
  grpc::Status status = snapshot(&response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.image().substr(1, 3), "PNG");
  EXPECT_EQ(response.width_px(), 64);
  EXPECT_EQ(response.height_px(), 64);
  EXPECT_GT(response.capture_time().seconds(), 0);

  const auto script = Script("ideal");
  {
    const std::lock_guard<std::mutex> lock(script->mutex);
    script->look = LookWithout(PlaneLook::Primary::kBlanked);
  }
  status = snapshot(&response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("switched"));
}

TEST_F(DaemonDisplaysTest, SnapshotsOfAStuckDeviceAreBoundedAndHinderNoAttach) {
  Start();
  // An operator has no share of them that is less than all.
  Connect(
      grpc::CreateChannel(daemon_->addresses().at(0).target, grpc::InsecureChannelCredentials()));
  AttachFake("a");
  std::vector<std::thread> threads;
  std::promise<void> refused;
  std::atomic<int> taken{0};
  const auto script = Script("ideal");
  {
    // The display's thread waits for this at its next look.
    const std::lock_guard<std::mutex> stuck(script->mutex);
    for (int i = 0; i <= kSnapshotsMax; ++i) {
      threads.emplace_back([this, &refused, &taken] {
        CallContext context;
        v1::GetSnapshotRequest request;
        request.set_name("displays/a");
        v1::GetSnapshotResponse response;
        const grpc::Status status = displays_->GetSnapshot(&context, request, &response);
        if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) refused.set_value();
        if (status.ok()) ++taken;
      });
    }
    EXPECT_EQ(refused.get_future().wait_for(kCallMax), std::future_status::ready);
    AttachFake("b", "gvt");
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, kSnapshotsMax);
}

TEST_F(DaemonDisplaysTest, FakesAreForDaemonsThatAllowThem) {
  const std::string allowed = "allow_fake_devices: true";
  config_text_.replace(config_text_.find(allowed), allowed.size(), "");
  Start(" displays { display_id: \"conf\" source { fake { profile: \"mdpy\" } } }");
  EXPECT_EQ(opened_, 0);
  EXPECT_EQ(Get("displays/conf").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(log_.Text(), HasSubstr("warning displays[0], conf: is a fake device and left out."));
  const grpc::Status status = Attach(FakeRequest("a"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(status.error_message(), HasSubstr("--allow-fake"));
  EXPECT_EQ(opened_, 0);
  CallContext context;
  v1::GetHostInfoResponse info;
  ASSERT_TRUE(host_->GetHostInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.plane_sources(0).id(), "fake");
  EXPECT_FALSE(info.plane_sources(0).available());
  EXPECT_THAT(info.plane_sources(0).reason(), HasSubstr("allow_fake_devices: true"));
}

TEST_F(DaemonDisplaysTest, WhatIsConfiguredIsAttachedAtStart) {
  Start(" displays { display_id: \"conf\" source { fake { profile: \"mdpy\" } } }");
  EXPECT_TRUE(Display("conf").configured());
  EXPECT_EQ(Display("conf").state(), v1::Display::STATE_ACTIVE);
}

TEST_F(DaemonDisplaysTest, AConfiguredDisplayWithoutItsDeviceIsListedWithTheReason) {
  Start(" displays { display_id: \"conf\" source { vfio_group { group: 7 device: \"x\" } } }");
  const v1::Display display = Display("conf");
  EXPECT_EQ(display.state(), v1::Display::STATE_DEVICE_ERROR);
  EXPECT_THAT(display.state_reason(), HasSubstr("there is no such device"));
  EXPECT_THAT(log_.Text(), HasSubstr("warning conf: DEVICE_ERROR: The device can't be opened"));
  // Who asks for the same by hand is told at once instead.
  v1::AttachDisplayRequest request = FakeRequest("other");
  request.mutable_source()->mutable_vfio_group()->set_device("x");
  EXPECT_EQ(Attach(request).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(DaemonDisplaysTest, AConfiguredVmmIsLeftOutWithTheReasonAndTheRestIsServed) {
  Start(
      " displays { display_id: \"vm\" source { vmm { pid: 4711 } } }"
      " displays { display_id: \"conf\" source { fake { profile: \"mdpy\" } } }");
  const v1::Display display = Display("vm");
  EXPECT_EQ(display.state(), v1::Display::STATE_DEVICE_ERROR);
  EXPECT_THAT(display.state_reason(), HasSubstr("another process's tomorrow"));
  EXPECT_THAT(display.state_remedy(), HasSubstr("--vmm-pid"));
  EXPECT_EQ(display.source().vmm().pid(), 4711);
  EXPECT_THAT(log_.Text(), HasSubstr("error vm: the config names a VMM by its pid"));
  EXPECT_EQ(Display("conf").state(), v1::Display::STATE_ACTIVE);
  EXPECT_EQ(opened_, 1);
  EXPECT_TRUE(Detach("displays/vm").ok());
}

TEST_F(DaemonDisplaysTest, WhatAnOpenerCanDoIsInHostInfoAndWhatItOpenedInTheDisplay) {
  class Opener final : public DeviceOpener {
   public:
    explicit Opener(FakeDevice& device) : device_(device) {}
    absl::StatusOr<OpenedDevice> OpenGroup(int, std::string_view) override {
      OpenedDevice opened;
      opened.device = Fd(device_, device_.OpenDevice());
      opened.description = "what it is";
      return opened;
    }
    absl::StatusOr<OpenedDevice> OpenCdev(std::string_view) override {
      return absl::UnavailableError("no cdev");
    }
    absl::StatusOr<OpenedDevice> Borrow(const VmmProcess& vmm, std::string_view) override {
      return absl::NotFoundError(absl::StrCat(vmm.pid, " ", vmm.start_time_ticks));
    }
    OpenerProblems Problems() override { return {"", "no cdev", "the broker is not running"}; }

   private:
    FakeDevice& device_;
  };
  FakeDevice device({.profile = FakeProfile::kMdpy}, MonotonicClock());
  Opener opener(device);
  parts_.open_source = nullptr;
  parts_.opener = &opener;
  Start();
  CallContext context;
  v1::GetHostInfoResponse info;
  ASSERT_TRUE(host_->GetHostInfo(&context, {}, &info).ok());
  EXPECT_TRUE(info.plane_sources(1).available());
  EXPECT_EQ(info.plane_sources(2).reason(), "no cdev");
  EXPECT_EQ(info.plane_sources(3).reason(), "the broker is not running");
  EXPECT_FALSE(info.plane_sources(3).available());

  v1::AttachDisplayRequest request = FakeRequest("a");
  request.mutable_source()->mutable_vmm()->set_pid(7);
  request.mutable_source()->mutable_vmm()->set_start_time_ticks(8);
  EXPECT_EQ(Attach(request).error_message(), "7 8");
  request.mutable_source()->mutable_vfio_group()->set_device("x");
  ASSERT_TRUE(Attach(request).ok());
  EXPECT_EQ(Display("a").device_description(), "what it is");
  daemon_.reset();
}

}  // namespace
}  // namespace planecast::testing
