// Internal to the client library: what a call says of its caller.
#pragma once

#include <grpcpp/client_context.h>

#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace planecast {

/// The ticket of a Client, and the viewers whose streams run under it. Thread-safe.
///
/// To the server a ticket's call is one of a viewer's session, which a stream opens: other calls
/// name the viewer, so that a ticket that is used up does nothing for anybody else.
class CallMetadata {
 public:
  /// An empty ticket adds nothing to any call.
  explicit CallMetadata(std::string ticket) : ticket_(std::move(ticket)) {}

  /// For the call of a stream, which names its viewer in its start.
  void AddToStream(grpc::ClientContext& context) const;
  /// For every other call.
  void AddTo(grpc::ClientContext& context) const;

  /// The stream runs as this viewer, until RemoveViewer.
  void SetViewer(const void* stream, const std::string& viewer_id);
  void RemoveViewer(const void* stream);

 private:
  const std::string ticket_;
  mutable std::mutex mutex_;
  // Oldest first. Guarded by mutex_.
  std::vector<std::pair<const void*, std::string>> viewers_;
};

}  // namespace planecast
