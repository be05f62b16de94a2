// The two ways in which H.264 writes macroblocks.
#pragma once

#include <memory>

#include "encoder/testing/va_driver/bit_sink.h"
#include "encoder/testing/va_driver/macroblock.h"

namespace planecast::sw_va {

/// What entropy coding needs to know of a slice.
struct EntropyParams {
  bool intra_slice = false;
  bool transform_8x8_mode = false;
  int slice_qp = 26;
  int cabac_init_idc = 0;
  /// More than one reference may be named, so each macroblock names its own: the first.
  bool names_reference = false;
};

/// Writes the macroblocks of one slice. Thread-compatible.
class EntropyWriter {
 public:
  virtual ~EntropyWriter() = default;
  /// One macroblock; `levels` are those of context.current. `last` of the slice.
  virtual void Write(const MacroblockContext& context, const MacroblockLevels& levels,
                     bool last) = 0;
};

/// `sink` holds the slice header; after the last macroblock it holds the slice, byte-aligned.
std::unique_ptr<EntropyWriter> MakeCavlcWriter(const EntropyParams& params, BitSink& sink);
std::unique_ptr<EntropyWriter> MakeCabacWriter(const EntropyParams& params, BitSink& sink);

}  // namespace planecast::sw_va
