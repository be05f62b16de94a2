#include "service/config/limits_config.h"

#include <cstdint>

namespace planecast {
namespace {

using config::v1::LimitsConfig;
using config::v1::SharesConfig;

constexpr int kDisplaysMax = 1000;
constexpr int kDisplaysDefault = 64;
constexpr int kViewersMax = 10'000;
constexpr int kViewersDefault = 256;
constexpr int kConnectionsMax = 100'000;
constexpr int kConnectionsDefault = 1024;

// A person has a few windows open, a wall of a control room some dozen.
constexpr int kConnectionsShare = 64;
constexpr int kViewersShare = 64;
constexpr int kWatchesShare = 16;
constexpr int kUnstartedShare = 64;
constexpr int kSnapshotsShare = 2;
constexpr int kShareMax = 100'000;
/// Of an address or a principal, and for nobody to change: what is answered takes no part.
constexpr int kCallsShare = 128;
/// Of an address, as many as it may have connections: a gRPC client that watches health has one on
/// each. Nobody's to change either.
constexpr int kHealthWatchesShare = 64;

void FillShares(SharesConfig& shares) {
  if (shares.connections_max() == 0) shares.set_connections_max(kConnectionsShare);
  if (shares.viewers_max() == 0) shares.set_viewers_max(kViewersShare);
  if (shares.watches_max() == 0) shares.set_watches_max(kWatchesShare);
  if (shares.unstarted_streams_max() == 0) shares.set_unstarted_streams_max(kUnstartedShare);
  if (shares.snapshots_max() == 0) shares.set_snapshots_max(kSnapshotsShare);
}

void CheckShares(const Node& node, const SharesConfig& shares) {
  node.CheckRange("connections_max", shares.connections_max(), 1, kShareMax);
  node.CheckRange("viewers_max", shares.viewers_max(), 1, kShareMax);
  node.CheckRange("watches_max", shares.watches_max(), 1, kShareMax);
  node.CheckRange("unstarted_streams_max", shares.unstarted_streams_max(), 1, kShareMax);
  node.CheckRange("snapshots_max", shares.snapshots_max(), 1, kShareMax);
}

}  // namespace

void FillLimits(LimitsConfig& limits) {
  if (limits.displays_max() == 0) limits.set_displays_max(kDisplaysDefault);
  if (limits.viewers_per_display_max() == 0) limits.set_viewers_per_display_max(kViewersDefault);
  if (limits.connections_max() == 0) limits.set_connections_max(kConnectionsDefault);
  FillShares(*limits.mutable_per_address());
  FillShares(*limits.mutable_per_principal());
}

ShareKeeper MakeShares(const LimitsConfig& limits) {
  const SharesConfig& address = limits.per_address();
  const SharesConfig& principal = limits.per_principal();
  ShareTable table;
  const auto of = [&table](Shared what) -> ShareLimits& {
    return table[static_cast<size_t>(what)];
  };
  of(Shared::kViewers) = {kNoShareLimit, 0, address.viewers_max(), principal.viewers_max()};
  of(Shared::kWatches) = {kWatchesMax, kWatchesReserved, address.watches_max(),
                          principal.watches_max()};
  of(Shared::kUnstartedStreams) = {kUnstartedStreamsMax, kUnstartedStreamsReserved,
                                   address.unstarted_streams_max(),
                                   principal.unstarted_streams_max()};
  of(Shared::kSnapshots) = {kSnapshotsMax, kSnapshotsReserved, address.snapshots_max(),
                            principal.snapshots_max()};
  // Strangers open them, and hold nothing but these by it.
  of(Shared::kHealthWatches) = {kHealthWatchesMax, kHealthWatchesReserved, kHealthWatchesShare,
                                kHealthWatchesShare};
  of(Shared::kCalls) = {kCallsMax, kCallsReserved, kCallsShare, kCallsShare};
  return ShareKeeper(table);
}

void CheckLimits(const Node& node, const LimitsConfig& limits) {
  node.CheckRange("displays_max", limits.displays_max(), 1, kDisplaysMax);
  node.CheckRange("viewers_per_display_max", limits.viewers_per_display_max(), 1, kViewersMax);
  node.CheckRange("connections_max", limits.connections_max(), 1, kConnectionsMax);
  CheckShares(node.Child("per_address", limits.per_address()), limits.per_address());
  CheckShares(node.Child("per_principal", limits.per_principal()), limits.per_principal());
}

}  // namespace planecast
