// Images of the cursor of a whole daemon: named, kept by clients, compressed.
#include <gtest/gtest.h>
#include <png.h>

#include <memory>
#include <string>

#include "tests/service/daemon_testing.h"

namespace planecast::testing {
namespace {

using Event = v1::StreamEvent;

class DaemonCursorTest : public DaemonTest {
 protected:
  DaemonCursorTest() {
    script_ = Script("ideal");
    script_->info.cursor_separate = true;
    Show(0xff112233);
  }
  /// The guest shows a cursor of this colour.
  void Show(uint32_t argb) {
    auto image = std::make_shared<CursorImage>();
    image->width_px = image->height_px = kSidePx;
    image->argb.assign(size_t{kSidePx} * kSidePx, argb);
    const std::lock_guard<std::mutex> lock(script_->mutex);
    script_->look.cursor = {true, 5, 6, image};
  }
  /// A viewer of "a" with these abilities.
  std::unique_ptr<Stream> Watch(int cursors_kept, bool png) {
    auto stream = std::make_unique<Stream>(*viewers_);
    v1::StreamDisplayRequest request;
    request.mutable_start()->set_name("displays/a");
    v1::ClientCapabilities& capabilities = *request.mutable_start()->mutable_capabilities();
    capabilities.set_cursors_kept(cursors_kept);
    if (png) capabilities.add_cursor_encodings(v1::CursorShape::ENCODING_PNG);
    stream->Send(request);
    return stream;
  }

  static constexpr uint32_t kSidePx = 64;
  std::shared_ptr<SourceScript> script_;
};

TEST_F(DaemonCursorTest, WhoKeepsCursorsIsToldTheirNames) {
  Start();
  AttachFake("a");
  const auto keeps = Watch(2, false);
  const auto plain = Watch(0, false);
  const v1::CursorShape first = keeps->Next(Event::kCursorShape).cursor_shape();
  EXPECT_EQ(first.encoding(), v1::CursorShape::ENCODING_RAW);
  EXPECT_EQ(first.argb().size(), kSidePx * kSidePx * 4);
  EXPECT_NE(first.shape_id(), 0u);
  EXPECT_EQ(plain->Next(Event::kCursorShape).cursor_shape().argb(), first.argb());
  EXPECT_EQ(plain->Next(Event::kCursorMoved).cursor_moved().shape_id(), 0u);
  Show(0xff445566);
  const v1::CursorShape second = keeps->Next(Event::kCursorShape).cursor_shape();
  EXPECT_NE(second.shape_id(), first.shape_id());
  EXPECT_EQ(plain->Next(Event::kCursorShape).cursor_shape().argb(), second.argb());
  Show(0xff112233);
  v1::CursorMoved named;
  while (named.shape_id() != first.shape_id()) {
    const Event event = keeps->Next();
    ASSERT_NE(event.event_case(), Event::EVENT_NOT_SET);
    ASSERT_FALSE(event.has_cursor_shape()) << "it has it";
    if (event.has_cursor_moved()) named = event.cursor_moved();
  }
  EXPECT_EQ(named.x_px(), 5);
  EXPECT_TRUE(named.visible());
  EXPECT_EQ(plain->Next(Event::kCursorShape).cursor_shape().argb(), first.argb());
}

TEST_F(DaemonCursorTest, WhoReadsPngGetsThePixelsBack) {
  constexpr uint32_t kHalfBlue = 0x80000040;
  Show(kHalfBlue);
  Start();
  AttachFake("a");
  const v1::CursorShape raw = Watch(0, false)->Next(Event::kCursorShape).cursor_shape();
  const v1::CursorShape shape = Watch(0, true)->Next(Event::kCursorShape).cursor_shape();
  EXPECT_EQ(shape.encoding(), v1::CursorShape::ENCODING_PNG);
  EXPECT_EQ(shape.argb(), "");
  EXPECT_LT(shape.png().size(), raw.argb().size() / 10);
  EXPECT_EQ(shape.shape_id(), raw.shape_id());
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  ASSERT_NE(png_image_begin_read_from_memory(&png, shape.png().data(), shape.png().size()), 0);
  EXPECT_EQ(png.width, kSidePx);
  EXPECT_EQ(png.height, kSidePx);
  png.format = PNG_FORMAT_RGBA;
  std::vector<uint8_t> rgba(PNG_IMAGE_SIZE(png));
  ASSERT_NE(png_image_finish_read(&png, nullptr, rgba.data(), 0, nullptr), 0);
  EXPECT_EQ(rgba[3], 0x80);
  EXPECT_EQ((rgba[2] * 0x80 + 127) / 255, 0x40) << "straight, and what was once it is multiplied";
}

TEST_F(DaemonCursorTest, ANegativeNumberOfCursorsIsRefused) {
  Start();
  AttachFake("a");
  EXPECT_EQ(Watch(-1, false)->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace planecast::testing
