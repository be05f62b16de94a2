// What tests ask the loaded driver. Plain C, so that it can be found by dlsym.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Counts of the whole process. `alive` ones go down again.
struct planecast_sw_counters {
  uint64_t displays_alive;
  uint64_t configs_alive;
  uint64_t contexts_alive;
  uint64_t surfaces_alive;
  uint64_t buffers_alive;
  uint64_t images_alive;
  // Dma-bufs imported as surfaces.
  uint64_t imports;
  uint64_t imports_alive;
  // Ways in which the CPU can touch pixels.
  uint64_t derived_images;
  uint64_t put_images;
  uint64_t get_images;
  uint64_t image_maps;
  uint64_t coded_buffer_maps;
  uint64_t coded_pictures;
  uint64_t processed_pictures;
  uint64_t rejected_calls;
};

// Thread-safe.
void planecast_sw_get_counters(struct planecast_sw_counters* counters);
// Why the last rejected call of any display was rejected; at most `size` bytes with the end mark.
// Thread-safe.
void planecast_sw_last_rejection(char* text, size_t size);

#ifdef __cplusplus
}
#endif
