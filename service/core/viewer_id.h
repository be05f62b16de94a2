// Secret names of viewers.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace planecast {

/// 128 random bits from the kernel as 32 hexadecimal digits. UNAVAILABLE if the kernel has none.
absl::StatusOr<std::string> MakeViewerId();

}  // namespace planecast
