#include "service/core/display_state.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "service/core/reason.h"

namespace planecast {
namespace {

/// Errors begin with a small letter and end without a full stop, so that they can be joined; a
/// reason stands alone, or before its remedy. A first word that is a path or a name is kept.
std::string AsSentence(std::string text) {
  if (text.empty()) return text;
  const std::string_view first_word = std::string_view(text).substr(0, text.find_first_of(" ,;:."));
  if (std::all_of(first_word.begin(), first_word.end(), absl::ascii_islower)) {
    text.front() = absl::ascii_toupper(text.front());
  }
  if (std::string_view(".?!").find(text.back()) == std::string_view::npos) text += '.';
  return text;
}

StateReport Report(DisplayState state, std::string reason, std::string remedy) {
  StateReport report;
  report.state = state;
  report.reason = AsSentence(std::move(reason));
  report.remedy = std::move(remedy);
  return report;
}

std::string MessageOf(const absl::Status& status, const char* fallback) {
  return status.message().empty() ? fallback : std::string(status.message());
}

StateReport UnsupportedFormat(const absl::Status& problem) {
  return Report(DisplayState::kUnsupportedFormat,
                MessageOf(problem, "The plane has a pixel format that can't be read."),
                "Choose another colour depth in the guest, or a linear framebuffer where its "
                "driver has the choice.");
}

StateReport ImportFailed(const absl::Status& problem) {
  return Report(DisplayState::kImportFailed,
                MessageOf(problem, "The plane's memory can't be reached by the encoder."),
                "It takes a GPU that imports this memory ('planecast host' lists the GPUs and what "
                "each can do), or a device whose memory the CPU can map.");
}

StateReport StateOfPlaneProblem(const absl::Status& problem) {
  switch (problem.code()) {
    case absl::StatusCode::kUnimplemented:
      return UnsupportedFormat(problem);
    case absl::StatusCode::kFailedPrecondition:
      return ImportFailed(problem);
    case absl::StatusCode::kInvalidArgument:
      return Report(DisplayState::kDeviceError,
                    MessageOf(problem, "The device describes its plane with impossible numbers."),
                    "Check that the configured ABI dialect is the one that the device's driver "
                    "speaks.");
    case absl::StatusCode::kResourceExhausted:
      return Report(DisplayState::kDeviceError,
                    MessageOf(problem, "The daemon has no file descriptor left for the plane."),
                    "Raise LimitNOFILE of the daemon's unit, or detach other displays; the daemon "
                    "tries again by itself.");
    default: {
      std::string remedy = RemedyOf(problem);
      if (remedy.empty()) {
        remedy =
            "Make the device available (see the reason, and the host's kernel log for its driver); "
            "the daemon tries again by itself.";
      }
      return Report(DisplayState::kDeviceError,
                    MessageOf(problem, "The device answers queries with errors."),
                    std::move(remedy));
    }
  }
}

}  // namespace

std::string_view DisplayStateName(DisplayState state) {
  switch (state) {
    case DisplayState::kAttaching:
      return "ATTACHING";
    case DisplayState::kActive:
      return "ACTIVE";
    case DisplayState::kWaitingForGuest:
      return "WAITING_FOR_GUEST";
    case DisplayState::kBlanked:
      return "BLANKED";
    case DisplayState::kUnsupportedFormat:
      return "UNSUPPORTED_FORMAT";
    case DisplayState::kImportFailed:
      return "IMPORT_FAILED";
    case DisplayState::kEncoderFailed:
      return "ENCODER_FAILED";
    case DisplayState::kDeviceError:
      return "DEVICE_ERROR";
    case DisplayState::kDeviceGone:
      return "DEVICE_GONE";
    case DisplayState::kDetaching:
      return "DETACHING";
  }
  return "UNKNOWN";
}

std::optional<StateReport> StateOfLook(const PlaneLook& look) {
  switch (look.primary) {
    case PlaneLook::Primary::kFrame:
      return Report(DisplayState::kActive, "", "");
    case PlaneLook::Primary::kNoFramebuffer:
      return Report(DisplayState::kWaitingForGuest, "The guest has not set up a framebuffer yet.",
                    "Wait for the guest to boot; if it has, check that it has a driver for its "
                    "virtual GPU.");
    case PlaneLook::Primary::kBlanked:
      return Report(DisplayState::kBlanked, "The guest switched its screen off.",
                    "Wake the guest with a key or the mouse, or switch off its screen saver.");
    case PlaneLook::Primary::kTransient:
      return std::nullopt;
    case PlaneLook::Primary::kFailed:
      return StateOfPlaneProblem(look.problem);
    case PlaneLook::Primary::kGone:
      return Report(DisplayState::kDeviceGone,
                    MessageOf(look.problem, "The device or its virtual machine is gone."),
                    "Detach the display; attach it again when the virtual machine runs.");
  }
  return std::nullopt;
}

StateReport StateOfEncodeError(const absl::Status& error) {
  if (error.code() == absl::StatusCode::kUnimplemented) return UnsupportedFormat(error);
  if (error.code() == absl::StatusCode::kFailedPrecondition) return ImportFailed(error);
  return Report(DisplayState::kEncoderFailed, MessageOf(error, "The encoder failed."),
                "Planecast keeps trying; if it does not recover, choose another encoder in the "
                "daemon's config.");
}

}  // namespace planecast
