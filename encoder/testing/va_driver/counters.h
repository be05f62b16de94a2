// The numbers behind control.h. Of the whole process, since a test sees the loaded driver as one.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

namespace planecast::sw_va {

/// Thread-safe.
struct Counters {
  std::atomic<uint64_t> displays_alive{0};
  std::atomic<uint64_t> configs_alive{0};
  std::atomic<uint64_t> contexts_alive{0};
  std::atomic<uint64_t> surfaces_alive{0};
  std::atomic<uint64_t> buffers_alive{0};
  std::atomic<uint64_t> images_alive{0};
  std::atomic<uint64_t> imports{0};
  std::atomic<uint64_t> imports_alive{0};
  std::atomic<uint64_t> derived_images{0};
  std::atomic<uint64_t> put_images{0};
  std::atomic<uint64_t> get_images{0};
  std::atomic<uint64_t> image_maps{0};
  std::atomic<uint64_t> coded_buffer_maps{0};
  std::atomic<uint64_t> coded_pictures{0};
  std::atomic<uint64_t> processed_pictures{0};
  std::atomic<uint64_t> rejected_calls{0};
  std::mutex mutex;
  std::string last_rejection;
};

Counters& GlobalCounters();

}  // namespace planecast::sw_va
