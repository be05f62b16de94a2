// Dma-bufs as VA surfaces, without a copy.
#pragma once

#include <va/va.h>

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "encoder/va/va_display.h"
#include "vfio/frame.h"

namespace planecast {

/// The surfaces of the buffers that are flipped among, by PlaneBuffer::serial.
///
/// A surface holds the dma-buf in the kernel, so that its id can't come to mean another buffer
/// meanwhile; it goes with the first call after the plane has let the buffer go. Refusals are
/// remembered too: a driver says the same each time. Bound to one thread.
class VaImports {
 public:
  /// Entries at most; a guest flips among two or three buffers.
  static constexpr size_t kEntriesMax = 64;

  explicit VaImports(std::shared_ptr<VaDisplay> display) : display_(std::move(display)) {}

  /// The surface of a buffer. UNIMPLEMENTED if VA has no name for its format, FAILED_PRECONDITION
  /// if it is no dma-buf or if the driver refuses it.
  ///
  /// Nothing may be in flight: surfaces of buffers that are gone are destroyed here.
  absl::StatusOr<VASurfaceID> Get(const std::shared_ptr<const PlaneBuffer>& buffer);
  /// Destroys the surfaces of buffers that are gone. Nothing may be in flight.
  void Sweep();

 private:
  struct Entry {
    std::weak_ptr<const PlaneBuffer> buffer;
    VaSurface surface;
    absl::Status refusal;
  };
  absl::StatusOr<VaSurface> Import(const PlaneBuffer& buffer);

  const std::shared_ptr<VaDisplay> display_;
  std::unordered_map<uint64_t, Entry> entries_;
};

}  // namespace planecast
