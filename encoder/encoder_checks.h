// What encoders.cc and encoder_catalog.cc have in common.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "encoder/encoder.h"

namespace planecast {

/// The limits that encoder.h names. INVALID_ARGUMENT with what is allowed.
absl::Status CheckEncoderParams(const EncoderParams& params, const RateParams& rate);

/// As MakeEncoder, for encoders on the CPU; `degraded_reason` goes into the identity.
absl::StatusOr<std::unique_ptr<Encoder>> MakeSoftwareEncoder(std::string_view id,
                                                             const EncoderParams& params,
                                                             const RateParams& rate, Clock& clock,
                                                             const std::string& degraded_reason);

}  // namespace planecast
