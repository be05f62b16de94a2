#include "tests/bench/screen_painter.h"

#include <sys/mman.h>
#include <unistd.h>
#include <xcb/shm.h>
#include <xcb/xcb.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_scene.h"
#include "vfio/clock.h"

namespace planecast::bench {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

class XScreen final : public Screen {
 public:
  explicit XScreen(xcb_connection_t* connection) : connection_(connection) {}
  ~XScreen() override {
    xcb_disconnect(connection_);
    if (pixels_ != nullptr) munmap(pixels_, size_bytes_);
  }
  XScreen(const XScreen&) = delete;
  XScreen& operator=(const XScreen&) = delete;

  absl::Status Open(uint32_t width_px, uint32_t height_px) {
    const xcb_screen_t* screen = xcb_setup_roots_iterator(xcb_get_setup(connection_)).data;
    if (screen == nullptr || screen->root_depth != 24) {
      return absl::InternalError("the X server has no screen of 24 bits");
    }
    width_px_ = width_px;
    height_px_ = height_px;
    size_bytes_ = size_t{width_px} * height_px * sizeof(uint32_t);
    window_ = xcb_generate_id(connection_);
    const uint32_t override_redirect = 1;
    xcb_create_window(connection_, XCB_COPY_FROM_PARENT, window_, screen->root, 0, 0,
                      static_cast<uint16_t>(width_px), static_cast<uint16_t>(height_px), 0,
                      XCB_WINDOW_CLASS_INPUT_OUTPUT, screen->root_visual, XCB_CW_OVERRIDE_REDIRECT,
                      &override_redirect);
    xcb_map_window(connection_, window_);
    context_ = xcb_generate_id(connection_);
    xcb_create_gc(connection_, context_, window_, 0, nullptr);
    return AttachMemory();
  }

  Canvas canvas() override {
    return {
        .pixels = pixels_, .width_px = width_px_, .height_px = height_px_, .stride_px = width_px_};
  }

  void Show(const std::vector<SceneRect>& rects) override {
    for (const SceneRect& rect : rects) {
      const auto x = static_cast<int16_t>(rect.left_px);
      const auto y = static_cast<int16_t>(rect.top_px);
      xcb_shm_put_image(connection_, window_, context_, static_cast<uint16_t>(width_px_),
                        static_cast<uint16_t>(height_px_), static_cast<uint16_t>(x),
                        static_cast<uint16_t>(y),
                        static_cast<uint16_t>(rect.right_px - rect.left_px),
                        static_cast<uint16_t>(rect.bottom_px - rect.top_px), x, y, 24,
                        XCB_IMAGE_FORMAT_Z_PIXMAP, 0, segment_, 0);
    }
    // The server has read the memory when it answers.
    std::free(xcb_get_input_focus_reply(connection_, xcb_get_input_focus(connection_), nullptr));
  }

 private:
  absl::Status AttachMemory() {
    const int fd = memfd_create("bench", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, static_cast<off_t>(size_bytes_)) != 0) {
      return absl::InternalError("no shared memory");
    }
    void* memory = mmap(nullptr, size_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return absl::InternalError("no shared memory");
    pixels_ = static_cast<uint32_t*>(memory);
    segment_ = xcb_generate_id(connection_);
    // The connection closes the fd.
    xcb_generic_error_t* error = xcb_request_check(
        connection_, xcb_shm_attach_fd_checked(connection_, segment_, fd, /*read_only=*/0));
    const bool attached = error == nullptr;
    std::free(error);
    return attached ? absl::OkStatus() : absl::InternalError("the X server takes no memory");
  }

  xcb_connection_t* connection_;
  uint32_t width_px_ = 0;
  uint32_t height_px_ = 0;
  size_t size_bytes_ = 0;
  xcb_window_t window_ = 0;
  xcb_gcontext_t context_ = 0;
  xcb_shm_seg_t segment_ = 0;
  uint32_t* pixels_ = nullptr;
};

class MemoryScreen final : public Screen {
 public:
  MemoryScreen(uint32_t* pixels, uint32_t width_px, uint32_t height_px)
      : visible_(pixels),
        width_px_(width_px),
        height_px_(height_px),
        next_(size_t{width_px} * height_px) {}

  Canvas canvas() override {
    return {.pixels = next_.data(),
            .width_px = width_px_,
            .height_px = height_px_,
            .stride_px = width_px_};
  }
  void Show(const std::vector<SceneRect>& rects) override {
    for (const SceneRect& rect : rects) {
      for (int32_t y = rect.top_px; y < rect.bottom_px; ++y) {
        const size_t at =
            size_t{width_px_} * static_cast<size_t>(y) + static_cast<size_t>(rect.left_px);
        std::memcpy(visible_ + at, next_.data() + at,
                    static_cast<size_t>(rect.right_px - rect.left_px) * sizeof(uint32_t));
      }
    }
  }

 private:
  uint32_t* visible_;
  const uint32_t width_px_;
  const uint32_t height_px_;
  std::vector<uint32_t> next_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Screen>> MakeXScreen(const std::string& display, uint32_t width_px,
                                                    uint32_t height_px) {
  xcb_connection_t* connection = xcb_connect(display.c_str(), nullptr);
  auto screen = std::make_unique<XScreen>(connection);
  if (xcb_connection_has_error(connection) != 0) {
    return absl::InternalError(absl::StrCat("no X server at ", display));
  }
  if (absl::Status status = screen->Open(width_px, height_px); !status.ok()) return status;
  return screen;
}

std::unique_ptr<Screen> MakeMemoryScreen(uint32_t* pixels, uint32_t width_px, uint32_t height_px) {
  return std::make_unique<MemoryScreen>(pixels, width_px, height_px);
}

ScreenPainter::ScreenPainter(std::unique_ptr<Scene> scene, std::unique_ptr<Screen> screen,
                             int frame_rate_hz)
    : scene_(std::move(scene)), screen_(std::move(screen)), frame_rate_hz_(frame_rate_hz) {
  const Canvas canvas = screen_->canvas();
  scene_->Render(kFirstFrame, 0, canvas);
  screen_->Show(
      {{0, 0, static_cast<int32_t>(canvas.width_px), static_cast<int32_t>(canvas.height_px)}});
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

ScreenPainter::~ScreenPainter() {
  thread_.request_stop();
  thread_.join();
}

std::vector<int64_t> ScreenPainter::flips() const {
  const std::lock_guard lock(mutex_);
  return flips_;
}

void ScreenPainter::Run(const std::stop_token& stop) {
  const int64_t start_ns = MonotonicClock().NowNs();
  for (int64_t count = 1; !stop.stop_requested(); ++count) {
    const uint64_t frame = kFirstFrame + static_cast<uint64_t>(count);
    const std::vector<SceneRect> damage = scene_->Damage(frame - 1, frame);
    for (const SceneRect& rect : damage) {
      scene_->RenderClipped(frame, static_cast<uint32_t>(frame), rect, screen_->canvas());
    }
    WaitUntilNs(start_ns + count * kSecondNs / frame_rate_hz_);
    {
      const std::lock_guard lock(mutex_);
      flips_.push_back(MonotonicClock().NowNs());
    }
    screen_->Show(damage);
  }
}

}  // namespace planecast::bench
