// A dma-buf to draw into, from whatever this host has.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "vfio/frame.h"

namespace planecast::vacheck {

/// A linear XRGB8888 buffer that a GPU can import and that this program can draw into.
class TestDmabuf {
 public:
  /// From /dev/udmabuf, else as a dumb buffer of the card that the render node belongs to, else, on
  /// the software driver's node alone, plain shared memory. UNAVAILABLE with what was tried.
  static absl::StatusOr<std::unique_ptr<TestDmabuf>> Make(const std::string& render_node,
                                                          uint32_t width_px, uint32_t height_px);
  virtual ~TestDmabuf() = default;

  /// Where the memory is from, for the report.
  virtual const std::string& origin() const = 0;
  virtual const std::shared_ptr<const PlaneBuffer>& buffer() const = 0;
  /// Copies a picture of the same layout without padding into it.
  virtual absl::Status Draw(std::span<const uint8_t> xrgb) = 0;
};

}  // namespace planecast::vacheck
