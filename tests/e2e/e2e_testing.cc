#include "tests/e2e/e2e_testing.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/config/config.h"

namespace planecast::testing {
namespace {

// Below this a picture is visibly not what was drawn; constant quality gives well over 40 dB on the
// scenes, and rate control may take some of it.
constexpr double kPsnrMinDb = 30;
// A block whose mean is off by this has another colour or content.
constexpr double kBlockDifferenceMax = 12;

struct Yuv {
  double y, u, v;
};

Yuv ToBt709(uint32_t xrgb) {
  const double r = ((xrgb >> 16) & 0xff) / 255.0;
  const double g = ((xrgb >> 8) & 0xff) / 255.0;
  const double b = (xrgb & 0xff) / 255.0;
  const double y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return {16 + 219 * y, 128 + 224 * (b - y) / 1.8556, 128 + 224 * (r - y) / 1.5748};
}

std::vector<uint8_t> CropPlane(const std::vector<uint8_t>& plane, uint32_t width_px,
                               uint32_t cropped_width_px, uint32_t cropped_height_px) {
  std::vector<uint8_t> cropped;
  for (uint32_t y = 0; y < cropped_height_px; ++y) {
    const auto line = plane.begin() + size_t{y} * width_px;
    cropped.insert(cropped.end(), line, line + cropped_width_px);
  }
  return cropped;
}

// An SPS of a 4:2:0 stream crops in steps of two pixels, so an odd size comes out one larger, and
// the client cuts the rest.
DecodedPicture Crop(DecodedPicture picture, uint32_t width_px, uint32_t height_px) {
  picture.y = CropPlane(picture.y, picture.width_px, width_px, height_px);
  picture.width_px = width_px;
  picture.height_px = height_px;
  return picture;
}

double Psnr(double squared_error_sum, size_t samples) {
  if (squared_error_sum == 0) return 99;
  return 10 * std::log10(255.0 * 255.0 * static_cast<double>(samples) / squared_error_sum);
}

}  // namespace

Daemon::Parts SteppedParts(const FakeSourceOptions& options, SteppedFakeSource* out) {
  Daemon::Parts parts;
  parts.open_source = [options,
                       out](const DisplaySpec&) -> absl::StatusOr<std::unique_ptr<PlaneSource>> {
    auto made = MakeSteppedFakeSource(options, MonotonicClock());
    if (!made.ok()) return made.status();
    out->device = made->device;
    out->runner = made->runner;
    made->runner->StepTo(0, MonotonicClock().NowNs());
    return std::move(made->source);
  };
  return parts;
}

TestDaemon::TestDaemon(const std::string& extra_config, Daemon::Parts parts) {
  std::string pattern = (std::filesystem::temp_directory_path() / "planecast-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    ADD_FAILURE() << "no temporary folder";
    return;
  }
  folder_ = pattern;
  server_ = absl::StrCat("unix:", folder_, "/s");
  auto config = ParseConfig(
      absl::StrCat("socket_path: \"", folder_, "/s\"\nallow_fake_devices: true\n", extra_config),
      "test");
  if (!config.ok()) {
    ADD_FAILURE() << config.status();
    return;
  }
  log_ = std::make_unique<Logger>(LogLevel::kError);
  auto daemon = Daemon::Start(*config, *log_, parts);
  if (!daemon.ok()) {
    ADD_FAILURE() << daemon.status();
    return;
  }
  daemon_ = std::move(*daemon);
  client_ = NewClient();
}

TestDaemon::~TestDaemon() {
  client_.reset();
  daemon_.reset();
  if (!folder_.empty()) std::filesystem::remove_all(folder_);
}

std::unique_ptr<Client> TestDaemon::NewClient() const {
  ClientOptions options;
  options.server = server_;
  options.deadline = std::chrono::seconds(kPatienceSeconds);
  auto client = Client::Connect(options);
  if (!client.ok()) {
    ADD_FAILURE() << client.status();
    return nullptr;
  }
  return std::move(*client);
}

void TestDaemon::AttachFake(const std::string& id, const std::string& profile,
                            const std::string& scene, int width_px, int height_px,
                            int frame_rate_hz) {
  v1::DisplaySource source;
  source.mutable_fake()->set_profile(profile);
  source.mutable_fake()->set_scene(scene);
  source.mutable_fake()->set_width_px(width_px);
  source.mutable_fake()->set_height_px(height_px);
  source.mutable_fake()->set_frame_rate_hz(frame_rate_hz);
  const auto display = client_->AttachDisplay(id, source);
  ASSERT_TRUE(display.ok()) << display.status();
}

bool TestDaemon::WaitForViewers(const std::string& id, int count) {
  const std::string name = absl::StrCat("displays/", id);
  std::stop_source stop;
  bool seen = false;
  // A watch tells each change, so nothing is polled; ListDisplays would race with the change.
  std::thread watchdog([&] {
    std::mutex mutex;
    std::condition_variable_any condition;
    std::unique_lock lock(mutex);
    condition.wait_for(lock, stop.get_token(), std::chrono::seconds(kPatienceSeconds),
                       [] { return false; });
    stop.request_stop();
  });
  const auto status = client_->WatchDisplays(stop.get_token(), [&](const auto& event) {
    seen = event.has_display() && event.display().name() == name &&
           event.display().viewer_count() == count;
    return !seen;
  });
  stop.request_stop();
  watchdog.join();
  EXPECT_TRUE(status.ok()) << status;
  return seen;
}

TestViewer::TestViewer(Client& client, const std::string& display, const Options& options)
    : options_(options), decoder_(std::make_unique<AvcodecDecoder>()) {
  auto stream = client.StreamDisplay(display, options.stream, *this);
  if (!stream.ok()) {
    ADD_FAILURE() << stream.status();
    return;
  }
  stream_ = std::move(*stream);
}

TestViewer::~TestViewer() {
  Stop();
}

void TestViewer::Stop() {
  Resume();
  if (stream_) stream_->Stop();
}

void TestViewer::Resume() {
  const std::lock_guard lock(mutex_);
  resumed_ = true;
  changed_.notify_all();
}

bool TestViewer::WaitFor(const std::function<bool(const TestViewer&)>& condition) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(kPatienceSeconds),
                           [&] { return condition(*this); });
}

bool TestViewer::WaitForPictures(size_t count) {
  return WaitFor([count](const TestViewer& viewer) { return viewer.pictures.size() >= count; });
}

void TestViewer::Note(std::string event) {
  events.push_back(std::move(event));
  changed_.notify_all();
}

void TestViewer::OnStarted(Stream&, const v1::StreamStarted& message) {
  const std::lock_guard lock(mutex_);
  if (message.coded_width_px() > 0) {
    runs.emplace_back();
    decoder_ = std::make_unique<AvcodecDecoder>();
  }
  started.push_back(message);
  Note("started");
}

void TestViewer::OnAccessUnit(Stream&, const v1::AccessUnit& unit) {
  std::unique_lock lock(mutex_);
  if (unit_count == 0 && !unit.key_frame()) violations.emplace_back("first unit is no key frame");
  if (last_sequence_ != 0 && unit.sequence() != last_sequence_ + 1) {
    ++gap_count;
    if (!unit.key_frame()) violations.emplace_back("a gap not followed by a key frame");
  }
  last_sequence_ = unit.sequence();
  ++unit_count;
  if (unit.flip_time_ns() > unit.capture_time_ns() ||
      unit.capture_time_ns() > unit.converted_time_ns() ||
      unit.converted_time_ns() > unit.encoded_time_ns()) {
    violations.emplace_back("times out of order");
  }
  if (options_.decode) {
    const std::vector<uint8_t> bytes(unit.data().begin(), unit.data().end());
    if (runs.empty()) {
      violations.emplace_back("a unit before the stream's description");
      runs.emplace_back();
    }
    runs.back().push_back(bytes);
    auto picture = decoder_->Decode(bytes);
    if (!picture.ok()) {
      violations.push_back(absl::StrCat("does not decode: ", picture.status().ToString()));
    } else {
      const v1::StreamStarted& size = started.back();
      const auto width_px = static_cast<uint32_t>(size.visible_width_px());
      const auto height_px = static_cast<uint32_t>(size.visible_height_px());
      if (picture->width_px != (width_px + 1) / 2 * 2 ||
          picture->height_px != (height_px + 1) / 2 * 2) {
        violations.emplace_back("the picture has another size than the stream's description");
        return;
      }
      ReceivedPicture received{.picture = Crop(std::move(*picture), width_px, height_px),
                               .sequence = unit.sequence(),
                               .key_frame = unit.key_frame(),
                               .sharp = unit.sharp(),
                               .flip_time_ns = unit.flip_time_ns(),
                               .capture_time_ns = unit.capture_time_ns(),
                               .encoded_time_ns = unit.encoded_time_ns(),
                               .code = std::nullopt};
      const DecodedPicture& p = received.picture;
      received.code = DecodeFrameCodeLuma(p.width_px, p.height_px, p.y.data(), p.width_px);
      pictures.push_back(std::move(received));
    }
  }
  Note("unit");
  if (options_.block_after >= 0 && unit_count == static_cast<size_t>(options_.block_after)) {
    changed_.wait(lock, [this] { return resumed_; });
  }
}

void TestViewer::OnCursorShape(const v1::CursorShape& shape) {
  const std::lock_guard lock(mutex_);
  shapes.push_back(shape);
  Note("shape");
}

void TestViewer::OnCursorMoved(const v1::CursorMoved& moved) {
  const std::lock_guard lock(mutex_);
  moves.push_back(moved);
  Note("moved");
}

void TestViewer::OnState(const v1::DisplayStateChanged& state) {
  const std::lock_guard lock(mutex_);
  states.push_back(state);
  Note("state");
}

void TestViewer::OnStats(const v1::StreamStats& message) {
  const std::lock_guard lock(mutex_);
  stats.push_back(message);
  Note("stats");
}

void TestViewer::OnGoodbye(const v1::Goodbye& goodbye) {
  const std::lock_guard lock(mutex_);
  goodbyes.push_back(goodbye);
  Note("goodbye");
}

void TestViewer::OnDisconnected(const absl::Status& status,
                                std::optional<std::chrono::milliseconds>) {
  const std::lock_guard lock(mutex_);
  disconnects.push_back(status);
  last_sequence_ = 0;
  Note("disconnected");
}

Difference Compare(const DecodedPicture& picture, const std::vector<uint32_t>& xrgb) {
  const uint32_t width = picture.width_px;
  const uint32_t height = picture.height_px;
  if (xrgb.size() != size_t{width} * height) return {};
  const uint32_t blocks_per_row = (width + 15) / 16;
  std::vector<double> block_sums(size_t{blocks_per_row} * ((height + 15) / 16));
  std::vector<double> block_counts(block_sums.size());
  double error_y = 0;
  for (uint32_t y = 0; y < height; ++y) {
    for (uint32_t x = 0; x < width; ++x) {
      const size_t at = size_t{y} * width + x;
      const double difference = picture.y[at] - ToBt709(xrgb[at]).y;
      error_y += difference * difference;
      const size_t block = size_t{y / 16} * blocks_per_row + x / 16;
      block_sums[block] += difference;
      block_counts[block] += 1;
    }
  }
  const uint32_t chroma_width = (width + 1) / 2;
  const uint32_t chroma_height = (height + 1) / 2;
  double error_u = 0;
  double error_v = 0;
  for (uint32_t y = 0; y < chroma_height; ++y) {
    for (uint32_t x = 0; x < chroma_width; ++x) {
      Yuv mean{0, 0, 0};
      for (uint32_t i = 0; i < 4; ++i) {
        const uint32_t px = std::min(2 * x + (i & 1), width - 1);
        const uint32_t py = std::min(2 * y + (i >> 1), height - 1);
        const Yuv one = ToBt709(xrgb[size_t{py} * width + px]);
        mean.u += one.u / 4;
        mean.v += one.v / 4;
      }
      const size_t at = size_t{y} * chroma_width + x;
      error_u += (picture.u[at] - mean.u) * (picture.u[at] - mean.u);
      error_v += (picture.v[at] - mean.v) * (picture.v[at] - mean.v);
    }
  }
  Difference difference{.psnr_y = Psnr(error_y, size_t{width} * height),
                        .psnr_u = Psnr(error_u, size_t{chroma_width} * chroma_height),
                        .psnr_v = Psnr(error_v, size_t{chroma_width} * chroma_height),
                        .worst_block_y = 0};
  for (size_t i = 0; i < block_sums.size(); ++i) {
    difference.worst_block_y =
        std::max(difference.worst_block_y, std::abs(block_sums[i] / block_counts[i]));
  }
  return difference;
}

std::vector<uint32_t> RenderScene(const Scene& scene, const FrameCode& code) {
  const SceneState state = scene.StateAt(code.frame);
  std::vector<uint32_t> pixels(size_t{state.width_px} * state.height_px);
  scene.Render(code.frame, code.flip_time_ms,
               {.pixels = pixels.data(),
                .width_px = state.width_px,
                .height_px = state.height_px,
                .stride_px = state.width_px});
  return pixels;
}

void ExpectShowsScene(const ReceivedPicture& received, const Scene& scene) {
  ASSERT_TRUE(received.code.has_value()) << "the frame code can't be read";
  const SceneState state = scene.StateAt(received.code->frame);
  ASSERT_EQ(received.picture.width_px, state.width_px);
  ASSERT_EQ(received.picture.height_px, state.height_px);
  const Difference difference = Compare(received.picture, RenderScene(scene, *received.code));
  EXPECT_GT(difference.psnr_y, kPsnrMinDb) << "frame " << received.code->frame;
  EXPECT_GT(difference.psnr_u, kPsnrMinDb) << "frame " << received.code->frame;
  EXPECT_GT(difference.psnr_v, kPsnrMinDb) << "frame " << received.code->frame;
  EXPECT_LT(difference.worst_block_y, kBlockDifferenceMax) << "frame " << received.code->frame;
}

void ExpectSound(const TestViewer& viewer) {
  EXPECT_TRUE(viewer.violations.empty()) << viewer.violations.front();
  for (const auto& run : viewer.runs) {
    if (run.empty()) continue;
    const auto checked = CheckStream(run);
    EXPECT_TRUE(checked.ok()) << checked.status();
  }
}

size_t OpenFdCount() {
  size_t count = 0;
  if (DIR* dir = opendir("/proc/self/fd")) {
    while (readdir(dir) != nullptr) ++count;
    closedir(dir);
  }
  return count;
}

}  // namespace planecast::testing
