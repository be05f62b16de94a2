// What the config allows: defaults and ranges of its limits.
#pragma once

#include "planecast/config/v1/server_config.pb.h"
#include "service/access/shares.h"
#include "service/config/mistakes.h"

namespace planecast {

/// Gives every limit that is not set its default.
void FillLimits(config::v1::LimitsConfig& limits);

/// The shares of limits that ParseConfig gave.
ShareKeeper MakeShares(const config::v1::LimitsConfig& limits);

/// Adds what is out of range.
void CheckLimits(const Node& node, const config::v1::LimitsConfig& limits);

}  // namespace planecast
