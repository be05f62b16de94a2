// The socket on which another process hands over a VFIO device fd.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"
#include "service/telemetry/log.h"
#include "vfio/clock.h"
#include "vfio/fd.h"

namespace planecast {

/// Devices that wait for an AttachDisplay at a time; more are refused.
inline constexpr size_t kHandOversPendingMax = 64;
/// A token that is not redeemed for so long is void, and its device closed.
inline constexpr int64_t kHandOverLifetimeNs = 60'000'000'000;
/// A peer that connects and sends nothing is hung up on after this.
inline constexpr int kHandOverReceiveTimeoutMs = 2000;

/// What came in one hand-over.
struct HandedOver {
  Fd device;
  /// Of the VMM; invalid if the peer gave none.
  Fd vmm_pidfd;
};

/// Serves the hand-over socket: SOCK_SEQPACKET, its owner's only (0600).
///
/// Protocol, one exchange per connection:
///  1. The peer, of the daemon's uid or root, sends one packet: the text "PLANECAST 1" and, as
///     SCM_RIGHTS, the fd of a VFIO device that it keeps alive, and after it, if it likes, the
///     VMM's pidfd.
///  2. The daemon answers with one packet and closes: "OK TOKEN", where TOKEN is 32 hexadecimal
///     digits, good for one AttachDisplay { source { handed_over { token } } } within 60 seconds;
///     or "ERROR TEXT" with what was wrong.
///
/// With the pidfd, the display turns to DEVICE_GONE and the daemon closes the device the moment the
/// VMM exits. Without it, the daemon keeps the device open, and so unusable for the next VMM, until
/// the peer detaches the display: which process the peer speaks for can't be told from its
/// connection, since a manager outlives its VMMs.
///
/// Whether the fd is a device with a gfx plane is found out at the attach, which says so.
/// Thread-safe. One thread serves one peer at a time, with a time limit.
class HandOverServer {
 public:
  /// A listening socket at `path`; nobody is served yet, and no thread started. Errors as
  /// PrepareSocketPath.
  static absl::StatusOr<Fd> Bind(const std::string& path);
  /// Will serve what Bind gave for `path`, from Serve on. `log` and `clock` must outlive the
  /// server.
  static absl::StatusOr<std::unique_ptr<HandOverServer>> Make(const std::string& path, Fd listener,
                                                              const Logger& log, Clock& clock);
  /// Starts the thread that serves; to be called once.
  void Serve();
  /// All three.
  static absl::StatusOr<std::unique_ptr<HandOverServer>> Start(const std::string& path,
                                                               const Logger& log, Clock& clock);
  ~HandOverServer();
  HandOverServer(const HandOverServer&) = delete;
  HandOverServer& operator=(const HandOverServer&) = delete;

  /// The device for a token, which is void from now on. NOT_FOUND for a token that is unknown,
  /// used up or expired.
  absl::StatusOr<HandedOver> Redeem(std::string_view token);

  /// For Make alone. `listener` is bound and listens, `stop` is an eventfd.
  HandOverServer(std::string path, Fd listener, Fd stop, const Logger& log, Clock& clock);

 private:
  struct Pending {
    HandedOver device;
    int64_t expires_ns = 0;
  };

  void Run();
  void ServePeer(const Fd& peer);
  /// Receives a device and returns its token.
  absl::StatusOr<std::string> Accept(const Fd& peer);
  /// Keeps the device and returns its token.
  absl::StatusOr<std::string> Keep(HandedOver device);
  void DropExpiredLocked();
  /// When to look for expired tokens next, for poll(2).
  int PollTimeoutMs();

  const std::string path_;
  const Fd listener_;
  const Fd stop_;
  const Logger& log_;
  Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Pending, std::less<>> pending_;
  std::thread thread_;
};

}  // namespace planecast
