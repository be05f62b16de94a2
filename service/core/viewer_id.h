// Secret names of viewers.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace planecast {

/// 128 random bits from the kernel as 32 hexadecimal digits. UNAVAILABLE if the kernel has none.
absl::StatusOr<std::string> MakeViewerId();

/// The text could be an id from MakeViewerId.
bool IsViewerId(std::string_view text);

}  // namespace planecast
