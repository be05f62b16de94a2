#include "service/core/cursor_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <memory>
#include <string>
#include <variant>

#include "service/core/cursor_shapes.h"
#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::kSecond;

std::shared_ptr<const CursorImage> ImageOf(uint32_t color, uint32_t side_px = 8) {
  auto image = std::make_shared<CursorImage>();
  image->width_px = image->height_px = side_px;
  image->argb.assign(size_t{side_px} * side_px, color);
  return image;
}

StreamEventPtr ShapeOf(uint32_t id) {
  return MakeEvent(CursorShape{ImageOf(id), id}, nullptr);
}

StreamEventPtr MovedTo(int32_t x_px) {
  return MakeEvent(CursorMoved{x_px, 0, true}, nullptr);
}

/// "shape7", "moved 3 at 20", "".
std::string TakeOne(CursorQueue& queue, bool room = true) {
  const CursorQueue::Taken taken = queue.Take(room, 0, 0);
  if (taken.event == nullptr) return "";
  if (const auto* shape = std::get_if<CursorShape>(&taken.event->body)) {
    EXPECT_GT(taken.image_bytes, 0u);
    return "shape" + std::to_string(shape->id);
  }
  const auto& moved = std::get<CursorMoved>(taken.event->body);
  EXPECT_EQ(taken.image_bytes, 0u);
  return "moved " + std::to_string(moved.shape_id) + " at " + std::to_string(moved.x_px);
}

TEST(CursorQueueTest, WhoKeepsNoneIsGivenEachImageAndNoNames) {
  CursorQueue queue(0);
  for (int round = 0; round < 2; ++round) {
    EXPECT_GT(queue.OfferShape(ShapeOf(5)), 0u);
    queue.OfferMoved(MovedTo(20));
    EXPECT_EQ(TakeOne(queue), "shape5");
    EXPECT_EQ(TakeOne(queue), "moved 0 at 20");
    EXPECT_EQ(TakeOne(queue), "");
  }
}

TEST(CursorQueueTest, WhatTheClientHasIsNamed) {
  CursorQueue queue(2);
  queue.OfferMoved(MovedTo(20));
  EXPECT_EQ(TakeOne(queue), "moved 0 at 20") << "it has none yet";
  EXPECT_GT(queue.OfferShape(ShapeOf(5)), 0u);
  EXPECT_EQ(TakeOne(queue), "shape5");
  EXPECT_GT(queue.OfferShape(ShapeOf(6)), 0u);
  EXPECT_EQ(TakeOne(queue), "shape6");
  EXPECT_EQ(queue.OfferShape(ShapeOf(5)), 0u);
  EXPECT_EQ(TakeOne(queue), "moved 5 at 20") << "where it was";
  queue.OfferMoved(MovedTo(21));
  EXPECT_EQ(TakeOne(queue), "moved 0 at 21") << "named once";
  EXPECT_EQ(queue.OfferShape(ShapeOf(6)), 0u);
  queue.OfferMoved(MovedTo(22));
  EXPECT_EQ(TakeOne(queue), "moved 6 at 22") << "both at once";
  EXPECT_EQ(TakeOne(queue), "");
}

TEST(CursorQueueTest, OfAnImageThatWasNeverSentTheClientHasNothing) {
  CursorQueue queue(4);
  queue.OfferShape(ShapeOf(5));
  queue.OfferShape(ShapeOf(6));
  EXPECT_EQ(TakeOne(queue), "shape6");
  EXPECT_GT(queue.OfferShape(ShapeOf(5)), 0u);
  EXPECT_EQ(TakeOne(queue), "shape5");
  queue.OfferShape(ShapeOf(7));
  queue.Clear();
  EXPECT_EQ(TakeOne(queue), "");
  EXPECT_GT(queue.OfferShape(ShapeOf(7)), 0u);
}

TEST(CursorQueueTest, ForgetsAsTheClientDoes) {
  constexpr size_t kKept = 3;
  CursorQueue queue(kKept);
  // What a client does that follows the contract to the letter.
  std::list<uint32_t> client;
  for (uint32_t step = 0; step < 500; ++step) {
    const uint32_t id = 1 + step * step % 7;
    queue.OfferShape(ShapeOf(id));
    const std::string told = TakeOne(queue);
    const bool has = std::find(client.begin(), client.end(), id) != client.end();
    EXPECT_EQ(told, has ? "moved " + std::to_string(id) + " at 0" : "shape" + std::to_string(id));
    client.remove(id);
    client.push_front(id);
    if (client.size() > kKept) client.pop_back();
  }
}

TEST(CursorQueueTest, AnImageWaitsForRoomAndAPositionOrANameDoesNot) {
  CursorQueue queue(2);
  queue.OfferShape(ShapeOf(5));
  queue.OfferMoved(MovedTo(20));
  EXPECT_TRUE(queue.Takeable(false));
  EXPECT_EQ(TakeOne(queue, false), "moved 0 at 20");
  EXPECT_FALSE(queue.Takeable(false));
  EXPECT_TRUE(queue.Takeable(true));
  EXPECT_EQ(TakeOne(queue, false), "");
  EXPECT_EQ(TakeOne(queue, true), "shape5");
  queue.OfferShape(ShapeOf(5));
  EXPECT_TRUE(queue.Takeable(false));
  EXPECT_EQ(TakeOne(queue, false), "moved 5 at 20");
}

TEST(CursorQueueTest, MoreThanIsBoundedIsNotBelieved) {
  CursorQueue queue(1'000'000);
  for (uint32_t id = 1; id <= 2 * kCursorsKeptMax; ++id) {
    queue.OfferShape(ShapeOf(id));
    TakeOne(queue);
  }
  EXPECT_EQ(queue.OfferShape(ShapeOf(kCursorsKeptMax + 1)), 0u);
  EXPECT_GT(queue.OfferShape(ShapeOf(kCursorsKeptMax)), 0u);
}

TEST(CursorQueueTest, ImagesAreOnTheirWayForAsLongAsTheLinkTakes) {
  CursorQueue queue(0);
  const size_t bytes = queue.OfferShape(ShapeOf(5));
  const auto bps = static_cast<int64_t>(bytes * 8);
  EXPECT_EQ(queue.OnItsWay(0), 0u);
  EXPECT_EQ(queue.Take(true, bps, 0).image_bytes, bytes);
  EXPECT_EQ(queue.OnItsWay(kSecond / 2), bytes);
  queue.OfferShape(ShapeOf(6));
  queue.Take(true, bps, kSecond / 2);
  EXPECT_EQ(queue.OnItsWay(kSecond * 3 / 2), 2 * bytes);
  EXPECT_EQ(queue.OnItsWay(kSecond * 5 / 2), 0u);
  queue.OfferShape(ShapeOf(7));
  queue.Take(true, bps, 10 * kSecond);
  EXPECT_EQ(queue.TakeOnItsWay(10 * kSecond), bytes);
  EXPECT_EQ(queue.OnItsWay(10 * kSecond), 0u) << "a unit's now";
}

TEST(CursorShapesTest, RemembersABoundedNumberAndBytes) {
  for (const uint32_t side_px : {8U, 512U}) {
    CursorShapes shapes;
    bool known = true;
    const uint32_t first = shapes.Find(ImageOf(0, side_px), &known)->id();
    EXPECT_FALSE(known);
    EXPECT_EQ(shapes.Find(ImageOf(0, side_px), &known)->id(), first);
    EXPECT_TRUE(known);
    for (uint32_t color = 1; color <= kCursorShapesMax; ++color) {
      shapes.Find(ImageOf(color, side_px), &known);
      EXPECT_FALSE(known);
    }
    shapes.Find(ImageOf(kCursorShapesMax, side_px), &known);
    EXPECT_TRUE(known);
    const size_t fit =
        std::min(kCursorShapesMax, kCursorShapesBytesMax / (size_t{side_px} * side_px * 4));
    shapes.Find(ImageOf(static_cast<uint32_t>(kCursorShapesMax - fit), side_px), &known);
    EXPECT_FALSE(known);
    EXPECT_NE(shapes.Find(ImageOf(0, side_px), &known)->id(), first) << "no name is used twice";
  }
}

}  // namespace
}  // namespace planecast
