#include "service/access/ticket_store.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr std::string_view kRevoked = "The ticket was revoked.";
constexpr std::string_view kTimeIsOver = "The ticket's time is over.";
constexpr std::string_view kDisplayDetached = "A display of the ticket was detached.";
constexpr std::string_view kSentAway = "The viewer was sent away.";

int64_t After(int64_t time_ns, int64_t duration_ns) {
  constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  return duration_ns > kNever - time_ns ? kNever : time_ns + duration_ns;
}

int64_t Bounded(int64_t time_ns, const TicketSpec& spec) {
  return std::min(time_ns, spec.ends_ns.value_or(time_ns));
}

}  // namespace

/// One stream's part of a session. Guarded by the store's mutex.
struct SessionHold::Stream {
  /// It took a use, and would give it back.
  bool first = false;
  bool started = false;
  /// Another stream has the session now.
  bool superseded = false;
  /// Why the right ended; empty while it goes on.
  std::string ended;
  std::function<void(const std::string&)> on_end;
};

struct TicketStore::Session {
  uint64_t number = 0;
  /// SHA-256; empty before the first stream started.
  std::string viewer_hash;
  int64_t ends_ns = 0;
  /// A reconnect may come before this, after the last stream.
  int64_t grace_ends_ns = std::numeric_limits<int64_t>::min();
  std::vector<std::shared_ptr<SessionHold::Stream>> streams;

  bool GoesOn(int64_t now_ns) const {
    if (now_ns >= ends_ns) return false;
    return now_ns < grace_ends_ns ||
           std::any_of(streams.begin(), streams.end(),
                       [](const auto& stream) { return !stream->superseded; });
  }
};

struct TicketStore::Ticket {
  uint64_t number = 0;
  std::string hash;
  std::string id;
  TicketSpec spec;
  Rights rights;
  int64_t created_ns = 0;
  int64_t start_expires_ns = 0;
  int uses_left = 0;
  std::map<uint64_t, Session> sessions;

  bool CanStart(int64_t now_ns) const { return uses_left > 0 && now_ns < start_expires_ns; }
  int SessionsThatGoOn(int64_t now_ns) const {
    return static_cast<int>(
        std::count_if(sessions.begin(), sessions.end(),
                      [now_ns](const auto& entry) { return entry.second.GoesOn(now_ns); }));
  }
  bool IsVoid(int64_t now_ns) const { return !CanStart(now_ns) && SessionsThatGoOn(now_ns) == 0; }
  /// The end of a session that starts at this moment.
  int64_t SessionEndNs(int64_t start_ns) const {
    return Bounded(After(start_ns, spec.session_max_ns), spec);
  }
  TicketCall Call() const { return {id, rights, std::nullopt, SessionEndNs(start_expires_ns)}; }
  TicketInfo Info(int64_t now_ns) const {
    return {id, spec, created_ns, start_expires_ns, uses_left, SessionsThatGoOn(now_ns)};
  }
  bool IsFor(const TicketDisplay& display) const {
    return std::find(spec.displays.begin(), spec.displays.end(), display) != spec.displays.end();
  }
  /// This viewer's session, if it goes on; else null.
  Session* Find(std::string_view viewer_id, int64_t now_ns) {
    const std::string viewer_hash = Sha256(viewer_id);
    if (viewer_hash.empty()) return nullptr;
    for (auto& [session_number, session] : sessions) {
      if (session.viewer_hash == viewer_hash && session.GoesOn(now_ns)) return &session;
    }
    return nullptr;
  }
};

struct TicketStore::Ended {
  struct Call {
    std::function<void(const std::string&)> on_end;
    std::string reason;
  };
  std::vector<Call> calls;

  Ended() = default;
  Ended(const Ended&) = delete;
  Ended& operator=(const Ended&) = delete;
  /// Declared before the lock that it must outlive.
  ~Ended() {
    for (const Call& call : calls) {
      if (call.on_end) call.on_end(call.reason);
    }
  }
  void Add(Session& session, std::string_view reason) {
    for (const std::shared_ptr<SessionHold::Stream>& stream : session.streams) {
      stream->ended = reason;
      if (stream->on_end) calls.push_back({std::exchange(stream->on_end, nullptr), stream->ended});
    }
    session.streams.clear();
  }
};

// --- SessionHold

SessionHold::SessionHold(std::shared_ptr<TicketStore> store, uint64_t session,
                         std::shared_ptr<Stream> stream)
    : store_(std::move(store)), session_(session), stream_(std::move(stream)) {}

SessionHold::SessionHold(SessionHold&& other) noexcept
    : store_(std::move(other.store_)),
      session_(std::exchange(other.session_, 0)),
      ends_ns_(other.ends_ns_),
      stream_(std::move(other.stream_)) {}

SessionHold& SessionHold::operator=(SessionHold&& other) noexcept {
  if (this == &other) return *this;
  Abandon();
  store_ = std::move(other.store_);
  session_ = std::exchange(other.session_, 0);
  ends_ns_ = other.ends_ns_;
  stream_ = std::move(other.stream_);
  return *this;
}

SessionHold::~SessionHold() {
  Abandon();
}

void SessionHold::Start(std::string_view viewer_id,
                        std::function<void(const std::string&)> on_end) {
  if (store_ != nullptr) store_->Start(session_, stream_, viewer_id, std::move(on_end));
}

void SessionHold::Abandon() {
  if (store_ != nullptr) store_->Release(session_, stream_, false);
  store_ = nullptr;
  stream_ = nullptr;
}

void SessionHold::EndForGood() {
  if (store_ != nullptr) store_->Release(session_, stream_, true);
  store_ = nullptr;
  stream_ = nullptr;
}

// --- TicketStore

std::shared_ptr<TicketStore> TicketStore::Make(Clock& clock) {
  return std::shared_ptr<TicketStore>(new TicketStore(clock));
}

TicketStore::TicketStore(Clock& clock) : clock_(clock) {}

TicketStore::~TicketStore() = default;

absl::StatusOr<TicketStore::Made> TicketStore::Create(const TicketSpec& spec) {
  auto ticket = std::make_unique<Ticket>();
  for (const TicketDisplay& display : spec.displays) {
    // No id has a star, so that each pattern is for this one display.
    if (display.id.find('*') != std::string::npos) {
      return absl::InvalidArgumentError("a ticket is for displays, not for patterns");
    }
    absl::StatusOr<DisplayPattern> pattern = DisplayPattern::Parse(display.id);
    if (!pattern.ok()) return pattern.status();
    ticket->rights.Add({spec.permissions, *std::move(pattern)});
  }
  absl::StatusOr<std::string> secret = MakeTicketSecret();
  if (!secret.ok()) return secret.status();
  absl::StatusOr<std::string> id = MakeTicketId();
  if (!id.ok()) return id.status();
  ticket->hash = Sha256(*secret);
  if (ticket->hash.empty()) return absl::UnavailableError("can't hash a ticket; try again");
  ticket->id = *std::move(id);
  ticket->spec = spec;
  ticket->uses_left = spec.uses;

  Ended ended;
  const std::lock_guard<std::mutex> lock(mutex_);
  const int64_t now_ns = clock_.NowNs();
  // His right may have ended since he asked.
  if (!spec.parent_id.empty() && !GoesOnLocked(spec.parent_id, spec.parent_session, now_ns)) {
    return absl::UnauthenticatedError("the ticket has ended");
  }
  if (tickets_.size() >= kTicketsMax) TickLocked(now_ns, ended);
  if (tickets_.size() >= kTicketsMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("there are ", kTicketsMax, " tickets already; revoke some, or wait"));
  }
  ticket->number = next_number_++;
  ticket->created_ns = now_ns;
  ticket->start_expires_ns = Bounded(After(now_ns, spec.start_ttl_ns), spec);
  by_hash_[ticket->hash] = ticket->number;
  by_id_[ticket->id] = ticket->number;
  Made made{*std::move(secret), ticket->Info(now_ns)};
  const uint64_t number = ticket->number;
  tickets_[number] = std::move(ticket);
  return made;
}

std::variant<TicketCall, TicketRefusal> TicketStore::CheckCall(std::string_view secret,
                                                               std::string_view viewer_id,
                                                               const Peer& peer, bool only_reads) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const int64_t now_ns = clock_.NowNs();
  Ticket* const ticket = FindLocked(secret, peer, now_ns);
  if (ticket == nullptr) return TicketRefusal::kInvalid;
  TicketCall call = ticket->Call();
  if (viewer_id.empty()) {
    if (!ticket->CanStart(now_ns)) return TicketRefusal::kInvalid;
    if (!only_reads) return TicketRefusal::kNeedsSession;
    return call;
  }
  const Session* const session = ticket->Find(viewer_id, now_ns);
  if (session == nullptr) return TicketRefusal::kInvalid;
  call.session = session->number;
  call.ends_ns = session->ends_ns;
  return call;
}

std::variant<TicketCall, TicketRefusal> TicketStore::CheckStream(std::string_view secret,
                                                                 const Peer& peer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Ticket* const ticket = FindLocked(secret, peer, clock_.NowNs());
  if (ticket == nullptr) return TicketRefusal::kInvalid;
  return ticket->Call();
}

bool TicketStore::CanBeginStream(std::string_view secret, std::string_view resumed_viewer_id,
                                 const Peer& peer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const int64_t now_ns = clock_.NowNs();
  Ticket* const ticket = FindLocked(secret, peer, now_ns);
  if (ticket == nullptr) return false;
  return resumed_viewer_id.empty() ? ticket->CanStart(now_ns)
                                   : ticket->Find(resumed_viewer_id, now_ns) != nullptr;
}

std::variant<SessionHold, TicketRefusal> TicketStore::BeginStream(
    std::string_view secret, std::string_view resumed_viewer_id, const TicketDisplay& display,
    const Peer& peer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const int64_t now_ns = clock_.NowNs();
  Ticket* const ticket = FindLocked(secret, peer, now_ns);
  if (ticket == nullptr || !ticket->IsFor(display)) return TicketRefusal::kInvalid;
  auto stream = std::make_shared<SessionHold::Stream>();
  Session* session = nullptr;
  if (!resumed_viewer_id.empty()) {
    session = ticket->Find(resumed_viewer_id, now_ns);
    if (session == nullptr) return TicketRefusal::kInvalid;
  } else {
    if (!ticket->CanStart(now_ns)) return TicketRefusal::kInvalid;
    --ticket->uses_left;
    stream->first = true;
    const uint64_t number = next_number_++;
    session = &ticket->sessions[number];
    session->number = number;
    session->ends_ns = ticket->SessionEndNs(now_ns);
    by_session_[number] = ticket->number;
  }
  session->streams.push_back(stream);
  SessionHold hold(shared_from_this(), session->number, std::move(stream));
  hold.ends_ns_ = session->ends_ns;
  return hold;
}

bool TicketStore::StillValid(const TicketCall& call) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return GoesOnLocked(call.ticket_id, call.session.value_or(0), clock_.NowNs());
}

bool TicketStore::GoesOnLocked(const std::string& ticket_id, uint64_t session_number,
                               int64_t now_ns) const {
  const auto number = by_id_.find(ticket_id);
  if (number == by_id_.end()) return false;
  const Ticket& ticket = *tickets_.at(number->second);
  if (session_number == 0) return !ticket.IsVoid(now_ns);
  const auto session = ticket.sessions.find(session_number);
  return session != ticket.sessions.end() && session->second.GoesOn(now_ns);
}

std::vector<TicketInfo> TicketStore::List() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const int64_t now_ns = clock_.NowNs();
  std::vector<TicketInfo> infos;
  for (const auto& [number, ticket] : tickets_) {
    if (!ticket->IsVoid(now_ns)) infos.push_back(ticket->Info(now_ns));
  }
  return infos;
}

std::optional<TicketInfo> TicketStore::Find(std::string_view ticket_id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = by_id_.find(std::string(ticket_id));
  if (found == by_id_.end()) return std::nullopt;
  const int64_t now_ns = clock_.NowNs();
  const Ticket& ticket = *tickets_.at(found->second);
  if (ticket.IsVoid(now_ns)) return std::nullopt;
  return ticket.Info(now_ns);
}

bool TicketStore::Revoke(std::string_view ticket_id) {
  Ended ended;
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = by_id_.find(std::string(ticket_id));
  if (found == by_id_.end()) return false;
  const uint64_t number = found->second;
  // What Tick has not come to yet is gone all the same.
  const bool was_void = tickets_.at(number)->IsVoid(clock_.NowNs());
  EraseLocked(number, was_void ? kTimeIsOver : kRevoked, ended);
  EraseChildrenLocked({std::string(ticket_id)}, ended);
  return !was_void;
}

void TicketStore::ForgetDisplay(const TicketDisplay& display) {
  Ended ended;
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> erased;
  for (auto it = tickets_.begin(); it != tickets_.end();) {
    const auto& [number, ticket] = *it++;
    if (!ticket->IsFor(display)) continue;
    erased.push_back(ticket->id);
    EraseLocked(number, kDisplayDetached, ended);
  }
  EraseChildrenLocked(std::move(erased), ended);
}

void TicketStore::EraseChildrenLocked(std::vector<std::string> parents, Ended& ended) {
  while (!parents.empty()) {
    const std::string parent = std::move(parents.back());
    parents.pop_back();
    for (auto it = tickets_.begin(); it != tickets_.end();) {
      const auto& [number, ticket] = *it++;
      if (ticket->spec.parent_id != parent) continue;
      parents.push_back(ticket->id);
      EraseLocked(number, kRevoked, ended);
    }
  }
}

void TicketStore::Tick() {
  Ended ended;
  const std::lock_guard<std::mutex> lock(mutex_);
  TickLocked(clock_.NowNs(), ended);
}

void TicketStore::TickLocked(int64_t now_ns, Ended& ended) {
  // Nobody gives for longer than he has: what was made in a session that is over goes with it.
  std::vector<std::string> gone;
  std::unordered_set<uint64_t> gone_sessions;
  for (auto it = tickets_.begin(); it != tickets_.end();) {
    const auto& [number, ticket] = *it++;
    std::map<uint64_t, Session>& sessions = ticket->sessions;
    for (auto session = sessions.begin(); session != sessions.end();) {
      if (session->second.GoesOn(now_ns)) {
        ++session;
        continue;
      }
      ended.Add(session->second, kTimeIsOver);
      gone_sessions.insert(session->first);
      by_session_.erase(session->first);
      session = sessions.erase(session);
    }
    if (!ticket->IsVoid(now_ns)) continue;
    gone.push_back(ticket->id);
    EraseLocked(number, kTimeIsOver, ended);
  }
  EraseMadeInLocked(gone_sessions, gone, ended);
  EraseChildrenLocked(std::move(gone), ended);
}

void TicketStore::EraseMadeInLocked(const std::unordered_set<uint64_t>& sessions,
                                    std::vector<std::string>& erased, Ended& ended) {
  if (sessions.empty()) return;
  for (auto it = tickets_.begin(); it != tickets_.end();) {
    const auto& [number, ticket] = *it++;
    if (!sessions.contains(ticket->spec.parent_session)) continue;
    erased.push_back(ticket->id);
    EraseLocked(number, kRevoked, ended);
  }
}

void TicketStore::Start(uint64_t session_number, const std::shared_ptr<SessionHold::Stream>& stream,
                        std::string_view viewer_id,
                        std::function<void(const std::string&)> on_end) {
  Ended ended;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (stream->started) return;
  stream->started = true;
  const auto ticket = by_session_.find(session_number);
  if (ticket == by_session_.end()) {
    ended.calls.push_back({std::move(on_end), stream->ended});
    return;
  }
  Session& session = tickets_.at(ticket->second)->sessions.at(session_number);
  session.viewer_hash = Sha256(viewer_id);
  for (const std::shared_ptr<SessionHold::Stream>& other : session.streams) {
    other->superseded = other != stream;
  }
  stream->on_end = std::move(on_end);
}

void TicketStore::Release(uint64_t session_number,
                          const std::shared_ptr<SessionHold::Stream>& stream, bool for_good) {
  // What the callback holds may be much; it goes when the lock is gone.
  std::function<void(const std::string&)> forgotten;
  Ended ended;
  const std::lock_guard<std::mutex> lock(mutex_);
  forgotten = std::exchange(stream->on_end, nullptr);
  const auto number = by_session_.find(session_number);
  if (number == by_session_.end()) return;
  Ticket& ticket = *tickets_.at(number->second);
  Session& session = ticket.sessions.at(session_number);
  std::erase(session.streams, stream);
  if (stream->superseded) return;
  if (!for_good && stream->started) {
    session.grace_ends_ns = After(clock_.NowNs(), kSessionGraceNs);
    return;
  }
  // A reconnect that came to nothing leaves the session as it was.
  if (!for_good && !stream->first) return;
  if (!for_good) ++ticket.uses_left;
  ended.Add(session, kSentAway);
  by_session_.erase(number);
  ticket.sessions.erase(session_number);
  if (!for_good) return;
  // What he gave to others goes with him.
  std::vector<std::string> erased;
  EraseMadeInLocked({session_number}, erased, ended);
  EraseChildrenLocked(std::move(erased), ended);
}

TicketStore::Ticket* TicketStore::FindLocked(std::string_view secret, const Peer& peer,
                                             int64_t now_ns) {
  if (!LooksLikeTicket(secret)) return nullptr;
  // How long a look-up of a hash takes tells nothing: nobody can choose hashes.
  const auto number = by_hash_.find(Sha256(secret));
  if (number == by_hash_.end()) return nullptr;
  Ticket* const ticket = tickets_.at(number->second).get();
  const std::string& bound_to = ticket->spec.certificate_sha256;
  const bool certificate_fits =
      bound_to.empty() || (peer.certificate.has_value() && peer.certificate->sha256 == bound_to);
  return certificate_fits && !ticket->IsVoid(now_ns) ? ticket : nullptr;
}

void TicketStore::EraseLocked(uint64_t number, std::string_view reason, Ended& ended) {
  const auto found = tickets_.find(number);
  Ticket& ticket = *found->second;
  for (auto& [session_number, session] : ticket.sessions) {
    ended.Add(session, reason);
    by_session_.erase(session_number);
  }
  by_hash_.erase(ticket.hash);
  by_id_.erase(ticket.id);
  tickets_.erase(found);
}

}  // namespace planecast
