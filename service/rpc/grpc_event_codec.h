// Stream events as bytes that all viewers share.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <string>

#include "planecast/v1/viewer_service.pb.h"
#include "service/core/stream_event.h"
#include "service/rpc/wall_clock.h"

namespace planecast {

/// Serialises events as StreamDisplayResponse, which on the wire equals WatchDisplayResponse.
///
/// An access unit becomes a small header and a slice that points into the unit itself and keeps it
/// alive: no byte of it is copied, whatever the number of viewers. Thread-safe.
class GrpcEventCodec final : public EventCodec {
 public:
  /// `wall` must outlive the codec.
  explicit GrpcEventCodec(const WallClock& wall) : wall_(wall) {}

  std::shared_ptr<const void> Encode(const StreamEvent& event) override;

  /// The message to write for `event` to a viewer whose sequences are ahead of the units' own by
  /// `sequence_offset`: what Encode made, or for what differs by viewer, made now. `started` is
  /// what the viewer's StreamStarted says beside what all say. A unit's bytes are shared all the
  /// same.
  grpc::ByteBuffer Message(const StreamEvent& event, const v1::StreamStarted& started,
                           uint64_t sequence_offset = 0) const;

 private:
  const WallClock& wall_;
};

}  // namespace planecast
