#include "tests/bench/va_meter.h"

#include <dlfcn.h>
#include <va/va.h>

#include "tests/bench/bench.h"

namespace planecast::bench {
namespace {

thread_local VaMeter meter;

/// Counts from construction to destruction.
class Inside {
 public:
  Inside() : start_ns_(ThreadCpuNs()) {}
  ~Inside() {
    meter.inside_ns += ThreadCpuNs() - start_ns_;
    ++meter.calls;
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  const int64_t start_ns_;
};

/// libva's own function of that name.
template <typename Function>
Function* Real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

VaMeter ThreadVaMeter() {
  return meter;
}

}  // namespace planecast::bench

// These stand before libva's for whatever is linked into the same program.
#define PLANECAST_METER(name, parameters, arguments)                        \
  extern "C" VAStatus name parameters {                                     \
    static const auto real = planecast::bench::Real<decltype(name)>(#name); \
    const planecast::bench::Inside inside;                                  \
    return real arguments;                                                  \
  }

PLANECAST_METER(vaBeginPicture, (VADisplay display, VAContextID context, VASurfaceID target),
                (display, context, target))
PLANECAST_METER(vaRenderPicture,
                (VADisplay display, VAContextID context, VABufferID* buffers, int count),
                (display, context, buffers, count))
PLANECAST_METER(vaEndPicture, (VADisplay display, VAContextID context), (display, context))
PLANECAST_METER(vaCreateBuffer,
                (VADisplay display, VAContextID context, VABufferType type, unsigned int size,
                 unsigned int count, void* data, VABufferID* buffer),
                (display, context, type, size, count, data, buffer))
PLANECAST_METER(vaDestroyBuffer, (VADisplay display, VABufferID buffer), (display, buffer))
PLANECAST_METER(vaMapBuffer, (VADisplay display, VABufferID buffer, void** data),
                (display, buffer, data))
PLANECAST_METER(vaUnmapBuffer, (VADisplay display, VABufferID buffer), (display, buffer))
PLANECAST_METER(vaSyncSurface, (VADisplay display, VASurfaceID surface), (display, surface))
PLANECAST_METER(vaSyncBuffer, (VADisplay display, VABufferID buffer, uint64_t timeout_ns),
                (display, buffer, timeout_ns))
