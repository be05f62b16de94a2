#include "service/rpc/grpc_waker.h"

#include <grpc/support/time.h>

#include <utility>

namespace planecast {

void GrpcWaker::Wake(uint64_t id) {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  ids_.push_back(id);
  if (posted_) return;
  posted_ = true;
  // A deadline in the past is posted at once, by this thread; "now" is rounded up to a whole
  // millisecond and takes the way through the timer thread.
  alarm_.Set(queue_, gpr_inf_past(GPR_CLOCK_MONOTONIC), tag_);
}

std::vector<uint64_t> GrpcWaker::Take() {
  const std::lock_guard lock(mutex_);
  posted_ = false;
  return std::exchange(ids_, {});
}

void GrpcWaker::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

}  // namespace planecast
