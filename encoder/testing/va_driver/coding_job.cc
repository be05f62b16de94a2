#include "encoder/testing/va_driver/coding_job.h"

#include <algorithm>
#include <cmath>

#include "encoder/testing/va_driver/picture_coder.h"

namespace planecast::sw_va {
namespace {

constexpr uint8_t kFillerNal = 0x0c;
constexpr int kFirstQp = 28;
// How fast rate control makes up for what it sent too much, in frames.
constexpr double kCorrectionFrames = 8;
constexpr double kComplexityWeight = 0.5;

Nv12Picture PictureOf(const Surface& surface) {
  const Nv12Image image = surface.nv12();
  return {image.y, image.uv, image.y_pitch_bytes, image.uv_pitch_bytes};
}

/// The finest quantiser at which the picture is likely to keep within its share.
int ChooseQp(const CodingRate& rate, EncodeState::Brc& brc) {
  const int low = std::max(rate.min_qp, 1);
  const int high = rate.max_qp > 0 ? rate.max_qp : 51;
  if (brc.complexity == 0)
    return std::clamp(rate.initial_qp > 0 ? rate.initial_qp : kFirstQp, low, high);
  const double allowance =
      std::max(rate.bits_per_frame - brc.level_bits / kCorrectionFrames, rate.bits_per_frame / 8);
  int qp = low;
  while (qp < high && brc.complexity * std::pow(2.0, -qp / 6.0) > allowance) ++qp;
  return qp;
}

void Account(const CodingRate& rate, int qp, size_t bytes, EncodeState::Brc& brc) {
  const double bits = static_cast<double>(bytes) * 8;
  const double complexity = bits * std::pow(2.0, qp / 6.0);
  brc.complexity = brc.complexity == 0
                       ? complexity
                       : brc.complexity + (complexity - brc.complexity) * kComplexityWeight;
  brc.level_bits = std::max(brc.level_bits + bits - rate.bits_per_frame, -4 * rate.bits_per_frame);
}

void AppendFiller(size_t bytes, std::vector<uint8_t>& stream) {
  std::vector<uint8_t> rbsp(bytes, 0xff);
  rbsp.push_back(0x80);
  AppendNal(kFillerNal, rbsp, stream);
}

void Dump(const CodingJob& job) {
  std::FILE* file = std::fopen(job.dump_path.c_str(), "ab");
  if (file == nullptr) return;
  const Nv12Image image = job.reconstruction->nv12();
  const size_t width = size_t{job.sps.width_mbs} * 16;
  const size_t height = size_t{job.sps.height_mbs} * 16;
  for (size_t line = 0; line < height; ++line) {
    std::fwrite(image.y + line * image.y_pitch_bytes, 1, width, file);
  }
  std::vector<uint8_t> chroma(width / 2);
  for (size_t plane = 0; plane < 2; ++plane) {
    for (size_t line = 0; line < height / 2; ++line) {
      const uint8_t* uv = image.uv + line * image.uv_pitch_bytes + plane;
      for (size_t x = 0; x < width / 2; ++x) chroma[x] = uv[x * 2];
      std::fwrite(chroma.data(), 1, chroma.size(), file);
    }
  }
  std::fclose(file);
}

BitSink HeaderOf(const CodingJob& job, const CodingJob::Slice& slice) {
  BitSink sink;
  if (slice.header.empty()) {
    OwnSliceHeader(slice.fields, job.sps, job.pps, sink);
    return sink;
  }
  for (size_t bit = 0; bit < slice.header_bits; ++bit) {
    sink.Bits(slice.header[bit / 8] >> (7 - bit % 8) & 1, 1);
  }
  return sink;
}

}  // namespace

CodingRate RateOf(const Config& config, const EncodeState& state) {
  if (config.rate_control == VA_RC_CQP) return {};
  const double percentage =
      config.rate_control == VA_RC_VBR ? state.target_percentage / 100.0 : 1.0;
  const double fps = static_cast<double>(state.frame_rate_num) / state.frame_rate_den;
  return {.bits_per_frame = state.bits_per_second * percentage / fps,
          .bits_max = static_cast<double>(state.hrd_size_bits),
          .initial_qp = static_cast<int>(state.initial_qp),
          .min_qp = static_cast<int>(std::min(state.min_qp, 51u)),
          .max_qp = state.max_qp > 0 ? static_cast<int>(std::min(state.max_qp, 51u)) : 51};
}

std::vector<int8_t> RegionOffsets(const PictureInput& input, const SpsFields& sps) {
  if (input.regions.empty() || !input.regions_are_delta) return {};
  std::vector<int8_t> offsets(size_t{sps.width_mbs} * sps.height_mbs, 0);
  for (const VAEncROI& region : input.regions) {
    const VARectangle& r = region.roi_rectangle;
    for (uint32_t y = 0; y < sps.height_mbs; ++y) {
      for (uint32_t x = 0; x < sps.width_mbs; ++x) {
        const int px = static_cast<int>(x) * 16 + 8;
        const int py = static_cast<int>(y) * 16 + 8;
        const bool inside = px >= r.x && py >= r.y && px < r.x + r.width && py < r.y + r.height;
        if (inside) offsets[size_t{y} * sps.width_mbs + x] = region.roi_value;
      }
    }
  }
  return offsets;
}

void RunCodingJob(const CodingJob& job) {
  PictureCoder coder(
      {.width_mbs = job.sps.width_mbs,
       .height_mbs = job.sps.height_mbs,
       .cabac = job.pps.cabac,
       .transform_8x8_mode = job.pps.transform_8x8,
       .constrained_intra_pred = job.pps.constrained_intra,
       .chroma_qp_index_offset = job.pps.cb_qp_offset,
       .second_chroma_qp_index_offset = job.pps.cr_qp_offset,
       .source = PictureOf(*job.source),
       .reference = job.reference != nullptr ? PictureOf(*job.reference) : Nv12Picture(),
       .reconstruction = PictureOf(*job.reconstruction)});
  const bool brc = job.rate.bits_per_frame > 0;
  const int brc_qp = brc ? ChooseQp(job.rate, *job.brc) : 0;
  std::vector<uint8_t> stream = job.prefix;
  uint64_t qp_sum = 0;
  for (const CodingJob::Slice& slice : job.slices) {
    BitSink sink = HeaderOf(job, slice);
    const int slice_qp = job.pps.initial_qp + slice.fields.qp_delta;
    const SliceResult result = coder.CodeSlice(
        {.intra = slice.fields.type == 2,
         .first_mb = slice.fields.first_mb,
         .mb_count = slice.mb_count,
         .slice_qp = slice_qp,
         .target_qp = brc ? brc_qp : slice_qp,
         .mb_qp_offsets = job.mb_qp_offsets,
         .cabac_init_idc = static_cast<int>(slice.fields.cabac_init_idc),
         .ref_idx_l0_active_minus1 = static_cast<int>(slice.fields.references_l0) - 1,
         .deblocking_idc = static_cast<int>(slice.fields.deblocking_idc),
         .alpha_c0_offset = slice.fields.alpha_offset_div2 * 2,
         .beta_offset = slice.fields.beta_offset_div2 * 2},
        sink);
    qp_sum += result.qp_sum;
    AppendNal(slice.nal_header, sink.bytes(), stream);
  }
  coder.Finish();
  if (!job.dump_path.empty()) Dump(job);
  if (brc) Account(job.rate, brc_qp, stream.size(), *job.brc);
  if (job.fill && static_cast<double>(stream.size()) * 8 < job.rate.bits_per_frame) {
    AppendFiller(static_cast<size_t>(job.rate.bits_per_frame / 8) - stream.size(), stream);
  }
  CodedData& coded = *job.coded;
  coded.status =
      static_cast<uint32_t>(qp_sum / (uint64_t{job.sps.width_mbs} * job.sps.height_mbs)) &
      VA_CODED_BUF_STATUS_PICTURE_AVE_QP_MASK;
  coded.bytes = std::move(stream);
  if (job.overflow || coded.bytes.size() > job.coded_size_max) {
    coded.status |= VA_CODED_BUF_STATUS_SLICE_OVERFLOW_MASK;
    coded.bytes.resize(std::min<size_t>(coded.bytes.size() / 2, job.coded_size_max));
  }
  if (job.bad_bitstream) coded.status |= VA_CODED_BUF_STATUS_BAD_BITSTREAM;
}

}  // namespace planecast::sw_va
