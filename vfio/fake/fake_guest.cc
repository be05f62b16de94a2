#include "vfio/fake/fake_guest.h"

#include <drm_fourcc.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "vfio/fake/fake_state.h"

namespace planecast {
namespace {

/// mbochs: the sample driver's largest type has 64 MiB; ours has room for three 4K buffers.
constexpr uint64_t kVideoMemoryBytes = uint64_t{256} << 20;
constexpr int kBuffersMax = 3;

uint64_t SurfaceBytes(FakeProfile profile, const PlaneLayout& layout) {
  const uint32_t tile_lines = TileOf(layout.modifier).height_lines;
  const uint64_t lines = (layout.height_px + tile_lines - 1) / tile_lines * tile_lines;
  const uint64_t bytes = uint64_t{layout.stride_bytes} * lines;
  return profile == FakeProfile::kIdeal ? RoundUpToPage(bytes) : bytes;
}

/// The dma-buf of mbochs ends with the plane, the others end with a page.
uint64_t MemoryBytes(FakeProfile profile, const PlaneLayout& layout) {
  return profile == FakeProfile::kMbochs ? layout.size_bytes : RoundUpToPage(layout.size_bytes);
}

absl::StatusOr<PlaneLayout> LayoutOf(const FakeState& state, const FakeMode& mode) {
  const FakeProfile profile = state.options.profile;
  PlaneLayout layout{.fourcc = mode.fourcc,
                     .modifier = mode.modifier.value_or(state.traits.default_modifier),
                     .width_px = mode.width_px,
                     .height_px = mode.height_px};
  if (mode.width_px == 0 || mode.height_px == 0 || mode.width_px > kPlaneWidthMaxPx ||
      mode.height_px > kPlaneHeightMaxPx) {
    return absl::InvalidArgumentError(
        absl::StrCat("no guest has a mode of ", mode.width_px, "x", mode.height_px));
  }
  if (!FakeSupportsFormat(profile, layout.fourcc, layout.modifier)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", std::string(state.traits.name), " profile has no planes in ",
                     FourccName(layout.fourcc), " with modifier ", layout.modifier));
  }
  const uint32_t least_bytes =
      FakeStrideBytes(profile, mode.width_px, layout.fourcc, layout.modifier);
  layout.stride_bytes = mode.stride_bytes == 0 ? least_bytes : mode.stride_bytes;
  const bool whole_tiles = layout.stride_bytes % TileOf(layout.modifier).width_bytes == 0;
  if (layout.stride_bytes < mode.width_px * BytesPerPixel(layout.fourcc) || !whole_tiles ||
      layout.stride_bytes > 2 * kPlaneWidthMaxPx * 4) {
    return absl::InvalidArgumentError(
        absl::StrCat("a stride of ", layout.stride_bytes, " bytes does not fit the mode"));
  }
  layout.size_bytes = SurfaceBytes(profile, layout);
  return layout;
}

}  // namespace

void FakeState::WakeGuest() {
  if (wakeup) deferred.push_back(wakeup);
}

void FakeState::ResetDevice() {
  mode = {};
  buffers.clear();
  shown = 0;
  enabled = false;
  invalid.reset();
  panned.reset();
  cursor = {};
  edid.link_state = 0;
  edid_due_ns = std::numeric_limits<int64_t>::max();
  ForgetSurfaces();
  WakeGuest();
}

void FakeState::CursorChanged() {
  SignalCursor();
}

absl::StatusOr<PlaneLayout> FakeState::CheckMode(const FakeMode& wanted) const {
  const bool region = traits.region_plane;
  auto layout = LayoutOf(*this, wanted);
  if (!layout.ok()) return layout;
  if (wanted.buffer_count < 1 || wanted.buffer_count > kBuffersMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a guest has 1 to ", kBuffersMax, " buffers, not ", wanted.buffer_count));
  }
  const uint64_t memory_bytes = MemoryBytes(options.profile, *layout);
  const int count = region ? 1 : wanted.buffer_count;
  const uint64_t available_bytes =
      region ? RegionSizeBytes(traits.plane_region) : kVideoMemoryBytes;
  if (RoundUpToPage(memory_bytes) * count > available_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(count, " buffers of ", memory_bytes,
                                                   " bytes don't fit into ", available_bytes));
  }
  // mdpy says the size of its region, whatever the mode.
  if (options.profile == FakeProfile::kMdpy) layout->size_bytes = available_bytes;
  return layout;
}

absl::StatusOr<std::vector<FakeSurface>> FakeState::AllocateBuffers(const FakeMode& wanted) {
  const FakeProfile profile = options.profile;
  const bool region = traits.region_plane;
  const auto layout = CheckMode(wanted);
  if (!layout.ok()) return layout.status();
  const uint64_t memory_bytes = MemoryBytes(profile, *layout);
  const int count = region ? 1 : wanted.buffer_count;
  std::vector<FakeSurface> surfaces(count);
  for (int i = 0; i < count; ++i) {
    FakeSurface& surface = surfaces[i];
    surface.layout = *layout;
    if (region) {
      surface.memory = region_memory;
    } else if (profile == FakeProfile::kMbochs) {
      surface.address_bytes = i * RoundUpToPage(memory_bytes);
      surface.memory = video_memory[{surface.address_bytes, memory_bytes}];
    } else {
      surface.address_bytes = next_address_bytes;
      next_address_bytes += memory_bytes;
    }
    if (surface.memory != nullptr) {
      const uint64_t plane_bytes = uint64_t{layout->stride_bytes} * layout->height_px;
      std::memset(surface.memory->bytes().data(), 0, plane_bytes);
      continue;
    }
    surface.memory = FakeMemory::Create(memory_bytes);
    if (surface.memory == nullptr) return absl::ResourceExhaustedError("no memory for a buffer");
    if (profile != FakeProfile::kMbochs) continue;
    video_memory[{surface.address_bytes, memory_bytes}] = surface.memory;
  }
  return surfaces;
}

absl::Status FakeGuest::SetMode(const FakeMode& mode, const PaintFunction& first_picture) {
  auto surfaces = state_.Locked([&] { return state_.AllocateBuffers(mode); });
  if (!surfaces.ok()) return surfaces.status();
  const FakeSurface first = surfaces->front();
  if (first_picture) first_picture(first.memory->bytes(), first.layout);
  state_.Locked([&] {
    state_.mode = mode;
    state_.mode.modifier = first.layout.modifier;
    state_.mode.stride_bytes = first.layout.stride_bytes;
    state_.mode.buffer_count = static_cast<int>(surfaces->size());
    state_.buffers = *std::move(surfaces);
    state_.shown = 0;
    state_.ever_had_mode = true;
    state_.enabled = true;
    state_.invalid.reset();
    state_.panned.reset();
    state_.ForgetSurfaces();
    state_.SignalFlip();
  });
  return absl::OkStatus();
}

absl::Status FakeGuest::CheckMode(const FakeMode& mode) const {
  const std::lock_guard lock(state_.mutex);
  return state_.CheckMode(mode).status();
}

FakeMode FakeGuest::mode() const {
  const std::lock_guard lock(state_.mutex);
  return state_.mode;
}

PlaneLayout FakeGuest::layout() const {
  const std::lock_guard lock(state_.mutex);
  return state_.buffers.empty() ? PlaneLayout{} : state_.buffers[0].layout;
}

int FakeGuest::buffer_count() const {
  const std::lock_guard lock(state_.mutex);
  return static_cast<int>(state_.buffers.size());
}

int FakeGuest::shown_buffer() const {
  const std::lock_guard lock(state_.mutex);
  return state_.shown;
}

void FakeGuest::Paint(int buffer, const PaintFunction& paint) {
  FakeSurface surface;
  {
    const std::lock_guard lock(state_.mutex);
    if (buffer < 0 || buffer >= static_cast<int>(state_.buffers.size())) return;
    const bool panned = state_.panned.has_value() && buffer == state_.shown;
    surface = panned ? *state_.panned : state_.buffers[buffer];
  }
  paint(surface.memory->bytes(), surface.layout);
}

void FakeGuest::Flip(int buffer) {
  state_.Locked([&] {
    if (buffer < 0 || buffer >= static_cast<int>(state_.buffers.size())) return;
    state_.shown = buffer;
    state_.invalid.reset();
    state_.panned.reset();
    if (state_.enabled) state_.SignalFlip();
  });
}

void FakeGuest::Pan(uint64_t offset_bytes) {
  state_.Locked([&] {
    if (state_.options.profile != FakeProfile::kMbochs || state_.buffers.empty()) return;
    FakeSurface surface = state_.buffers[0];
    surface.address_bytes = offset_bytes;
    auto& memory = state_.video_memory[{offset_bytes, surface.layout.size_bytes}];
    if (memory == nullptr) memory = FakeMemory::Create(surface.layout.size_bytes);
    if (memory == nullptr) return;
    surface.memory = memory;
    state_.panned = std::move(surface);
    state_.SignalFlip();
  });
}

void FakeGuest::Vblank() {
  const std::lock_guard lock(state_.mutex);
  if (state_.enabled) state_.SignalVblank();
}

void FakeGuest::Disable() {
  const std::lock_guard lock(state_.mutex);
  state_.enabled = false;
  state_.SignalFlip();
}

void FakeGuest::Enable() {
  const std::lock_guard lock(state_.mutex);
  state_.enabled = !state_.buffers.empty();
  state_.invalid.reset();
  state_.SignalFlip();
}

void FakeGuest::ShowInvalidSurface(FakeInvalidSurface what) {
  const std::lock_guard lock(state_.mutex);
  state_.invalid = what;
  state_.SignalFlip();
}

void FakeGuest::Reset() {
  state_.Locked([&] { state_.ResetDevice(); });
}

// --- Cursor.

absl::Status FakeGuest::SetCursor(const FakeCursorImage& image) {
  const bool square_power =
      image.width_px == image.height_px &&
      (image.width_px == 64 || image.width_px == 128 || image.width_px == 256);
  const bool gvt = state_.options.profile == FakeProfile::kGvt;
  const uint64_t pixels = uint64_t{image.width_px} * image.height_px;
  if (!state_.traits.cursor_plane) {
    return absl::InvalidArgumentError("this profile has no cursor plane");
  }
  if (pixels == 0 || image.width_px > kCursorSizeMaxPx || image.height_px > kCursorSizeMaxPx ||
      pixels != image.argb.size() || (gvt && !square_power)) {
    return absl::InvalidArgumentError(absl::StrCat("no cursor can be ", image.width_px, "x",
                                                   image.height_px, " with ", image.argb.size(),
                                                   " pixels"));
  }
  auto memory = FakeMemory::Create(RoundUpToPage(pixels * 4));
  if (memory == nullptr) return absl::ResourceExhaustedError("no memory for a cursor");
  std::memcpy(memory->bytes().data(), image.argb.data(), pixels * 4);
  state_.Locked([&] {
    FakeCursorState& cursor = state_.cursor;
    cursor.surface.layout = {.fourcc = DRM_FORMAT_ARGB8888,
                             .modifier = DRM_FORMAT_MOD_LINEAR,
                             .width_px = image.width_px,
                             .height_px = image.height_px,
                             .stride_bytes = image.width_px * 4};
    cursor.surface.layout.size_bytes = SurfaceBytes(state_.options.profile, cursor.surface.layout);
    cursor.surface.address_bytes = state_.next_address_bytes;
    state_.next_address_bytes += memory->size_bytes();
    cursor.surface.memory = std::move(memory);
    cursor.x_hot_px = image.x_hot_px;
    cursor.y_hot_px = image.y_hot_px;
    cursor.visible = true;
    state_.ForgetSurfaces();
    state_.CursorChanged();
  });
  return absl::OkStatus();
}

void FakeGuest::RepaintCursor(std::span<const uint32_t> argb) {
  state_.Locked([&] {
    const auto& memory = state_.cursor.surface.memory;
    if (memory == nullptr || argb.size_bytes() > memory->size_bytes()) return;
    std::memcpy(memory->bytes().data(), argb.data(), argb.size_bytes());
    state_.CursorChanged();
  });
}

void FakeGuest::MoveCursor(int32_t x_px, int32_t y_px) {
  const std::lock_guard lock(state_.mutex);
  if (state_.cursor.x_px == x_px && state_.cursor.y_px == y_px) return;
  state_.cursor.x_px = x_px;
  state_.cursor.y_px = y_px;
  if (state_.cursor.visible) state_.CursorChanged();
}

void FakeGuest::HideCursor() {
  const std::lock_guard lock(state_.mutex);
  state_.cursor.visible = false;
  state_.CursorChanged();
}

void FakeGuest::ShowCursor() {
  const std::lock_guard lock(state_.mutex);
  state_.cursor.visible = state_.cursor.surface.memory != nullptr;
  state_.CursorChanged();
}

// --- What the guest's thread asks.

void FakeGuest::SetWakeup(std::function<void()> wakeup) {
  const std::lock_guard lock(state_.mutex);
  state_.wakeup = std::move(wakeup);
}

bool FakeGuest::device_open() const {
  const std::lock_guard lock(state_.mutex);
  return state_.bound_device_files > 0;
}

int64_t FakeGuest::last_interest_ns() const {
  const std::lock_guard lock(state_.mutex);
  return state_.events_armed() ? std::numeric_limits<int64_t>::max() : state_.last_query_ns;
}

bool FakeGuest::wants_vblanks() const {
  const std::lock_guard lock(state_.mutex);
  return state_.signals_vblanks() && state_.events_armed();
}

// --- Faults.

void FakeGuest::FailQueries(int error, int count, int skip) {
  const std::lock_guard lock(state_.mutex);
  state_.query_fault = {.error = error, .count = count, .skip = skip};
}

void FakeGuest::FailCursorQueries(int error, int count, int skip) {
  const std::lock_guard lock(state_.mutex);
  state_.cursor_query_fault = {.error = error, .count = count, .skip = skip};
}

void FakeGuest::FailGets(int error, int count, int skip) {
  const std::lock_guard lock(state_.mutex);
  state_.get_fault = {.error = error, .count = count, .skip = skip};
}

void FakeGuest::FailMmaps(int error, int count, int skip) {
  const std::lock_guard lock(state_.mutex);
  state_.mmap_fault = {.error = error, .count = count, .skip = skip};
}

void FakeGuest::CorruptPlanes(std::function<void(abi::GfxPlaneInfo&)> corrupt) {
  const std::lock_guard lock(state_.mutex);
  state_.corrupt = std::move(corrupt);
}

void FakeGuest::AfterNextQuery(std::function<void()> action) {
  const std::lock_guard lock(state_.mutex);
  state_.after_next_query = std::move(action);
}

void FakeGuest::Unplug() {
  state_.Locked([&] { state_.unplugged = true; });
}

}  // namespace planecast
