// The software driver's macroblocks, judged by decoders that are not ours: what they decode must be
// the coder's own reconstruction, sample by sample.
#include "encoder/testing/va_driver/picture_coder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "encoder/h264/h264_bits.h"
#include "encoder/h264/h264_headers.h"
#include "tests/h264/stream_check.h"

namespace planecast::sw_va {
namespace {

using ::planecast::testing::CheckStream;
using ::planecast::testing::DecodedPicture;

/// NV12 samples that own their memory.
class Samples {
 public:
  Samples(uint32_t width_mbs, uint32_t height_mbs)
      : width_(width_mbs * 16),
        height_(height_mbs * 16),
        bytes_(size_t{width_} * height_ * 3 / 2) {}
  Nv12Picture view() {
    return {bytes_.data(), bytes_.data() + size_t{width_} * height_, width_, width_};
  }
  uint8_t& y(uint32_t x, uint32_t line) { return bytes_[size_t{line} * width_ + x]; }
  /// Cb at plane 0, Cr at plane 1.
  uint8_t& c(size_t plane, uint32_t x, uint32_t line) {
    return bytes_[size_t{width_} * (height_ + line) + x * 2 + plane];
  }
  uint32_t width() const { return width_; }
  uint32_t height() const { return height_; }
  std::vector<uint8_t>& bytes() { return bytes_; }

 private:
  uint32_t width_;
  uint32_t height_;
  std::vector<uint8_t> bytes_;
};

enum class Content { kText, kNoise, kGradient, kMotion, kFlat, kCheckers };
constexpr Content kContents[] = {Content::kText,   Content::kNoise, Content::kGradient,
                                 Content::kMotion, Content::kFlat,  Content::kCheckers};

uint32_t Hash(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t h = a * 0x9e3779b1u ^ b * 0x85ebca77u ^ c * 0xc2b2ae3du;
  h ^= h >> 15;
  h *= 0x2c1b3c6du;
  return h ^ h >> 12;
}

uint8_t Sample(Content content, uint32_t x, uint32_t y, uint32_t plane, uint32_t frame) {
  switch (content) {
    case Content::kText:
      return Hash(x / 2, y / 3, plane + 1) % 5 == 0 ? (frame * 40 + 16) % 256 : 235;
    case Content::kNoise:
      return static_cast<uint8_t>(Hash(x, y, plane + 7 * frame));
    case Content::kGradient:
      return static_cast<uint8_t>(x * 2 + y + plane * 50 + frame * 3);
    case Content::kMotion:
      return static_cast<uint8_t>(Hash((x + frame * 5) / 3, (y + 1000 - frame * 3) / 3, plane));
    case Content::kFlat:
      return static_cast<uint8_t>(100 + frame % 2 * 80);
    case Content::kCheckers:
      return (x / 4 + y / 4 + frame) % 2 == 0 ? 255 : 0;
  }
  return 0;
}

void Paint(Content content, uint32_t frame, Samples& samples) {
  for (uint32_t y = 0; y < samples.height(); ++y) {
    for (uint32_t x = 0; x < samples.width(); ++x) {
      samples.y(x, y) = Sample(content, x, y, 0, frame);
    }
  }
  for (uint32_t y = 0; y < samples.height() / 2; ++y) {
    for (uint32_t x = 0; x < samples.width() / 2; ++x) {
      for (size_t plane = 0; plane < 2; ++plane) {
        samples.c(plane, x, y) = Sample(content, x, y, static_cast<uint32_t>(plane) + 1, frame);
      }
    }
  }
}

struct CodingSetup {
  uint32_t width_mbs = 5;
  uint32_t height_mbs = 4;
  bool cabac = false;
  bool high = false;
  bool transform_8x8 = false;
  bool constrained_intra = false;
  int cb_offset = 0;
  int cr_offset = 0;
  int slice_qp = 26;
  int target_qp = 26;
  int cabac_init_idc = 0;
  uint32_t slices = 1;
  int deblocking_idc = 0;
  int alpha_offset = 0;
  int beta_offset = 0;
  int references = 1;
  std::vector<int8_t> qp_offsets = {};
};

/// Codes pictures one after the other and collects the stream.
class Stream {
 public:
  explicit Stream(const CodingSetup& setup)
      : setup_(setup),
        reference_(setup.width_mbs, setup.height_mbs),
        reconstruction_(setup.width_mbs, setup.height_mbs) {}

  SliceResult Code(Samples& source, bool key_frame) {
    std::swap(reference_, reconstruction_);
    if (key_frame) frame_num_ = 0;
    std::vector<uint8_t> unit;
    AppendAnnexB(WriteAccessUnitDelimiter(key_frame), unit);
    if (key_frame) {
      AppendAnnexB(WriteSps(Sps()), unit);
      AppendAnnexB(WritePps(Pps()), unit);
    }
    PictureCoder coder({.width_mbs = setup_.width_mbs,
                        .height_mbs = setup_.height_mbs,
                        .cabac = setup_.cabac,
                        .transform_8x8_mode = setup_.transform_8x8,
                        .constrained_intra_pred = setup_.constrained_intra,
                        .chroma_qp_index_offset = setup_.cb_offset,
                        .second_chroma_qp_index_offset = setup_.cr_offset,
                        .source = source.view(),
                        .reference = key_frame ? Nv12Picture() : reference_.view(),
                        .reconstruction = reconstruction_.view()});
    const uint32_t mbs = setup_.width_mbs * setup_.height_mbs;
    SliceResult sum;
    last_slice_bits_ = 0;
    for (uint32_t slice = 0; slice < setup_.slices; ++slice) {
      const uint32_t first = mbs * slice / setup_.slices;
      BitSink sink;
      WriteSliceHeader(first, key_frame, sink);
      const size_t header_bits = sink.size_bits();
      const SliceResult result =
          coder.CodeSlice({.intra = key_frame,
                           .first_mb = first,
                           .mb_count = mbs * (slice + 1) / setup_.slices - first,
                           .slice_qp = setup_.slice_qp,
                           .target_qp = setup_.target_qp,
                           .mb_qp_offsets = setup_.qp_offsets,
                           .cabac_init_idc = setup_.cabac_init_idc,
                           .ref_idx_l0_active_minus1 = References() - 1,
                           .deblocking_idc = setup_.deblocking_idc,
                           .alpha_c0_offset = setup_.alpha_offset,
                           .beta_offset = setup_.beta_offset},
                          sink);
      EXPECT_TRUE(sink.byte_aligned());
      last_slice_bits_ += sink.size_bits() - header_bits;
      sum.qp_sum += result.qp_sum;
      sum.skipped_mbs += result.skipped_mbs;
      sum.intra_mbs += result.intra_mbs;
      AppendAnnexB(MakeNal(key_frame ? NalType::kIdrSlice : NalType::kSlice, 3, sink.bytes()),
                   unit);
    }
    coder.Finish();
    ++frame_num_;
    units_.push_back(std::move(unit));
    reconstructions_.push_back(reconstruction_.bytes());
    return sum;
  }

  /// Decodes everything and compares it with the reconstructions.
  void Judge() {
    const auto pictures = CheckStream(units_, {.high_profile = setup_.high || setup_.cabac});
    ASSERT_TRUE(pictures.ok()) << pictures.status();
    ASSERT_EQ(pictures->size(), reconstructions_.size());
    for (size_t i = 0; i < pictures->size(); ++i) {
      ASSERT_EQ(FirstDifference((*pictures)[i], reconstructions_[i]), "") << "picture " << i;
    }
  }

  double LumaPsnr(Samples& source) {
    double sum = 0;
    const size_t count = size_t{source.width()} * source.height();
    for (size_t i = 0; i < count; ++i) {
      const double error = static_cast<double>(source.bytes()[i]) - reconstruction_.bytes()[i];
      sum += error * error;
    }
    return 10 * std::log10(255 * 255 / std::max(sum / static_cast<double>(count), 1e-6));
  }

  size_t last_slice_bits() const { return last_slice_bits_; }
  const std::vector<uint8_t>& last_unit() const { return units_.back(); }

 private:
  SequenceParameterSet Sps() const {
    SequenceParameterSet sps{.profile_idc = static_cast<uint8_t>(setup_.high    ? 100
                                                                 : setup_.cabac ? 77
                                                                                : 66),
                             .constraint_flags = static_cast<uint8_t>(setup_.high    ? 0
                                                                      : setup_.cabac ? 0x40
                                                                                     : 0xc0),
                             .log2_frame_num_max = 8,
                             .poc_type = 2,
                             .reference_frames = static_cast<uint32_t>(setup_.references),
                             .width_mbs = setup_.width_mbs,
                             .height_mbs = setup_.height_mbs};
    sps.vui->restriction->buffered_frames = sps.reference_frames;
    return sps;
  }
  PictureParameterSet Pps() const {
    PictureParameterSet pps;
    pps.cabac = setup_.cabac;
    pps.chroma_qp_offset = setup_.cb_offset;
    pps.constrained_intra = setup_.constrained_intra;
    if (setup_.high) {
      pps.high = PictureParameterSet::High{.transform_8x8 = setup_.transform_8x8,
                                           .second_chroma_qp_offset = setup_.cr_offset};
    }
    return pps;
  }
  /// Those that a picture can name.
  int References() const { return std::clamp(static_cast<int>(frame_num_), 1, setup_.references); }

  void WriteSliceHeader(uint32_t first_mb, bool key_frame, BitSink& sink) const {
    sink.Ue(first_mb);
    sink.Ue(key_frame ? 7 : 5);
    sink.Ue(0);
    sink.Bits(frame_num_ % 256, 8);
    if (key_frame) sink.Ue(idr_id_);
    if (!key_frame) {
      // PPS says one reference; more are an override.
      sink.Bits(References() > 1 ? 1 : 0, 1);
      if (References() > 1) sink.Ue(static_cast<uint32_t>(References() - 1));
      sink.Bits(0, 1);  // no reordering
    }
    if (key_frame) {
      sink.Bits(0, 2);
    } else {
      sink.Bits(0, 1);
    }
    if (setup_.cabac && !key_frame) sink.Ue(static_cast<uint32_t>(setup_.cabac_init_idc));
    sink.Se(setup_.slice_qp - 26);
    sink.Ue(static_cast<uint32_t>(setup_.deblocking_idc));
    if (setup_.deblocking_idc != 1) {
      sink.Se(setup_.alpha_offset / 2);
      sink.Se(setup_.beta_offset / 2);
    }
  }

  std::string FirstDifference(const DecodedPicture& picture, const std::vector<uint8_t>& nv12) {
    const uint32_t width = setup_.width_mbs * 16;
    const uint32_t height = setup_.height_mbs * 16;
    for (uint32_t y = 0; y < height; ++y) {
      for (uint32_t x = 0; x < width; ++x) {
        if (picture.y[y * width + x] != nv12[size_t{y} * width + x]) {
          return "luma at " + std::to_string(x) + "," + std::to_string(y);
        }
      }
    }
    for (uint32_t y = 0; y < height / 2; ++y) {
      for (uint32_t x = 0; x < width / 2; ++x) {
        const uint8_t* uv = &nv12[size_t{width} * (height + y) + x * 2];
        if (picture.u[y * width / 2 + x] != uv[0] || picture.v[y * width / 2 + x] != uv[1]) {
          return "chroma at " + std::to_string(x) + "," + std::to_string(y);
        }
      }
    }
    return "";
  }

  const CodingSetup setup_;
  Samples reference_;
  Samples reconstruction_;
  uint32_t frame_num_ = 0;
  uint32_t idr_id_ = 0;
  std::vector<std::vector<uint8_t>> units_;
  std::vector<std::vector<uint8_t>> reconstructions_;
  size_t last_slice_bits_ = 0;
};

/// One key frame and some P pictures of a content.
void RunContent(const CodingSetup& setup, Content content, uint32_t pictures) {
  Stream stream(setup);
  Samples source(setup.width_mbs, setup.height_mbs);
  for (uint32_t i = 0; i < pictures; ++i) {
    Paint(content, i, source);
    stream.Code(source, i == 0);
  }
  stream.Judge();
}

std::string Name(Content content) {
  return std::to_string(static_cast<int>(content));
}

class BothEntropies : public ::testing::TestWithParam<bool> {
 protected:
  CodingSetup setup() const {
    CodingSetup setup;
    setup.cabac = GetParam();
    return setup;
  }
};
INSTANTIATE_TEST_SUITE_P(Entropy, BothEntropies, ::testing::Bool(), [](const auto& test) {
  return test.param ? std::string("Cabac") : std::string("Cavlc");
});

TEST_P(BothEntropies, DecodersSeeTheReconstructionAtEveryQuantiser) {
  for (int qp = 0; qp <= 51; ++qp) {
    for (const Content content : kContents) {
      SCOPED_TRACE("qp " + std::to_string(qp) + " content " + Name(content));
      CodingSetup setup = this->setup();
      setup.slice_qp = setup.target_qp = qp;
      RunContent(setup, content, 3);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(BothEntropies, DecodersSeeTheReconstructionOfSeveralSlices) {
  for (const uint32_t slices : {2u, 4u, 20u}) {
    for (const int idc : {0, 1, 2}) {
      for (const Content content : {Content::kText, Content::kMotion, Content::kNoise}) {
        SCOPED_TRACE(std::to_string(slices) + " slices, idc " + std::to_string(idc));
        CodingSetup setup = this->setup();
        setup.slices = slices;
        setup.deblocking_idc = idc;
        setup.slice_qp = setup.target_qp = 34;
        RunContent(setup, content, 3);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(BothEntropies, DeblockingOffsetsAreHonoured) {
  for (const int alpha : {-12, -6, 0, 6, 12}) {
    for (const int beta : {-12, -6, 0, 6, 12}) {
      CodingSetup setup = this->setup();
      setup.alpha_offset = alpha;
      setup.beta_offset = beta;
      setup.slice_qp = setup.target_qp = 36;
      RunContent(setup, Content::kMotion, 3);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(BothEntropies, ChromaOffsetsAndHighProfileSyntaxAreHonoured) {
  for (const bool transform_8x8 : {false, true}) {
    for (const int cb : {-12, 0, 9}) {
      for (const int cr : {-7, 0, 12}) {
        CodingSetup setup = this->setup();
        setup.high = true;
        setup.transform_8x8 = transform_8x8;
        setup.cb_offset = cb;
        setup.cr_offset = cr;
        setup.slice_qp = setup.target_qp = 31;
        RunContent(setup, Content::kMotion, 3);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(BothEntropies, ConstrainedIntraPredictionIsHonoured) {
  for (const int qp : {18, 30, 44}) {
    CodingSetup setup = this->setup();
    setup.constrained_intra = true;
    setup.slice_qp = setup.target_qp = qp;
    for (const Content content : {Content::kGradient, Content::kMotion, Content::kFlat}) {
      RunContent(setup, content, 4);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(BothEntropies, SeveralReferencesMayBeNamed) {
  for (const int references : {2, 3}) {
    CodingSetup setup = this->setup();
    setup.references = references;
    RunContent(setup, Content::kMotion, 5);
    if (HasFatalFailure()) return;
  }
}

TEST_P(BothEntropies, QuantisersOfMacroblocksMayDiffer) {
  for (const int target : {10, 26, 51}) {
    for (const int slice_qp : {0, 26, 51}) {
      CodingSetup setup = this->setup();
      setup.slice_qp = slice_qp;
      setup.target_qp = target;
      for (int i = 0; i < 20; ++i) setup.qp_offsets.push_back(static_cast<int8_t>(i * 7 % 40 - 20));
      for (const Content content : {Content::kText, Content::kMotion}) {
        RunContent(setup, content, 4);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Cabac, EveryInitialisationIsRight) {
  for (int idc = 0; idc < 3; ++idc) {
    for (const int qp : {4, 20, 28, 40, 51}) {
      for (const Content content : kContents) {
        CodingSetup setup;
        setup.cabac = true;
        setup.cabac_init_idc = idc;
        setup.slice_qp = setup.target_qp = qp;
        RunContent(setup, content, 4);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(BothEntropies, RandomSetupsOfAllSizesAreRight) {
  uint32_t seed = 1;
  const auto below = [&seed](uint32_t limit) {
    seed = Hash(seed, 12345, 678);
    return seed % limit;
  };
  for (int round = 0; round < 150; ++round) {
    CodingSetup setup = this->setup();
    setup.width_mbs = 1 + below(5);
    setup.height_mbs = 1 + below(4);
    setup.slices = 1 + below(std::min(4u, setup.width_mbs * setup.height_mbs));
    setup.slice_qp = static_cast<int>(below(52));
    setup.target_qp = static_cast<int>(below(52));
    setup.cabac_init_idc = static_cast<int>(below(3));
    setup.deblocking_idc = static_cast<int>(below(3));
    setup.alpha_offset = static_cast<int>(below(7)) * 2 - 6;
    setup.beta_offset = static_cast<int>(below(7)) * 2 - 6;
    setup.constrained_intra = below(2) == 0;
    setup.cb_offset = setup.cr_offset = static_cast<int>(below(25)) - 12;
    SCOPED_TRACE("round " + std::to_string(round));
    Stream stream(setup);
    Samples source(setup.width_mbs, setup.height_mbs);
    for (uint32_t i = 0; i < 4; ++i) {
      Paint(kContents[below(6)], below(4), source);
      stream.Code(source, i == 0);
    }
    stream.Judge();
    if (HasFatalFailure()) return;
  }
}

TEST_P(BothEntropies, StillPicturesAreSkippedAtEveryQuantiser) {
  for (int qp = 0; qp <= 51; ++qp) {
    for (const Content content : kContents) {
      CodingSetup setup = this->setup();
      setup.slice_qp = setup.target_qp = qp;
      Stream stream(setup);
      Samples source(setup.width_mbs, setup.height_mbs);
      Paint(content, 1, source);
      stream.Code(source, true);
      // What a key frame rounded away, deblocking may bring back; that is mended once or twice.
      for (int i = 0; i < 3; ++i) stream.Code(source, false);
      EXPECT_EQ(stream.Code(source, false).skipped_mbs, setup.width_mbs * setup.height_mbs)
          << "qp " << qp << " content " << Name(content);
    }
  }
}

TEST_P(BothEntropies, OneChangedMacroblockIsASmallSlice) {
  CodingSetup setup = this->setup();
  setup.width_mbs = 20;
  setup.height_mbs = 10;
  Stream stream(setup);
  Samples source(20, 10);
  Paint(Content::kText, 0, source);
  stream.Code(source, true);
  const size_t key_bits = stream.last_slice_bits();
  for (int i = 0; i < 3; ++i) stream.Code(source, false);
  for (uint32_t y = 64; y < 72; ++y) {
    for (uint32_t x = 64; x < 72; ++x) source.y(x, y) = 20;
  }
  EXPECT_GE(stream.Code(source, false).skipped_mbs, 196u);
  EXPECT_LT(stream.last_slice_bits() * 20, key_bits);
  stream.Judge();
}

TEST_P(BothEntropies, PicturesAreAsGoodAsTheirQuantiserPromises) {
  struct Promise {
    int qp;
    double psnr_min;
  };
  for (const Promise promise :
       {Promise{4, 54}, Promise{16, 41}, Promise{26, 35}, Promise{36, 25}}) {
    for (const Content content : kContents) {
      CodingSetup setup = this->setup();
      setup.slice_qp = setup.target_qp = promise.qp;
      Stream stream(setup);
      Samples source(setup.width_mbs, setup.height_mbs);
      for (uint32_t i = 0; i < 3; ++i) {
        Paint(content, i, source);
        stream.Code(source, i == 0);
        EXPECT_GT(stream.LumaPsnr(source), promise.psnr_min)
            << "qp " << promise.qp << " content " << Name(content) << " picture " << i;
      }
    }
  }
}

}  // namespace
}  // namespace planecast::sw_va
