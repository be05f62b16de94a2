// H.264 by OpenH264.
#pragma once

#include "encoder/software/h264_backend.h"

namespace planecast {

BackendInfo OpenH264BackendInfo();

}  // namespace planecast
