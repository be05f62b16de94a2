#include "clients/cpp/call_metadata.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr char kAuthorization[] = "authorization";
constexpr char kViewerId[] = "planecast-viewer-id";

}  // namespace

void CallMetadata::AddToStream(grpc::ClientContext& context) const {
  if (!ticket_.empty()) context.AddMetadata(kAuthorization, absl::StrCat("Bearer ", ticket_));
}

void CallMetadata::AddTo(grpc::ClientContext& context) const {
  if (ticket_.empty()) return;
  AddToStream(context);
  const std::lock_guard lock(mutex_);
  if (!viewers_.empty()) context.AddMetadata(kViewerId, viewers_.back().second);
}

void CallMetadata::SetViewer(const void* stream, const std::string& viewer_id) {
  RemoveViewer(stream);
  if (viewer_id.empty()) return;
  const std::lock_guard lock(mutex_);
  viewers_.emplace_back(stream, viewer_id);
}

void CallMetadata::RemoveViewer(const void* stream) {
  const std::lock_guard lock(mutex_);
  const auto is_streams = [stream](const auto& viewer) { return viewer.first == stream; };
  viewers_.erase(std::remove_if(viewers_.begin(), viewers_.end(), is_streams), viewers_.end());
}

}  // namespace planecast
