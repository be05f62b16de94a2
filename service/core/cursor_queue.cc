#include "service/core/cursor_queue.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace planecast {
namespace {

/// What is around the pixels.
constexpr size_t kHeaderBytes = 64;

const CursorShape& ShapeOf(const StreamEventPtr& event) {
  return std::get<CursorShape>(event->body);
}

}  // namespace

size_t CursorBytes(const CursorShape& shape) {
  const size_t pixel_bytes =
      shape.png != nullptr ? shape.png->size() : shape.image->argb.size() * sizeof(uint32_t);
  return kHeaderBytes + pixel_bytes;
}

CursorQueue::CursorQueue(size_t kept_max) : kept_max_(std::min(kept_max, kCursorsKeptMax)) {}

size_t CursorQueue::OfferShape(StreamEventPtr shape) {
  shape_ = std::move(shape);
  waiting_bytes_ = Has(ShapeOf(shape_).id) ? 0 : CursorBytes(ShapeOf(shape_));
  return waiting_bytes_;
}

void CursorQueue::OfferMoved(StreamEventPtr moved) {
  moved_ = std::move(moved);
}

void CursorQueue::Clear() {
  shape_.reset();
  moved_.reset();
  waiting_bytes_ = 0;
}

CursorQueue::Taken CursorQueue::Take(bool room, int64_t carries_bps, int64_t now_ns) {
  Taken taken = Pop(room);
  if (taken.image_bytes == 0 || carries_bps == 0) return taken;
  if (now_ns >= busy_until_ns_) sent_bytes_ = 0;
  sent_bytes_ += taken.image_bytes;
  busy_until_ns_ = std::max(now_ns, busy_until_ns_) + TransferNs(taken.image_bytes, carries_bps);
  return taken;
}

size_t CursorQueue::TakeOnItsWay(int64_t now_ns) {
  const size_t bytes = OnItsWay(now_ns);
  sent_bytes_ = 0;
  return bytes;
}

CursorQueue::Taken CursorQueue::Pop(bool room) {
  if (shape_ == nullptr || !Fits(room)) return {TakeMoved(), 0};
  StreamEventPtr shape = std::exchange(shape_, nullptr);
  const size_t image_bytes = std::exchange(waiting_bytes_, 0);
  const uint32_t id = ShapeOf(shape).id;
  if (kept_max_ == 0 || id == 0) return {std::move(shape), image_bytes};
  const bool has = Has(id);
  MakeMostRecent(id);
  if (!has) return {std::move(shape), image_bytes};
  TakeMoved();
  CursorMoved named = position_;
  named.shape_id = id;
  return {MakeEvent(named, nullptr), 0};
}

StreamEventPtr CursorQueue::TakeMoved() {
  StreamEventPtr moved = std::exchange(moved_, nullptr);
  if (moved != nullptr) position_ = std::get<CursorMoved>(moved->body);
  return moved;
}

bool CursorQueue::Has(uint32_t shape_id) const {
  return shape_id != 0 && std::find(kept_.begin(), kept_.end(), shape_id) != kept_.end();
}

void CursorQueue::MakeMostRecent(uint32_t shape_id) {
  kept_.remove(shape_id);
  kept_.push_front(shape_id);
  if (kept_.size() > kept_max_) kept_.pop_back();
}

}  // namespace planecast
