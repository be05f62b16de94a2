// One picture as the worker codes it: no handles any more, only what they meant.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "encoder/testing/va_driver/driver.h"
#include "encoder/testing/va_driver/headers.h"

namespace planecast::sw_va {

/// What rate control goes by; bits_per_frame 0 is CQP.
struct CodingRate {
  double bits_per_frame = 0;
  /// A picture that is kept below: the HRD buffer.
  double bits_max = 0;
  int initial_qp = 0;
  int min_qp = 0;
  int max_qp = 51;
};

struct CodingJob {
  uint64_t number = 0;
  SpsFields sps;
  PpsFields pps;
  /// SPS, PPS and the like, as they go into the stream.
  std::vector<uint8_t> prefix;
  struct Slice {
    SliceFields fields;
    uint32_t mb_count = 0;
    uint8_t nal_header = 0;
    /// The client's header; empty if the driver writes one.
    std::vector<uint8_t> header;
    size_t header_bits = 0;
  };
  std::vector<Slice> slices;
  std::shared_ptr<Surface> source;
  std::shared_ptr<Surface> reference;
  std::shared_ptr<Surface> reconstruction;
  std::shared_ptr<CodedData> coded;
  size_t coded_size_max = 0;
  CodingRate rate;
  std::shared_ptr<EncodeState::Brc> brc;
  std::vector<int8_t> mb_qp_offsets;
  bool fill = false;
  bool overflow = false;
  bool bad_bitstream = false;
  std::string dump_path;
};

CodingRate RateOf(const Config& config, const EncodeState& state);
/// Differences of the quantiser by macroblock that regions of interest ask for.
std::vector<int8_t> RegionOffsets(const PictureInput& input, const SpsFields& sps);
void RunCodingJob(const CodingJob& job);

}  // namespace planecast::sw_va
