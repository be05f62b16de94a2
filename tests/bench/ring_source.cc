#include "tests/bench/ring_source.h"

#include <drm_fourcc.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <span>
#include <utility>

#include "tests/bench/bench_scene.h"

namespace planecast::bench {
namespace {

constexpr uint64_t kFirstRingFrame = 300;
constexpr int kFrameRateHz = 60;
constexpr auto kPatience = std::chrono::seconds(30);

class OwnMemory final : public PlaneMemory {
 public:
  explicit OwnMemory(std::vector<uint32_t> pixels) : pixels_(std::move(pixels)) {}
  int dmabuf_fd() const override { return -1; }
  absl::StatusOr<std::span<const uint8_t>> BeginCpuRead() override {
    return std::span(reinterpret_cast<const uint8_t*>(pixels_.data()),
                     pixels_.size() * sizeof(uint32_t));
  }
  void EndCpuRead() override {}

 private:
  const std::vector<uint32_t> pixels_;
};

class DmabufMemory final : public PlaneMemory {
 public:
  explicit DmabufMemory(Fd fd) : fd_(std::move(fd)) {}
  int dmabuf_fd() const override { return fd_.get(); }
  absl::StatusOr<std::span<const uint8_t>> BeginCpuRead() override {
    return absl::FailedPreconditionError("this memory can't be mapped");
  }
  void EndCpuRead() override {}

 private:
  const Fd fd_;
};

std::shared_ptr<const PlaneBuffer> MakeBuffer(uint32_t width_px, uint32_t height_px,
                                              std::unique_ptr<PlaneMemory> memory) {
  // Serials of real buffers count up from 1; these are far from them.
  static std::atomic<uint64_t> next_serial = uint64_t{1} << 60;
  PlaneLayout layout;
  layout.fourcc = DRM_FORMAT_XRGB8888;
  layout.width_px = width_px;
  layout.height_px = height_px;
  layout.stride_bytes = width_px * static_cast<uint32_t>(sizeof(uint32_t));
  layout.size_bytes = uint64_t{layout.stride_bytes} * height_px;
  return std::make_shared<PlaneBuffer>(next_serial++, layout, std::move(memory));
}

}  // namespace

std::shared_ptr<const PlaneBuffer> MakePlane(uint32_t width_px, uint32_t height_px,
                                             std::vector<uint32_t> pixels) {
  return MakeBuffer(width_px, height_px, std::make_unique<OwnMemory>(std::move(pixels)));
}

std::shared_ptr<const PlaneBuffer> MakeDmabufPlane(uint32_t width_px, uint32_t height_px,
                                                   const std::vector<uint32_t>& pixels) {
  Fd fd(KernelSys(), memfd_create("bench", MFD_CLOEXEC));
  const size_t size_bytes = pixels.size() * sizeof(uint32_t);
  size_t written = 0;
  while (written < size_bytes) {
    const auto* rest = reinterpret_cast<const uint8_t*>(pixels.data()) + written;
    const ssize_t step = write(fd.get(), rest, size_bytes - written);
    if (step <= 0) break;
    written += static_cast<size_t>(step);
  }
  return MakeBuffer(width_px, height_px, std::make_unique<DmabufMemory>(std::move(fd)));
}

absl::StatusOr<std::shared_ptr<const FrameRing>> FrameRing::Paint(const std::string& scene_name,
                                                                  uint32_t width_px,
                                                                  uint32_t height_px, size_t count,
                                                                  Memory memory) {
  auto scene = MakeBenchScene(scene_name, width_px, height_px, kFrameRateHz);
  if (!scene.ok()) return scene.status();
  const bool is_static = (*scene)->NextChange(1) == UINT64_MAX;
  auto ring = std::make_shared<FrameRing>();
  std::vector<uint32_t> pixels(size_t{width_px} * height_px);
  for (size_t i = 0; i < count; ++i) {
    const uint64_t frame = is_static ? 0 : kFirstRingFrame + i;
    (*scene)->Render(frame, static_cast<uint32_t>(frame * 1000 / kFrameRateHz),
                     {.pixels = pixels.data(),
                      .width_px = width_px,
                      .height_px = height_px,
                      .stride_px = width_px});
    ring->buffers_.push_back(memory == Memory::kOwn ? MakePlane(width_px, height_px, pixels)
                                                    : MakeDmabufPlane(width_px, height_px, pixels));
  }
  return std::shared_ptr<const FrameRing>(std::move(ring));
}

size_t FrameRing::IndexOf(uint64_t count) const {
  const size_t place = count % period();
  return place < buffers_.size() ? place : period() - place;
}

const std::shared_ptr<const PlaneBuffer>& FrameRing::at(uint64_t count) const {
  return buffers_[IndexOf(count)];
}

bool RingSource::Progress::WaitFor(uint64_t count) {
  std::unique_lock lock(mutex_);
  wanted_ = count;
  return changed_.wait_for(lock, kPatience, [&] { return count_ >= count; });
}

void RingSource::Progress::Add() {
  ++count_;
  const std::lock_guard lock(mutex_);
  if (count_ == wanted_) changed_.notify_all();
}

absl::StatusOr<std::unique_ptr<PlaneSource>> RingSource::Make(std::shared_ptr<const FrameRing> ring,
                                                              std::shared_ptr<Progress> progress) {
  auto guest = BenchGuest::Make(
      {.scene = "static", .width_px = 160, .height_px = 160, .flip_events = true, .still = true});
  if (!guest.ok()) return guest.status();
  auto device = (*guest)->OpenSource();
  if (!device.ok()) return device.status();
  return std::make_unique<RingSource>(std::move(ring), std::move(progress), *std::move(guest),
                                      *std::move(device));
}

RingSource::RingSource(std::shared_ptr<const FrameRing> ring, std::shared_ptr<Progress> progress,
                       std::unique_ptr<BenchGuest> guest, std::unique_ptr<PlaneSource> device)
    : ring_(std::move(ring)),
      progress_(std::move(progress)),
      guest_(std::move(guest)),
      device_(std::move(device)),
      ready_(KernelSys(), eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)) {}

PlaneSource::Events RingSource::HandleEvents(int64_t now_ns) {
  device_->HandleEvents(now_ns);
  uint64_t flips = 0;
  return {.flipped = read(ready_.get(), &flips, sizeof(flips)) == sizeof(flips)};
}

PlaneLook RingSource::Look(int64_t now_ns) {
  PlaneLook look = device_->Look(now_ns);
  if (look.frame.has_value()) look.frame->buffer = ring_->at(next_);
  return look;
}

void RingSource::ReportContent(bool changed, int64_t now_ns) {
  device_->ReportContent(changed, now_ns);
  ++next_;
  progress_->Add();
  const uint64_t one = 1;
  if (write(ready_.get(), &one, sizeof(one)) < 0) return;
}

absl::Status RingSource::SetMode(uint32_t, uint32_t, int64_t) {
  return absl::FailedPreconditionError("a ring has one size");
}

}  // namespace planecast::bench
