// Waiting for a GPU without waiting for ever.
#pragma once

#include <va/va.h>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "encoder/va/va_display.h"

namespace planecast {

/// How long a GPU may take for one picture before it counts as hanging: 2 s. Thread-safe.
int64_t GpuTimeoutNs();
/// For tests whose GPU is software, as slow as the machine is; 0 for the usual. Thread-safe; counts
/// for encoders made from here on.
void SetGpuTimeoutForTest(int64_t timeout_ns);

/// Waits until the driver is done with a picture. Bound to one thread.
///
/// Where vaSyncBuffer works it takes the time limit itself. Elsewhere vaSyncSurface, which takes
/// none, is called on a thread of its own; a call that doesn't return within the limit stays behind
/// on that thread.
class VaWait {
 public:
  explicit VaWait(std::shared_ptr<VaDisplay> display);
  /// Joins the thread, and so may take as long as the driver does.
  ~VaWait();
  VaWait(const VaWait&) = delete;
  VaWait& operator=(const VaWait&) = delete;

  /// DEADLINE_EXCEEDED after `timeout_ns`; any other error is the driver's.
  absl::Status ForPicture(VABufferID coded, VASurfaceID surface, int64_t timeout_ns);
  /// The same for a surface alone.
  absl::Status ForSurface(VASurfaceID surface, int64_t timeout_ns);

 private:
  void Run();

  const std::shared_ptr<VaDisplay> display_;
  std::mutex mutex_;
  std::condition_variable changed_;
  VASurfaceID wanted_ = VA_INVALID_SURFACE;
  bool done_ = false;
  bool ends_ = false;
  VAStatus result_ = VA_STATUS_SUCCESS;
  /// Started when first needed.
  std::thread thread_;
};

}  // namespace planecast
