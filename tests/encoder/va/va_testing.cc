#include "tests/encoder/va/va_testing.h"

#include <dlfcn.h>
#include <drm_fourcc.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

#include "encoder/va/va_wait.h"
#include "vfio/fd.h"

namespace planecast::testing {
namespace {

constexpr int kWaitMaxS = 120;
constexpr int64_t kGpuPatienceNs = 120'000'000'000;

template <typename Function>
Function Find(const char* name) {
  // Loaded by libva, and only while a display is open.
  void* driver = dlopen(PLANECAST_SW_DRIVERS_PATH "/planecast_sw_drv_video.so", RTLD_LAZY);
  return driver != nullptr ? reinterpret_cast<Function>(dlsym(driver, name)) : nullptr;
}

class MemfdMemory final : public PlaneMemory {
 public:
  MemfdMemory(Fd fd, std::shared_ptr<uint8_t> bytes, size_t size_bytes,
              std::shared_ptr<int> cpu_reads, std::shared_ptr<bool> cpu_readable)
      : fd_(std::move(fd)),
        bytes_(std::move(bytes)),
        size_bytes_(size_bytes),
        cpu_reads_(std::move(cpu_reads)),
        cpu_readable_(std::move(cpu_readable)) {}
  int dmabuf_fd() const override { return fd_.get(); }
  absl::StatusOr<std::span<const uint8_t>> BeginCpuRead() override {
    ++*cpu_reads_;
    if (!*cpu_readable_) return absl::FailedPreconditionError("this memory can't be mapped");
    return std::span<const uint8_t>(bytes_.get(), size_bytes_);
  }
  void EndCpuRead() override {}

 private:
  Fd fd_;
  std::shared_ptr<uint8_t> bytes_;
  size_t size_bytes_;
  std::shared_ptr<int> cpu_reads_;
  std::shared_ptr<bool> cpu_readable_;
};

}  // namespace

SwDriver::SwDriver(const std::string& persona, const std::string& faults) {
  setenv("LIBVA_DRIVERS_PATH", PLANECAST_SW_DRIVERS_PATH, 1);
  setenv("LIBVA_DRIVER_NAME", "planecast_sw", 1);
  setenv("PLANECAST_SW_PERSONA", persona.c_str(), 1);
  setenv("PLANECAST_SW_FAULT", faults.c_str(), 1);
  const bool hangs = faults.find("hang") != std::string::npos;
  SetGpuTimeoutForTest(hangs ? 0 : kGpuPatienceNs);
}

SwDriver::~SwDriver() {
  SetGpuTimeoutForTest(0);
  unsetenv("PLANECAST_SW_PERSONA");
  unsetenv("PLANECAST_SW_FAULT");
  unsetenv("PLANECAST_SW_DUMP");
}

void SwDriver::DumpTo(const std::string& path) {
  setenv("PLANECAST_SW_DUMP", path.c_str(), 1);
}

planecast_sw_counters SwCounters() {
  planecast_sw_counters counters{};
  static const auto get = Find<void (*)(planecast_sw_counters*)>("planecast_sw_get_counters");
  if (get != nullptr) get(&counters);
  return counters;
}

std::string SwLastRejection() {
  static const auto get = Find<void (*)(char*, size_t)>("planecast_sw_last_rejection");
  char text[512] = "";
  if (get != nullptr) get(text, sizeof(text));
  return text;
}

bool WaitForNoDisplays() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(kWaitMaxS);
  while (SwCounters().displays_alive != 0) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

MemfdPlane::MemfdPlane(uint32_t fourcc, uint32_t width_px, uint32_t height_px,
                       uint32_t padding_bytes)
    : cpu_reads_(std::make_shared<int>(0)), cpu_readable_(std::make_shared<bool>(false)) {
  // Apart from those of planes on the heap.
  static std::atomic<uint64_t> next_serial = uint64_t{1} << 32;
  layout_ = {.fourcc = fourcc,
             .modifier = DRM_FORMAT_MOD_LINEAR,
             .width_px = width_px,
             .height_px = height_px,
             .stride_bytes = width_px * std::max(BytesPerPixel(fourcc), 1u) + padding_bytes,
             .size_bytes = 0};
  layout_.size_bytes = uint64_t{layout_.stride_bytes} * height_px;
  const size_t size_bytes = layout_.size_bytes;
  Fd fd(KernelSys(), memfd_create("plane", MFD_CLOEXEC));
  EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(size_bytes)), 0);
  void* bytes = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  EXPECT_NE(bytes, MAP_FAILED);
  bytes_ = {static_cast<uint8_t*>(bytes),
            [size_bytes](uint8_t* mapped) { munmap(mapped, size_bytes); }};
  buffer_ = std::make_shared<PlaneBuffer>(
      next_serial++, layout_,
      std::make_unique<MemfdMemory>(std::move(fd), bytes_, size_bytes, cpu_reads_, cpu_readable_));
}

void MemfdPlane::Show(HeapPlane& plane) {
  ASSERT_EQ(plane.layout(), layout_);
  std::memcpy(bytes_.get(), plane.bytes().data(), plane.bytes().size());
}

Frame MemfdPlane::frame(int64_t time_ns) const {
  return {.buffer = buffer_, .flip_time_ns = time_ns, .capture_time_ns = time_ns};
}

}  // namespace planecast::testing
