// Scenes that only the bench needs: one kind of change at a time, and nothing else on screen.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "vfio/fake/scene.h"

namespace planecast::bench {

/// Where guests of the bench begin: a second before the desktop's window is dragged.
inline constexpr uint64_t kFirstFrame = 180;

/// Makes a scene: "typing" (15 letters a second and a caret that blinks), "scroll" (1036x864 of
/// text, one line a frame), "cursor" (a test card under a pointer that moves), or any name that the
/// fake device knows. Bench scenes carry no frame code: it would change in every frame.
absl::StatusOr<std::unique_ptr<Scene>> MakeBenchScene(std::string_view name, uint32_t width_px,
                                                      uint32_t height_px, int frame_rate_hz);

}  // namespace planecast::bench
