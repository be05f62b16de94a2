#include "tests/h264/stream_check.h"

#include <drm_fourcc.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "encoder/encoder.h"
#include "encoder/h264/h264_bits.h"
#include "encoder/h264/h264_headers.h"
#include "tests/encoder/test_frames.h"

namespace planecast::testing {
namespace {

using Stream = std::vector<std::vector<uint8_t>>;

// A good stream of four pictures.
Stream GoodStream() {
  auto encoder = MakeEncoder("auto", {.width_px = 320, .height_px = 240}, {}, MonotonicClock());
  EXPECT_TRUE(encoder.ok()) << encoder.status();
  HeapPlane plane(DRM_FORMAT_XRGB8888, 320, 240);
  Stream stream;
  for (uint32_t i = 0; i < 4; ++i) {
    PaintText(plane, i);
    auto result = (*encoder)->Encode(plane.frame(), {});
    EXPECT_TRUE(result.ok()) << result.status();
    stream.push_back(result->unit->bytes);
  }
  return stream;
}

// Replaces the SPS of the first unit by one that `change` altered.
template <typename Change>
Stream WithSps(const Stream& stream, Change change) {
  Stream changed = stream;
  changed[0].clear();
  for (const auto nal : SplitAnnexB(stream[0])) {
    if (NalTypeOf(nal) != NalType::kSps) {
      AppendAnnexB(nal, changed[0]);
      continue;
    }
    auto sps = ParseSps(nal);
    EXPECT_TRUE(sps.ok());
    change(*sps);
    AppendAnnexB(WriteSps(*sps), changed[0]);
  }
  return changed;
}

TEST(StreamCheck, GoodStreamPasses) {
  const auto pictures = CheckStream(GoodStream());
  ASSERT_TRUE(pictures.ok()) << pictures.status();
  EXPECT_EQ(pictures->size(), 4u);
  EXPECT_EQ(pictures->front().width_px, 320u);
}

TEST(StreamCheck, StreamWithoutKeyFrameIsRefused) {
  Stream stream = GoodStream();
  stream.erase(stream.begin());
  EXPECT_FALSE(CheckStream(stream).ok());
}

TEST(StreamCheck, MissingPictureIsRefused) {
  Stream stream = GoodStream();
  stream.erase(stream.begin() + 1);
  EXPECT_FALSE(CheckStream(stream).ok());
}

TEST(StreamCheck, DamagedSliceIsRefused) {
  Stream stream = GoodStream();
  for (size_t i = stream[0].size() / 2; i < stream[0].size(); i += 7) stream[0][i] ^= 0x5a;
  EXPECT_FALSE(CheckStream(stream).ok());
}

TEST(StreamCheck, CutUnitIsRefused) {
  Stream stream = GoodStream();
  stream[0].resize(stream[0].size() / 2);
  EXPECT_FALSE(CheckStream(stream).ok());
}

TEST(StreamCheck, OtherColorIsRefused) {
  const Stream stream =
      WithSps(GoodStream(), [](SequenceParameterSet& sps) { sps.vui->video_signal->matrix = 6; });
  EXPECT_EQ(CheckStream(stream).status().code(), absl::StatusCode::kDataLoss);
}

TEST(StreamCheck, FullRangeIsRefused) {
  const Stream stream = WithSps(
      GoodStream(), [](SequenceParameterSet& sps) { sps.vui->video_signal->full_range = true; });
  EXPECT_EQ(CheckStream(stream).status().code(), absl::StatusCode::kDataLoss);
}

TEST(StreamCheck, HeldPictureIsRefused) {
  const Stream stream = WithSps(GoodStream(), [](SequenceParameterSet& sps) {
    sps.vui->restriction->reorder_frames = 1;
    sps.vui->restriction->buffered_frames = 1;
  });
  EXPECT_EQ(CheckStream(stream).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(StreamCheck, HeaderOutsideTheStandardIsRefused) {
  const Stream stream =
      WithSps(GoodStream(), [](SequenceParameterSet& sps) { sps.vui->chroma_location = 9; });
  EXPECT_FALSE(TraceHeaders(stream).empty());
  EXPECT_FALSE(CheckStream(stream).ok());
}

TEST(StreamCheck, ComplaintsStayOnTheirThread) {
  const Stream good = GoodStream();
  Stream bad = good;
  bad[0].resize(bad[0].size() / 2);
  std::string bad_complaints;
  std::string good_complaints;
  std::thread first([&] {
    for (int i = 0; i < 20; ++i) {
      AvcodecDecoder decoder;
      bad_complaints = std::string(decoder.Decode(bad[0]).status().message());
    }
  });
  std::thread second([&] {
    for (int i = 0; i < 20; ++i) {
      AvcodecDecoder decoder;
      good_complaints += std::string(decoder.Decode(good[0]).status().message());
    }
  });
  first.join();
  second.join();
  EXPECT_FALSE(bad_complaints.empty());
  EXPECT_EQ(good_complaints, "");
}

}  // namespace
}  // namespace planecast::testing
