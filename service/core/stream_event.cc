#include "service/core/stream_event.h"

#include <utility>

namespace planecast {

StreamEventPtr MakeEvent(decltype(StreamEvent::body) body, EventCodec* codec) {
  auto event = std::make_shared<StreamEvent>();
  event->body = std::move(body);
  const bool differs_by_viewer = std::holds_alternative<StreamStarted>(event->body) ||
                                 std::holds_alternative<StreamStats>(event->body);
  if (codec != nullptr && !differs_by_viewer) event->encoded = codec->Encode(*event);
  return event;
}

}  // namespace planecast
