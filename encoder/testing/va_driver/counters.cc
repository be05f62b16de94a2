#include "encoder/testing/va_driver/counters.h"

#include <algorithm>
#include <cstring>

#include "encoder/testing/va_driver/control.h"

namespace planecast::sw_va {

Counters& GlobalCounters() {
  static Counters counters;
  return counters;
}

}  // namespace planecast::sw_va

extern "C" {

__attribute__((visibility("default"))) void planecast_sw_get_counters(planecast_sw_counters* out) {
  const auto& c = planecast::sw_va::GlobalCounters();
  *out = {c.displays_alive,    c.configs_alive,  c.contexts_alive,
          c.surfaces_alive,    c.buffers_alive,  c.images_alive,
          c.imports,           c.imports_alive,  c.derived_images,
          c.put_images,        c.get_images,     c.image_maps,
          c.coded_buffer_maps, c.coded_pictures, c.processed_pictures,
          c.rejected_calls};
}

__attribute__((visibility("default"))) void planecast_sw_last_rejection(char* text, size_t size) {
  if (size == 0) return;
  auto& c = planecast::sw_va::GlobalCounters();
  const std::lock_guard lock(c.mutex);
  const size_t length = std::min(size - 1, c.last_rejection.size());
  std::memcpy(text, c.last_rejection.data(), length);
  text[length] = 0;
}

}  // extern "C"
