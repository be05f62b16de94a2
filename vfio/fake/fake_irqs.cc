// IRQ info, and the drafts by which a device tells of flips.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <charconv>
#include <climits>
#include <cstring>
#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "vfio/fake/fake_state.h"

namespace planecast {
namespace {

/// Where RFC v2 has cap_offset and count: swapped against what came later.
struct IrqInfoV2 {
  uint32_t argsz;
  uint32_t flags;
  uint32_t index;
  uint32_t cap_offset;
  uint32_t count;
};
static_assert(sizeof(IrqInfoV2) == 20);

constexpr uint32_t kFeatureNumberMask = 0xffff;
constexpr uint32_t kFeatureGet = 1U << 16;
constexpr uint32_t kFeatureSet = 1U << 17;
constexpr uint32_t kFeatureProbe = 1U << 18;
/// After more vblanks than this without a flip, v5 and v6 take the guest for single-buffered.
constexpr int kIdleVblanksMax = 10;
constexpr uint64_t kEventfdMax = ULLONG_MAX - 1;

bool IsEventfd(int fd) {
  char target[64] = {};
  const std::string link = absl::StrCat("/proc/self/fd/", fd);
  const ssize_t length = readlink(link.c_str(), target, sizeof target - 1);
  return length > 0 && absl::string_view(target) == "anon_inode:[eventfd]";
}

/// What nobody has read from an eventfd yet.
uint64_t EventfdCount(int fd) {
  std::ifstream info(absl::StrCat("/proc/self/fdinfo/", fd));
  constexpr char kKey[] = "eventfd-count:";
  for (std::string line; std::getline(info, line);) {
    if (!absl::StartsWith(line, kKey)) continue;
    const size_t digits = line.find_first_not_of(' ', sizeof kKey - 1);
    uint64_t count = 0;
    if (digits == std::string::npos) return 0;
    std::from_chars(line.data() + digits, line.data() + line.size(), count, 16);
    return count;
  }
  return 0;
}

/// eventfd_signal of the kernel: never waits, and stops at the maximum.
void Signal(const FakeTrigger& trigger, uint64_t value) {
  if (trigger.eventfd < 0 || trigger.masked) return;
  const bool may_block = (fcntl(trigger.eventfd, F_GETFL) & O_NONBLOCK) == 0;
  if (may_block && EventfdCount(trigger.eventfd) > kEventfdMax - value) return;
  // EAGAIN means that the maximum is reached: there is enough to wake the reader.
  [[maybe_unused]] const ssize_t written = write(trigger.eventfd, &value, sizeof value);
}

}  // namespace

uint32_t FakeState::num_irqs() const {
  switch (flip_dialect) {
    case FakeFlipDialect::kNone:
    case FakeFlipDialect::kFlipEventfd:
      return abi::kPciNumIrqs;
    case FakeFlipDialect::kIrqV2:
      return abi::kPciNumIrqs + 2;
    case FakeFlipDialect::kIrqV3:
    case FakeFlipDialect::kIrqV5:
    case FakeFlipDialect::kIrqV6:
      return abi::kPciNumIrqs + 1;
  }
  return abi::kPciNumIrqs;
}

int FakeState::GetIrqInfo(void* arg) const {
  const bool v2 = flip_dialect == FakeFlipDialect::kIrqV2;
  const uint32_t min_bytes = v2 ? sizeof(IrqInfoV2) : abi::kIrqInfoMinSize;
  abi::IrqInfo info{};
  if (CopyIn(&info, arg, min_bytes) != 0) return -EFAULT;
  if (info.argsz < min_bytes) return -EINVAL;
  const bool mdpy = options.profile == FakeProfile::kMdpy;
  if (info.index >= (mdpy && !info_was_read ? 0 : num_irqs())) return -EINVAL;
  if (info.index >= abi::kPciNumIrqs) return GetFlipIrqInfo(info, arg);
  uint32_t count = 0;
  if (options.profile == FakeProfile::kGvt) {
    if (info.index > 1) return -EINVAL;
    info.flags = abi::kIrqFlagEventfd;
    count = 1;
  }
  info.count = v2 ? 0 : count;
  if (v2) info.cap_offset = count;
  return CopyOut(arg, &info, min_bytes);
}

int FakeState::GetFlipIrqInfo(const abi::IrqInfo& asked, void* arg) const {
  const bool v2 = flip_dialect == FakeFlipDialect::kIrqV2;
  const bool v6 = flip_dialect == FakeFlipDialect::kIrqV6;
  const bool has_display = v6 || flip_dialect == FakeFlipDialect::kIrqV5;
  struct {
    abi::IrqInfo info;
    abi::IrqCapType type;
    uint8_t display[sizeof(abi::IrqCapDisplay)];
  } answer{};
  constexpr uint32_t kTypeAt = sizeof(abi::IrqInfo);
  constexpr uint32_t kDisplayAt = kTypeAt + sizeof(abi::IrqCapType);
  const uint32_t full_bytes = has_display ? sizeof answer : kDisplayAt;
  static_assert(sizeof answer == 60);

  const bool second = v2 && asked.index == abi::kPciNumIrqs + 1;
  answer.type = {.header = {.id = v6 ? abi::kIrqCapTypeV6 : abi::kIrqCapTypeV2ToV5,
                            .version = 1,
                            .next = has_display ? kDisplayAt : 0},
                 .type = abi::kIrqTypeGfx,
                 .subtype = second ? abi::kIrqSubtypeV2Cursor : abi::kIrqSubtypeDisplay};
  const abi::IrqCapDisplay display = {
      .header = {.id = v6 ? abi::kIrqCapDisplayV6 : abi::kIrqCapDisplayV5, .version = 1, .next = 0},
      .cursor_event_value = abi::kCursorEventValue,
      .primary_event_value = abi::kPrimaryEventValue};
  std::memcpy(answer.display, &display, sizeof display);

  const bool fits = asked.argsz >= full_bytes;
  answer.info = asked;
  answer.info.flags = abi::kIrqFlagEventfd | abi::kIrqFlagMaskable | abi::kIrqFlagCaps;
  answer.info.argsz = fits ? asked.argsz : full_bytes;
  const uint32_t cap_offset = fits ? kTypeAt : 0;
  answer.info.count = v2 ? cap_offset : 1;
  answer.info.cap_offset = v2 ? 1 : cap_offset;
  const uint32_t head_bytes = std::min<uint32_t>(asked.argsz, sizeof(abi::IrqInfo));
  return CopyOut(arg, &answer, fits ? full_bytes : head_bytes);
}

int FakeState::SetIrqs(void* arg) {
  abi::IrqSet set;
  if (CopyIn(&set, arg, sizeof set) != 0) return -EFAULT;
  if (set.argsz < sizeof set) return -EINVAL;
  if (set.index >= abi::kPciNumIrqs && set.index < num_irqs()) {
    return SetFlipIrq(set, static_cast<const uint8_t*>(arg) + sizeof set);
  }
  ConsumerError(absl::StrCat("SET_IRQS on IRQ ", set.index, ", which is the VMM's"));
  const bool gvt = options.profile == FakeProfile::kGvt;
  if (!gvt || set.index >= abi::kPciNumIrqs) return -EINVAL;
  return set.index <= 1 ? 0 : -ENOTTY;
}

int FakeState::SetFlipIrq(const abi::IrqSet& set, const void* data) {
  if (set.start != 0 || set.count > 1) return -EINVAL;
  FakeTrigger& trigger = triggers.at(set.index - abi::kPciNumIrqs);
  switch (set.flags) {
    case abi::kIrqSetDataEventfd | abi::kIrqSetActionTrigger: {
      int32_t eventfd = -1;
      if (set.count != 1 || set.argsz < sizeof set + sizeof eventfd) return -EINVAL;
      if (CopyIn(&eventfd, data, sizeof eventfd) != 0) return -EFAULT;
      if (eventfd == -1) {
        Disarm(trigger);
        return 0;
      }
      const int result = Arm(trigger, eventfd);
      WakeGuest();
      return result;
    }
    case abi::kIrqSetDataNone | abi::kIrqSetActionTrigger:
      if (set.count == 0) Disarm(trigger);
      return set.count == 0 ? 0 : -EINVAL;
    case abi::kIrqSetDataNone | abi::kIrqSetActionMask:
      trigger.masked = true;
      return 0;
    case abi::kIrqSetDataNone | abi::kIrqSetActionUnmask:
      trigger.masked = false;
      WakeGuest();
      return 0;
    default:
      return -EINVAL;
  }
}

int FakeState::SetFlipEventfd(void* arg) {
  int32_t eventfd = 0;
  if (CopyIn(&eventfd, arg, sizeof eventfd) != 0) return -EFAULT;
  if (eventfd == -1) {
    Disarm(triggers[0]);
    return 0;
  }
  const int result = eventfd < 0 ? -EINVAL : Arm(triggers[0], eventfd);
  WakeGuest();
  return result;
}

int FakeState::DeviceFeature(void* arg) const {
  abi::DeviceFeature feature;
  if (CopyIn(&feature, arg, sizeof feature) != 0) return -EFAULT;
  constexpr uint32_t kKnown = kFeatureNumberMask | kFeatureGet | kFeatureSet | kFeatureProbe;
  if (feature.argsz < sizeof feature || (feature.flags & ~kKnown) != 0) return -EINVAL;
  const bool both = (feature.flags & kFeatureGet) != 0 && (feature.flags & kFeatureSet) != 0;
  return both && (feature.flags & kFeatureProbe) == 0 ? -EINVAL : -ENOTTY;
}

int FakeState::Arm(FakeTrigger& trigger, int eventfd) const {
  if (fcntl(eventfd, F_GETFD) < 0) return -EBADF;
  if (!IsEventfd(eventfd)) return -EINVAL;
  const int copy = KernelSys().Dup(eventfd);
  if (copy < 0) return copy;
  Disarm(trigger);
  trigger.eventfd = copy;
  return 0;
}

void FakeState::Disarm(FakeTrigger& trigger) {
  if (trigger.eventfd >= 0) close(trigger.eventfd);
  trigger = {};
}

void FakeState::SignalFlip() {
  idle_vblanks = 0;
  const bool values =
      flip_dialect == FakeFlipDialect::kIrqV5 || flip_dialect == FakeFlipDialect::kIrqV6;
  Signal(triggers[0], values ? abi::kPrimaryEventValue : 1);
}

void FakeState::SignalVblank() {
  if (idle_vblanks <= kIdleVblanksMax) ++idle_vblanks;
  if (flip_dialect == FakeFlipDialect::kIrqV3) Signal(triggers[0], 1);
  const bool values =
      flip_dialect == FakeFlipDialect::kIrqV5 || flip_dialect == FakeFlipDialect::kIrqV6;
  if (values && idle_vblanks > kIdleVblanksMax) Signal(triggers[0], abi::kPrimaryEventValue);
}

void FakeState::SignalCursor() {
  if (flip_dialect == FakeFlipDialect::kIrqV2) Signal(triggers[1], 1);
  const bool values =
      flip_dialect == FakeFlipDialect::kIrqV5 || flip_dialect == FakeFlipDialect::kIrqV6;
  if (values) Signal(triggers[0], abi::kCursorEventValue);
}

bool FakeState::signals_vblanks() const {
  return flip_dialect == FakeFlipDialect::kIrqV3 || flip_dialect == FakeFlipDialect::kIrqV5 ||
         flip_dialect == FakeFlipDialect::kIrqV6;
}

bool FakeState::events_armed() const {
  return triggers[0].eventfd >= 0 && !triggers[0].masked;
}

}  // namespace planecast
