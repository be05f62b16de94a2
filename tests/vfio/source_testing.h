// What the tests of the real code on the fake device share: a source on a device of a profile.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "vfio/clock.h"
#include "vfio/fake/fake_device.h"
#include "vfio/vfio_source.h"

namespace planecast {

inline constexpr int64_t kMillisecondNs = 1'000'000;

/// A fake device, opened, with the source that ships on top.
class TestSource {
 public:
  explicit TestSource(const FakeDeviceOptions& device_options,
                      const VfioSourceOptions& source_options = {}, bool borrowed = false,
                      FdClaim fds = {})
      : device_(device_options, clock_) {
    OpenedDevice opened;
    opened.fds = std::move(fds);
    opened.device = Fd(device_, device_.OpenDevice());
    opened.borrowed = borrowed;
    auto made = MakeVfioSource(std::move(opened), source_options, clock_);
    status_ = made.status();
    if (made.ok()) source_ = *std::move(made);
  }
  explicit TestSource(FakeProfile profile, FakeFlipDialect flips = FakeFlipDialect::kNone)
      : TestSource(FakeDeviceOptions{.profile = profile, .flip_dialect = flips}) {}

  const absl::Status& status() const { return status_; }
  FakeDevice& device() { return device_; }
  FakeGuest& guest() { return device_.guest(); }
  PlaneSource& source() { return *source_; }
  ManualClock& clock() { return clock_; }
  void Destroy() { source_.reset(); }

  void SetMode(uint32_t width_px, uint32_t height_px, int buffer_count = 2) {
    FakeMode mode{.width_px = width_px, .height_px = height_px};
    mode.buffer_count = buffer_count;
    ASSERT_TRUE(guest().SetMode(mode).ok());
  }
  void Fill(int buffer, uint8_t value) {
    guest().Paint(buffer, [value](std::span<uint8_t> bytes, const PlaneLayout&) {
      std::memset(bytes.data(), value, bytes.size());
    });
  }
  PlaneLook Look() { return source_->Look(clock_.NowNs()); }
  PlaneLook LookAfter(int64_t duration_ns) {
    clock_.Advance(duration_ns);
    return Look();
  }

 private:
  ManualClock clock_;
  FakeDevice device_;
  absl::Status status_;
  std::unique_ptr<PlaneSource> source_;
};

/// The value of every byte of a frame's pixels, or -1 if they can't be read or differ.
inline int UniformByte(const Frame& frame) {
  auto read = frame.buffer->ReadCpu();
  if (!read.ok()) return -1;
  const auto bytes =
      read->bytes().first(frame.buffer->layout().stride_bytes * frame.buffer->layout().height_px);
  const bool is_uniform =
      std::all_of(bytes.begin(), bytes.end(), [&bytes](uint8_t byte) { return byte == bytes[0]; });
  return is_uniform ? bytes[0] : -1;
}

using Primary = PlaneLook::Primary;

inline std::string FakeProfileParamName(const testing::TestParamInfo<FakeProfile>& info) {
  return std::string(FakeProfileName(info.param));
}

}  // namespace planecast
