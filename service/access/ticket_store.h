// Tickets: who may start to watch with which secret, and the sessions that came of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "service/access/policy.h"
#include "service/access/rights.h"
#include "service/access/ticket_secret.h"
#include "vfio/clock.h"

namespace planecast {

/// Tickets kept at a time; of more, none can be made.
inline constexpr size_t kTicketsMax = 10'000;
inline constexpr size_t kTicketDisplaysMax = 16;
inline constexpr int kTicketUsesMax = 1000;
/// A session outlives its stream by so much, for a reconnect.
inline constexpr int64_t kSessionGraceNs = 30'000'000'000;

/// A display as a ticket is for it: a later one with the same id is another.
struct TicketDisplay {
  std::string id;
  std::string uid;
  friend bool operator==(const TicketDisplay&, const TicketDisplay&) = default;
};

struct TicketSpec {
  std::vector<TicketDisplay> displays;
  std::string role;
  PermissionSet permissions;
  int64_t start_ttl_ns = 60'000'000'000;
  int64_t session_max_ns = int64_t{12} * 3600 * 1'000'000'000;
  int uses = 1;
  /// 64 hexadecimal digits, lower case, or empty.
  std::string certificate_sha256;
  std::string note;
  /// Principal's name.
  std::string issuer;
  /// The ticket by which its maker came, and his session; 0 for none. When either ends, for
  /// whatever reason, this one ends too.
  std::string parent_id = {};
  uint64_t parent_session = 0;
  /// Neither the ticket nor a session of it outlives this moment: nobody gives for longer than he
  /// has. Monotonic.
  std::optional<int64_t> ends_ns;
};

/// What may be told of a ticket.
struct TicketInfo {
  /// Public; 16 hexadecimal digits.
  std::string id;
  TicketSpec spec;
  int64_t created_ns = 0;
  int64_t start_expires_ns = 0;
  int uses_left = 0;
  int sessions = 0;
};

/// Why a ticket does not do. Only the first two are told apart to its holder.
enum class TicketRefusal { kInvalid, kNeedsSession };

class TicketStore;

/// One viewer's right by a ticket, from the start of his first stream on. Movable; ends the
/// stream's part of the session when destroyed, which leaves kSessionGraceNs for a reconnect.
/// Destroyed before Start it is as if Abandon was called. Thread-compatible.
class SessionHold {
 public:
  SessionHold() = default;
  SessionHold(SessionHold&& other) noexcept;
  SessionHold& operator=(SessionHold&& other) noexcept;
  ~SessionHold();

  explicit operator bool() const { return store_ != nullptr; }
  /// When the session ends at the latest, monotonic.
  int64_t ends_ns() const { return ends_ns_; }
  /// The stream began under this viewer id. `on_end` is called at most once, by any thread and
  /// without locks held, when the right ends while the stream runs, with a sentence for a person;
  /// by this call if it has ended already. It must not block and must not use the store. It may
  /// still be running just after the hold is destroyed: what it captures must live by itself.
  ///
  /// The session is this stream's from now on. One that went on under the same session is the
  /// caller's to end; until its hold goes, it hears of the right's end as well.
  void Start(std::string_view viewer_id, std::function<void(const std::string&)> on_end);
  /// No stream came of it: a use that it took is given back. After Start as destruction.
  void Abandon();
  /// The viewer was sent away: nothing is left for a reconnect. Does nothing but end this stream's
  /// part if another has the session by now.
  void EndForGood();

 private:
  friend class TicketStore;
  struct Stream;
  SessionHold(std::shared_ptr<TicketStore> store, uint64_t session, std::shared_ptr<Stream> stream);

  std::shared_ptr<TicketStore> store_;
  uint64_t session_ = 0;
  int64_t ends_ns_ = 0;
  std::shared_ptr<Stream> stream_;
};

/// What a call with a ticket may do.
struct TicketCall {
  std::string ticket_id;
  Rights rights;
  /// The call belongs to a session.
  std::optional<uint64_t> session;
  /// When the right ends at the latest, monotonic: the session's end; without one, the end of a
  /// session that would start as late as can be.
  int64_t ends_ns = 0;
};

/// All tickets, in memory, as hashes. Thread-safe. Held by shared_ptr, as SessionHolds may outlive
/// their maker.
///
/// Who comes with a ticket that is unknown, expired, used up, revoked or for another certificate
/// gets kInvalid, and never learns which.
class TicketStore : public std::enable_shared_from_this<TicketStore> {
 public:
  /// `clock` must outlive the store.
  static std::shared_ptr<TicketStore> Make(Clock& clock);
  ~TicketStore();

  struct Made {
    /// `pct_` and 43 characters of base64url. Nobody else has it, and nobody logs it.
    std::string secret;
    TicketInfo info;
  };
  /// `spec` is within the limits above. INVALID_ARGUMENT for a display's id that can't be one;
  /// RESOURCE_EXHAUSTED at kTicketsMax; UNAVAILABLE without random bytes.
  absl::StatusOr<Made> Create(const TicketSpec& spec);

  /// A call that is no viewer's stream. With `viewer_id`: of that session, while its stream runs
  /// and kSessionGraceNs after. Without: before the first stream, if it only reads; a call that
  /// does more gets kNeedsSession then.
  std::variant<TicketCall, TicketRefusal> CheckCall(std::string_view secret,
                                                    std::string_view viewer_id, const Peer& peer,
                                                    bool only_reads);
  /// A viewer's stream, before it is known of which display: what the ticket could permit. Uses
  /// nothing up.
  std::variant<TicketCall, TicketRefusal> CheckStream(std::string_view secret, const Peer& peer);
  /// Whether a stream could begin so, whatever the display: said before anything else is, so that a
  /// used ticket hears the same as an unknown one. Uses nothing up.
  bool CanBeginStream(std::string_view secret, std::string_view resumed_viewer_id,
                      const Peer& peer);
  /// A viewer's stream of this display begins. Without `resumed_viewer_id` it takes a use; with it
  /// the session must be that viewer's, and may still count as running: the server may notice a
  /// lost connection later than the viewer.
  std::variant<SessionHold, TicketRefusal> BeginStream(std::string_view secret,
                                                       std::string_view resumed_viewer_id,
                                                       const TicketDisplay& display,
                                                       const Peer& peer);
  /// What CheckCall or CheckStream allowed is still allowed: for calls that go on for long. Without
  /// a session that is so while a first stream can be started, and while a session goes on.
  bool StillValid(const TicketCall& call);

  /// Oldest first.
  std::vector<TicketInfo> List();
  /// Nothing if there is no such ticket.
  std::optional<TicketInfo> Find(std::string_view ticket_id);
  /// False if there is no such ticket. Ends its sessions.
  bool Revoke(std::string_view ticket_id);
  /// Ends the tickets that are for this display.
  void ForgetDisplay(const TicketDisplay& display);
  /// Ends sessions whose time is over, and forgets what is void. To be called about once a second.
  void Tick();

 private:
  friend class SessionHold;
  struct Session;
  struct Ticket;
  /// Callbacks that are to be called once the lock is not held.
  struct Ended;

  explicit TicketStore(Clock& clock);

  void Start(uint64_t session, const std::shared_ptr<SessionHold::Stream>& stream,
             std::string_view viewer_id, std::function<void(const std::string&)> on_end);
  void Release(uint64_t session, const std::shared_ptr<SessionHold::Stream>& stream, bool for_good);

  /// The ticket that this peer may use, if it is not void; else null.
  Ticket* FindLocked(std::string_view secret, const Peer& peer, int64_t now_ns);
  void EraseLocked(uint64_t ticket, std::string_view reason, Ended& ended);
  void TickLocked(int64_t now_ns, Ended& ended);
  /// Ends the tickets that were made in these sessions, and tells which.
  void EraseMadeInLocked(const std::unordered_set<uint64_t>& sessions,
                         std::vector<std::string>& erased, Ended& ended);
  /// A ticket and this session of it; 0 for the ticket alone.
  bool GoesOnLocked(const std::string& ticket_id, uint64_t session_number, int64_t now_ns) const;
  /// Ends the tickets that were made by holders of these.
  void EraseChildrenLocked(std::vector<std::string> parents, Ended& ended);

  Clock& clock_;
  std::mutex mutex_;
  /// Oldest first; by a number of the store's own.
  std::map<uint64_t, std::unique_ptr<Ticket>> tickets_;
  std::unordered_map<std::string, uint64_t> by_hash_;
  std::unordered_map<std::string, uint64_t> by_id_;
  /// Ticket of each session.
  std::unordered_map<uint64_t, uint64_t> by_session_;
  uint64_t next_number_ = 1;
};

}  // namespace planecast
