// Ownership of VA objects.
#pragma once

#include <va/va.h>

#include <utility>

#include "absl/status/status.h"

namespace planecast {

/// What a VA call failed with, for a person. OK for success; DEADLINE_EXCEEDED for a timeout; else
/// INTERNAL. `what` is what was tried, e.g. "create a surface".
absl::Status VaStatus(VAStatus status, const char* what);

/// Owns one VA object and destroys it. Move-only; the display must outlive it. Thread-compatible.
template <VAStatus (*Destroy)(VADisplay, VAGenericID)>
class VaHandle {
 public:
  VaHandle() = default;
  VaHandle(VADisplay display, VAGenericID id) : display_(display), id_(id) {}
  VaHandle(VaHandle&& other) noexcept
      : display_(other.display_), id_(std::exchange(other.id_, VA_INVALID_ID)) {}
  VaHandle& operator=(VaHandle&& other) noexcept {
    if (this == &other) return *this;
    Reset();
    display_ = other.display_;
    id_ = std::exchange(other.id_, VA_INVALID_ID);
    return *this;
  }
  VaHandle(const VaHandle&) = delete;
  VaHandle& operator=(const VaHandle&) = delete;
  ~VaHandle() { Reset(); }

  VAGenericID id() const { return id_; }
  bool valid() const { return id_ != VA_INVALID_ID; }
  void Reset() {
    // Nothing can be done about an object that a broken driver keeps.
    if (valid()) Destroy(display_, std::exchange(id_, VA_INVALID_ID));
  }

 private:
  VADisplay display_ = nullptr;
  VAGenericID id_ = VA_INVALID_ID;
};

inline VAStatus DestroyVaSurface(VADisplay display, VAGenericID id) {
  return vaDestroySurfaces(display, &id, 1);
}

using VaConfig = VaHandle<vaDestroyConfig>;
using VaContext = VaHandle<vaDestroyContext>;
using VaBuffer = VaHandle<vaDestroyBuffer>;
using VaSurface = VaHandle<DestroyVaSurface>;

}  // namespace planecast
