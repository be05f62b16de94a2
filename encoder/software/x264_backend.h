// H.264 by x264.
#pragma once

#include "encoder/software/h264_backend.h"

namespace planecast {

BackendInfo X264BackendInfo();

}  // namespace planecast
