// One description of a stream and of a picture, and all that is made of it for the driver:
// parameter buffers and packed headers can't disagree, since they come from the same numbers. Pure.
#pragma once

#include <va/va.h>
#include <va/va_enc_h264.h>

#include <cstdint>
#include <vector>

#include "encoder/encoder.h"
#include "encoder/h264/h264_headers.h"
#include "encoder/va/va_policy.h"

namespace planecast {

/// What stays the same for the life of an encoder.
struct VaStream {
  SequenceParameterSet sps;
  PictureParameterSet pps;
  int frame_rate_hz = 60;
};

/// The stream that an encoder makes at this visible size.
VaStream MakeVaStream(const StreamContract& contract, H264Profile profile, bool transform_8x8);

/// One picture: an IDR, or P with the picture before as its only reference.
struct VaPicture {
  bool idr = false;
  /// Pictures since the IDR.
  uint32_t number = 0;
  /// 0 or 1, another one for each IDR.
  uint32_t idr_pic_id = 0;
  /// SliceQPY.
  int quantizer = 26;
  VASurfaceID reconstruction = VA_INVALID_SURFACE;
  VASurfaceID reference = VA_INVALID_SURFACE;
  VABufferID coded = VA_INVALID_ID;
};

VAEncSequenceParameterBufferH264 MakeSequenceParams(const VaStream& stream, int64_t bitrate_bps);
VAEncPictureParameterBufferH264 MakePictureParams(const VaStream& stream, const VaPicture& picture);
VAEncSliceParameterBufferH264 MakeSliceParams(const VaStream& stream, const VaPicture& picture);

/// A packed header as the driver takes it: start code, NAL unit with emulation prevention.
struct VaPackedHeader {
  /// VAEncPackedHeaderType.
  uint32_t type = 0;
  std::vector<uint8_t> bytes;
  uint32_t size_bits = 0;
};
/// SPS and PPS of an IDR, and the slice header of every picture, in the order of the stream.
std::vector<VaPackedHeader> MakePackedHeaders(const VaStream& stream, const VaPicture& picture);

/// A miscellaneous parameter with its type, as one buffer.
template <typename T>
struct VaMisc {
  VAEncMiscParameterType type;
  T value;
};
/// The rate is a cap, and pictures are no finer than asked for, so that a screen that stands still
/// is not coded anew for ever. `initial_quantizer` is a guess for the first picture.
VaMisc<VAEncMiscParameterRateControl> MakeRateControl(const RateParams& rate,
                                                      int initial_quantizer);
VaMisc<VAEncMiscParameterHRD> MakeHrd(const RateParams& rate, const VaPolicy& policy,
                                      int frame_rate_hz);
VaMisc<VAEncMiscParameterFrameRate> MakeFrameRate(int frame_rate_hz);

}  // namespace planecast
