#include "vfio/flip_events.h"

#include <errno.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

namespace planecast {
namespace {

// IRQs that are asked about; the drafts have at most two behind the five of PCI.
constexpr uint32_t kIrqsMax = 64;

absl::StatusOr<Fd> MakeEventfd() {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return SysError(-errno, "eventfd");
  return Fd(KernelSys(), fd);
}

uint64_t Take(const Fd& fd) {
  eventfd_t counter = 0;
  return eventfd_read(fd.get(), &counter) == 0 ? counter : 0;
}

}  // namespace

FlippedPlanes DecodeFlipCounter(uint64_t counter, const DisplayIrqCaps& caps) {
  if (counter == 0) return {};
  if (caps.primary_only) return {.primary = true};
  if (caps.cursor_only) return {.cursor = true};
  const bool has_the_known_values = caps.primary_event_value == abi::kPrimaryEventValue &&
                                    caps.cursor_event_value == abi::kCursorEventValue;
  if (!has_the_known_values || counter % abi::kCursorEventValue != 0) {
    return {.primary = true, .cursor = true};
  }
  const uint64_t primary_count = counter >> 56;
  const uint64_t cursor_count = (counter >> 48) & 0xff;
  // A primary count may be a carry of 256 cursor events, and wraps itself.
  return {.primary = primary_count > 0, .cursor = cursor_count > 0 || primary_count > 0};
}

absl::StatusOr<std::unique_ptr<FlipEvents>> FlipEvents::ArmIrqs(GfxDevice& device) {
  // mdpy knows how many IRQs it has only after it was asked for the device info.
  const auto info = device.GetDeviceInfo();
  if (!info.ok()) return info.status();
  auto events = std::make_unique<FlipEvents>(device);
  for (uint32_t index = abi::kPciNumIrqs; index < std::min(info->num_irqs, kIrqsMax); ++index) {
    const auto bytes = device.GetIrqInfo(index);
    if (!bytes.ok()) continue;
    const auto caps = ParseDisplayIrq(*bytes);
    if (!caps) continue;
    auto eventfd = MakeEventfd();
    if (!eventfd.ok()) return eventfd.status();
    Irq irq{index, *caps, *std::move(eventfd)};
    if (absl::Status armed = events->Arm(irq); !armed.ok()) return armed;
    events->irqs_.push_back(std::move(irq));
  }
  const bool has_primary = std::any_of(events->irqs_.begin(), events->irqs_.end(),
                                       [](const Irq& irq) { return !irq.caps.cursor_only; });
  if (!has_primary) return absl::NotFoundError("the device announces no display IRQ");
  return events;
}

absl::StatusOr<std::unique_ptr<FlipEvents>> FlipEvents::ArmEventfdIoctl(GfxDevice& device) {
  auto eventfd = MakeEventfd();
  if (!eventfd.ok()) return eventfd.status();
  if (absl::Status armed = device.SetFlipEventfd(eventfd->get()); !armed.ok()) return armed;
  auto events = std::make_unique<FlipEvents>(device);
  events->regime_ = FlipRegime::kEventfd;
  events->ioctl_eventfd_ = *std::move(eventfd);
  return events;
}

FlipEvents::~FlipEvents() {
  for (const Irq& irq : irqs_) {
    device_->SetIrq(irq.index, abi::kIrqSetDataNone | abi::kIrqSetActionTrigger, 0, std::nullopt)
        .IgnoreError();
  }
  if (ioctl_eventfd_.valid()) device_->SetFlipEventfd(-1).IgnoreError();
}

bool FlipEvents::covers_cursor() const {
  return std::any_of(irqs_.begin(), irqs_.end(), [](const Irq& irq) {
    return irq.caps.cursor_only || irq.caps.cursor_event_value != 0;
  });
}

std::vector<int> FlipEvents::fds() const {
  std::vector<int> fds;
  for (const Irq& irq : irqs_) fds.push_back(irq.eventfd.get());
  if (ioctl_eventfd_.valid()) fds.push_back(ioctl_eventfd_.get());
  return fds;
}

absl::Status FlipEvents::Arm(const Irq& irq) {
  return device_->SetIrq(irq.index, abi::kIrqSetDataEventfd | abi::kIrqSetActionTrigger, 1,
                         irq.eventfd.get());
}

absl::Status FlipEvents::SetIrqEnabled(const Irq& irq, bool enabled) {
  if (irq.caps.maskable) {
    const uint32_t action = enabled ? abi::kIrqSetActionUnmask : abi::kIrqSetActionMask;
    return device_->SetIrq(irq.index, abi::kIrqSetDataNone | action, 1, std::nullopt);
  }
  if (enabled) return Arm(irq);
  return device_->SetIrq(irq.index, abi::kIrqSetDataNone | abi::kIrqSetActionTrigger, 0,
                         std::nullopt);
}

absl::Status FlipEvents::SetEnabled(bool enabled) {
  absl::Status result;
  for (const Irq& irq : irqs_) result.Update(SetIrqEnabled(irq, enabled));
  if (ioctl_eventfd_.valid()) {
    result.Update(device_->SetFlipEventfd(enabled ? ioctl_eventfd_.get() : -1));
  }
  return result;
}

FlippedPlanes FlipEvents::Drain() {
  FlippedPlanes flipped;
  for (const Irq& irq : irqs_) {
    const FlippedPlanes planes = DecodeFlipCounter(Take(irq.eventfd), irq.caps);
    flipped.primary |= planes.primary;
    flipped.cursor |= planes.cursor;
  }
  if (ioctl_eventfd_.valid() && Take(ioctl_eventfd_) > 0) flipped.primary = true;
  return flipped;
}

}  // namespace planecast
