#include "service/core/display_requests.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::kMs;
using ::planecast::testing::MakeBuffer;
using ::planecast::testing::ScriptedSource;
using ::planecast::testing::SourceScript;

class DisplayRequestsTest : public ::testing::Test {
 protected:
  DisplayRequestsTest() {
    snapshot_.id = "test";
    auto image = std::make_shared<CursorImage>();
    image->width_px = image->height_px = 1;
    image->argb = {0xffff0000};
    cursor_.visible = true;
    cursor_.image = std::move(image);
  }
  void AskForPicture(bool exclude_cursor = false, int64_t deadline_ns = 0) {
    requests_.AddPicture({exclude_cursor, deadline_ns, [this](absl::StatusOr<Picture> picture) {
                            answers_.push_back(picture.status());
                            if (picture.ok()) pictures_.push_back(*std::move(picture));
                          }});
  }
  void AskForMode() {
    requests_.AddMode(
        {1920, 1080, [this](absl::Status status) { answers_.push_back(std::move(status)); }});
  }

  DisplayRequests requests_;
  DisplaySnapshot snapshot_;
  Frame frame_{MakeBuffer(64, 64), 0, 0};
  Cursor cursor_;
  std::vector<absl::Status> answers_;
  std::vector<Picture> pictures_;
};

// --- The state.

TEST_F(DisplayRequestsTest, AllWhoWaitForTheStateAreAnsweredTogetherAndOnce) {
  int answers = 0;
  for (int i = 0; i < 2; ++i) {
    requests_.AddRefresh([&](const DisplaySnapshot& snapshot) {
      ++answers;
      EXPECT_EQ(snapshot.id, "test");
    });
  }
  EXPECT_TRUE(requests_.awaits_state());
  EXPECT_FALSE(requests_.awaits_picture());
  requests_.AnswerRefreshes(snapshot_);
  requests_.AnswerRefreshes(snapshot_);
  EXPECT_EQ(answers, 2);
  EXPECT_FALSE(requests_.awaits_state());
}

// --- Pictures.

TEST_F(DisplayRequestsTest, OnePictureIsTakenAtATimeInTheOrderOfAsking) {
  AskForPicture(/*exclude_cursor=*/true);
  AskForPicture();
  requests_.AnswerPicture(&frame_, &cursor_, snapshot_);
  ASSERT_EQ(pictures_.size(), 1u);
  EXPECT_TRUE(requests_.awaits_picture());
  requests_.AnswerPicture(&frame_, &cursor_, snapshot_);
  ASSERT_EQ(pictures_.size(), 2u);
  EXPECT_FALSE(requests_.awaits_picture());
  EXPECT_FALSE(pictures_[0].cursor_drawn);
  EXPECT_EQ(pictures_[0].image.rgb[0], 0x40);
  EXPECT_TRUE(pictures_[1].cursor_drawn);
  EXPECT_EQ(pictures_[1].image.rgb[0], 0xff);
  requests_.AnswerPicture(&frame_, &cursor_, snapshot_);
  EXPECT_EQ(answers_.size(), 2u);
}

TEST_F(DisplayRequestsTest, ACursorThatIsHiddenOrNoPlaneOfItsOwnIsNotDrawn) {
  AskForPicture();
  requests_.AnswerPicture(&frame_, nullptr, snapshot_);
  AskForPicture();
  cursor_.visible = false;
  requests_.AnswerPicture(&frame_, &cursor_, snapshot_);
  ASSERT_EQ(pictures_.size(), 2u);
  for (const Picture& picture : pictures_) EXPECT_FALSE(picture.cursor_drawn);
}

TEST_F(DisplayRequestsTest, WithoutAPictureTheAnswerSaysWhy) {
  snapshot_.state.state = DisplayState::kBlanked;
  snapshot_.state.reason = "The guest sleeps.";
  AskForPicture();
  requests_.AnswerPicture(nullptr, nullptr, snapshot_);
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(answers_[0].message()).find("BLANKED"), std::string::npos);
  EXPECT_NE(std::string(answers_[0].message()).find("sleeps"), std::string::npos);
}

TEST_F(DisplayRequestsTest, APictureOfMemoryWithoutCpuPathSaysWhy) {
  frame_.buffer = MakeBuffer(64, 64, absl::FailedPreconditionError("needs a GPU import"));
  AskForPicture();
  requests_.AnswerPicture(&frame_, nullptr, snapshot_);
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(answers_[0].message()).find("needs a GPU import"), std::string::npos);
}

TEST_F(DisplayRequestsTest, APictureOfAnUnknownFormatIsNoMissingFeatureOfTheApi) {
  constexpr uint32_t kNv12 = 0x3231564e;
  frame_.buffer = MakeBuffer(64, 64, absl::OkStatus(), kNv12);
  AskForPicture();
  requests_.AnswerPicture(&frame_, nullptr, snapshot_);
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(DisplayRequestsTest, WhileNoLookSucceedsAPictureIsRefusedAtItsDeadline) {
  AskForPicture(false, 5 * kMs);
  AskForPicture(false, 7 * kMs);
  requests_.ExpirePicture(5 * kMs - 1);
  EXPECT_TRUE(answers_.empty());
  requests_.ExpirePicture(5 * kMs);
  requests_.ExpirePicture(5 * kMs);
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(requests_.awaits_picture());
}

// --- Modes.

TEST_F(DisplayRequestsTest, AModeIsPassedToTheSource) {
  const auto script = std::make_shared<SourceScript>();
  script->mode_answer = absl::FailedPreconditionError("no EDID");
  ScriptedSource source(script);
  AskForMode();
  requests_.ApplyModes(&source, 0);
  requests_.ApplyModes(&source, 0);
  EXPECT_EQ(script->modes, (std::vector<std::pair<uint32_t, uint32_t>>{{1920, 1080}}));
  EXPECT_EQ(answers_, std::vector<absl::Status>{absl::FailedPreconditionError("no EDID")});
}

TEST_F(DisplayRequestsTest, AModeForADeviceThatIsGoneIsRefused) {
  AskForMode();
  requests_.ApplyModes(nullptr, 0);
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].code(), absl::StatusCode::kFailedPrecondition);
}

// --- The end.

TEST_F(DisplayRequestsTest, AllAreAnsweredInTheEnd) {
  AskForPicture(false, INT64_MAX);
  AskForPicture(false, INT64_MAX);
  AskForMode();
  int refreshed = 0;
  requests_.AddRefresh([&](const DisplaySnapshot&) { ++refreshed; });
  requests_.Refuse(snapshot_);
  requests_.Refuse(snapshot_);
  ASSERT_EQ(answers_.size(), 3u);
  for (const absl::Status& answer : answers_) {
    EXPECT_EQ(answer.code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_EQ(refreshed, 1);
  EXPECT_FALSE(requests_.awaits_state() || requests_.awaits_picture());
}

}  // namespace
}  // namespace planecast
