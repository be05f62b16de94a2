#include "tests/vfio/device_contract.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vfio/vfio_source.h"

namespace planecast {
namespace {

using Primary = PlaneLook::Primary;

// Looks that a change may take to show up: mbochs answers with an error first.
constexpr int kLooksMax = 5;

const char* Name(Primary primary) {
  switch (primary) {
    case Primary::kFrame:
      return "frame";
    case Primary::kNoFramebuffer:
      return "no framebuffer";
    case Primary::kBlanked:
      return "blanked";
    case Primary::kTransient:
      return "transient";
    case Primary::kFailed:
      return "failed";
    case Primary::kGone:
      return "gone";
  }
  return "?";
}

absl::Status Expected(bool holds, const std::string& what) {
  return holds ? absl::OkStatus() : absl::InternalError(what);
}

class Contract {
 public:
  Contract(const ContractDevice& device, PlaneSource& source)
      : device_(device), guest_(*device.guest), source_(source) {}

  void Run() {
    Check("a mode set by the guest becomes a frame of that size", [this] { return Modes(); });
    Check("the same screen is the same buffer", [this] { return SameBuffer(); });
    Check("what the guest paints in place is what is read", [this] { return Pixels(); });
    Check("memory that the CPU can't reach says so", [this] { return Unreadable(); });
    Check("panning shows another buffer, and panning back the one before",
          [this] { return Panning(); });
    Check("an old buffer stays readable after a mode change", [this] { return OldBuffers(); });
    Check("going back to an earlier mode works", [this] { return BackAndForth(); });
    Check("switched off is blanked, and on again a frame", [this] { return Blanking(); });
    Check("there is no cursor where there is no cursor plane", [this] { return Cursor(); });
    Check("a reset shows nothing, and the next mode a frame", [this] { return Reset(); });
  }

  std::vector<ContractResult> TakeResults() { return std::move(results_); }

 private:
  void Check(const std::string& name, const std::function<absl::Status()>& check) {
    const absl::Status status = check();
    ContractResult result;
    result.name = name;
    if (!status.ok()) {
      const absl::string_view reason = status.message();
      result.reason = std::string(reason.data(), reason.size());
      result.outcome = absl::IsUnimplemented(status) ? ContractResult::Outcome::kLeftOut
                                                     : ContractResult::Outcome::kFailed;
    }
    results_.push_back(std::move(result));
  }

  // Looks until the plane is in this state.
  absl::StatusOr<PlaneLook> LookFor(Primary wanted) {
    PlaneLook look;
    for (int n = 0; n < kLooksMax; ++n) {
      const int64_t now_ns = device_.clock->NowNs();
      source_.HandleEvents(now_ns);
      look = source_.Look(now_ns);
      if (look.primary == wanted) return look;
    }
    return absl::InternalError(absl::StrCat("the plane is ", Name(look.primary), " instead of ",
                                            Name(wanted), ": ", look.problem.ToString()));
  }

  absl::StatusOr<Frame> Show(const ContractDevice::Mode& mode) {
    absl::Status set = guest_.SetMode(mode.width_px, mode.height_px);
    if (!set.ok()) return set;
    return LookForFrame();
  }
  absl::StatusOr<Frame> LookForFrame() {
    auto look = LookFor(Primary::kFrame);
    if (!look.ok()) return look.status();
    return *look->frame;
  }

  absl::Status ExpectFilled(const Frame& frame, uint8_t value) const {
    auto read = frame.buffer->ReadCpu();
    if (!read.ok()) return absl::InternalError(read.status().ToString());
    const PlaneLayout& layout = frame.buffer->layout();
    const auto bytes = read->bytes();
    if (bytes.size() < layout.size_bytes) return absl::InternalError("the mapping is too short");
    const size_t line_bytes = size_t{layout.width_px} * 4;
    for (uint32_t y = 0; y < layout.height_px; ++y) {
      const auto line = bytes.subspan(size_t{y} * layout.stride_bytes, line_bytes);
      const auto other =
          std::find_if(line.begin(), line.end(), [value](uint8_t byte) { return byte != value; });
      if (other == line.end()) continue;
      return absl::InternalError(absl::StrCat("line ", y, " holds ", int{*other},
                                              " where the guest painted ", int{value}));
    }
    return absl::OkStatus();
  }

  absl::Status Modes() {
    for (const ContractDevice::Mode& mode : device_.modes) {
      const auto frame = Show(mode);
      if (!frame.ok()) return frame.status();
      const PlaneLayout& layout = frame->buffer->layout();
      if (layout.width_px != mode.width_px || layout.height_px != mode.height_px) {
        return absl::InternalError(absl::StrCat("the frame is ", layout.width_px, "x",
                                                layout.height_px, " instead of ", mode.width_px,
                                                "x", mode.height_px));
      }
    }
    return absl::OkStatus();
  }

  absl::Status SameBuffer() {
    const auto first = LookForFrame();
    if (!first.ok()) return first.status();
    const auto second = LookForFrame();
    if (!second.ok()) return second.status();
    return Expected(first->buffer == second->buffer, "the buffer changed without a reason");
  }

  absl::Status Pixels() {
    if (!device_.is_readable) return absl::UnimplementedError("the CPU can't read this device");
    for (const ContractDevice::Mode& mode : device_.modes) {
      const auto frame = Show(mode);
      if (!frame.ok()) return frame.status();
      for (const uint8_t value : {uint8_t{0x5a}, uint8_t{0xc3}}) {
        if (absl::Status painted = guest_.Paint(value); !painted.ok()) return painted;
        if (absl::Status filled = ExpectFilled(*frame, value); !filled.ok()) return filled;
      }
    }
    return absl::OkStatus();
  }

  absl::Status Unreadable() {
    if (device_.is_readable) return absl::UnimplementedError("the CPU can read this device");
    const auto frame = LookForFrame();
    if (!frame.ok()) return frame.status();
    if (frame->buffer->dmabuf_fd() < 0) return absl::InternalError("there is no dma-buf to import");
    const auto read = frame->buffer->ReadCpu();
    if (!absl::IsFailedPrecondition(read.status())) {
      return absl::InternalError(absl::StrCat("reading gave ", read.status().ToString()));
    }
    return Expected(read.status().message().find("needs a GPU import") != absl::string_view::npos,
                    "the error does not name the remedy");
  }

  absl::Status Panning() {
    const auto first = Show(device_.modes.front());
    if (!first.ok()) return first.status();
    if (absl::Status panned = guest_.Pan(1); !panned.ok()) return panned;
    const auto second = LookForFrame();
    if (!second.ok()) return second.status();
    if (absl::Status panned = guest_.Pan(0); !panned.ok()) return panned;
    const auto third = LookForFrame();
    if (!third.ok()) return third.status();
    if (first->buffer == second->buffer) return absl::InternalError("panning changed no buffer");
    return Expected(first->buffer == third->buffer, "panning back made a new buffer");
  }

  absl::Status OldBuffers() {
    const auto old = Show(device_.modes.front());
    if (!old.ok()) return old.status();
    if (device_.modes.size() < 2) return absl::UnimplementedError("the device has one mode");
    const auto current = Show(device_.modes.back());
    if (!current.ok()) return current.status();
    if (old->buffer == current->buffer) return absl::InternalError("two modes share a buffer");
    if (!device_.is_readable) return absl::OkStatus();
    const auto read = old->buffer->ReadCpu();
    return Expected(read.ok(), absl::StrCat("reading gave ", read.status().ToString()));
  }

  absl::Status BackAndForth() {
    for (int round = 0; round < 3; ++round) {
      for (const ContractDevice::Mode& mode : device_.modes) {
        const auto frame = Show(mode);
        if (!frame.ok()) return frame.status();
      }
    }
    return absl::OkStatus();
  }

  absl::Status Blanking() {
    const auto shown = Show(device_.modes.front());
    if (!shown.ok()) return shown.status();
    if (absl::Status disabled = guest_.Disable(); !disabled.ok()) return disabled;
    if (const auto look = LookFor(Primary::kBlanked); !look.ok()) return look.status();
    return Show(device_.modes.front()).status();
  }

  absl::Status Cursor() {
    const auto look = LookFor(Primary::kFrame);
    if (!look.ok()) return look.status();
    return Expected(!look->cursor.visible && !source_.info().cursor_separate,
                    "a cursor that nobody set is visible");
  }

  absl::Status Reset() {
    if (absl::Status reset = guest_.Reset(); !reset.ok()) return reset;
    if (const auto look = LookFor(Primary::kBlanked); !look.ok()) return look.status();
    return Show(device_.modes.front()).status();
  }

  const ContractDevice& device_;
  GuestRole& guest_;
  PlaneSource& source_;
  std::vector<ContractResult> results_;
};

}  // namespace

std::vector<ContractResult> RunDeviceContract(const ContractDevice& device) {
  const auto failed = [](const std::string& name, const absl::Status& status) {
    return std::vector<ContractResult>{{name, ContractResult::Outcome::kFailed, status.ToString()}};
  };
  auto opened = device.open();
  if (!opened.ok()) return failed("the device opens", opened.status());
  auto source = MakeVfioSource(*std::move(opened), {}, *device.clock);
  if (!source.ok()) return failed("the device has a gfx plane", source.status());
  Contract contract(device, **source);
  contract.Run();
  return contract.TakeResults();
}

std::string ContractReport(const std::vector<ContractResult>& results) {
  std::string report;
  for (const ContractResult& result : results) {
    switch (result.outcome) {
      case ContractResult::Outcome::kPassed:
        absl::StrAppend(&report, "ok       ", result.name, "\n");
        break;
      case ContractResult::Outcome::kFailed:
        absl::StrAppend(&report, "FAILED   ", result.name, ": ", result.reason, "\n");
        break;
      case ContractResult::Outcome::kLeftOut:
        absl::StrAppend(&report, "left out ", result.name, ": ", result.reason, "\n");
        break;
    }
  }
  return report;
}

}  // namespace planecast
