// When each picture of a recording is shown.
#pragma once

#include <cstdint>
#include <optional>

#include "planecast/v1/viewer_service.pb.h"

namespace planecast::cli {

/// Places pictures on the recording's own time, which begins with the first picture.
///
/// Flip times are exact but on the server's clock, which may start afresh when the server does; the
/// client's clock says how much time passed between two connections and since the last picture.
/// All times in ns. Thread-compatible.
class Timeline {
 public:
  /// A connection began or a picture's size changed, at this time of the server's clock.
  void OnStarted(int64_t server_time_ns);
  /// The connection broke: flip times before and after can't be compared.
  void OnDisconnected() { rebase_ = true; }
  /// The time of a picture that arrived at `now_ns` of the client's clock. Later than any before.
  int64_t Place(const v1::AccessUnit& unit, int64_t now_ns);
  /// The recording's length at `now_ns` of the client's clock.
  int64_t LengthAt(int64_t now_ns) const;
  /// Whether there was a picture.
  bool began() const { return last_arrival_ns_.has_value(); }

 private:
  int64_t started_ns_ = 0;
  int64_t base_ns_ = 0;  // Of the server's clock at the recording's begin.
  int64_t last_ns_ = 0;
  std::optional<int64_t> last_arrival_ns_;
  bool rebase_ = false;
};

}  // namespace planecast::cli
