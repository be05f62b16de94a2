// Packets of SOCK_SEQPACKET unix sockets, with fds.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vfio/fd.h"

namespace planecast {

/// Fds that travel with a packet at most.
inline constexpr size_t kPacketFdsMax = 8;

struct FdPacket {
  std::string bytes;
  std::vector<Fd> fds;
};

/// Gives `socket` so long to connect, to send and to receive, each time.
absl::Status SetSocketTimeouts(const Fd& socket, int timeout_ms);

/// Sends one packet and copies of `fds`, which are borrowed.
absl::Status SendPacket(const Fd& socket, std::string_view bytes, const std::vector<int>& fds);

/// Receives one packet. Every fd that came is owned, through `sys`, and closed again on an error;
/// all are closed on exec.
///
/// DEADLINE_EXCEEDED if none came in time, UNAVAILABLE if the peer hung up, INVALID_ARGUMENT if it
/// is longer than `bytes_max` or has more fds than may travel.
absl::StatusOr<FdPacket> ReceivePacket(const Fd& socket, size_t bytes_max, Sys& sys = KernelSys());

/// As ReceivePacket, of a packet that may have no fds: INVALID_ARGUMENT. Those that came were never
/// this process's, since closing one asks its file system, which may be the sender's (FUSE) and
/// never answer.
absl::StatusOr<std::string> ReceiveBytes(const Fd& socket, size_t bytes_max);

}  // namespace planecast
