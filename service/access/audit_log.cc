#include "service/access/audit_log.h"

#include <sys/uio.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

// Our own place in the source tells a reader of the journal nothing.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "service/access/audit_line.h"

namespace planecast {
namespace {

constexpr TryLimiter::Options kPerPeer = {
    .burst = 10, .refill_ns = 1'000'000'000, .peers_max = 4096};
/// What is no operator's doing, for each peer: a gateway's many viewers come from one.
constexpr TryLimiter::Options kUsesPerPeer = {
    .burst = 500, .refill_ns = 20'000'000, .peers_max = 4096};
/// Refusals have a bucket beside all else's: who knocks from many addresses fills the log no
/// faster, and hides nothing that others do.
constexpr TryLimiter::Options kTotals = {.burst = 1000, .refill_ns = 5'000'000, .peers_max = 3};
/// What only operators do: nobody else can crowd it out.
constexpr std::string_view kOperatorsPermission = "MANAGE";

bool SendToJournal(const std::vector<std::string>& fields) {
  std::vector<iovec> vectors;
  vectors.reserve(fields.size());
  for (const std::string& field : fields) {
    // iovec is for reading into as well; sendv only looks.
    vectors.push_back({const_cast<char*>(field.data()), field.size()});
  }
  return sd_journal_sendv(vectors.data(), static_cast<int>(vectors.size())) == 0;
}

}  // namespace

class AuditLog::FunctionClock : public Clock {
 public:
  explicit FunctionClock(std::function<int64_t()> now_ns) : now_ns_(std::move(now_ns)) {}
  int64_t NowNs() override { return now_ns_(); }

 private:
  const std::function<int64_t()> now_ns_;
};

absl::StatusOr<std::unique_ptr<AuditLog>> AuditLog::Open(Options options) {
  std::unique_ptr<AuditLog> log(new AuditLog(std::move(options)));
  if (log->options_.file_path.empty()) return log;
  absl::StatusOr<std::unique_ptr<AuditFile>> file =
      AuditFile::Open(log->options_.file_path, log->options_.monotonic_ns);
  if (!file.ok()) return file.status();
  log->file_ = *std::move(file);
  return log;
}

AuditLog::AuditLog(Options options)
    : options_(std::move(options)),
      clock_(std::make_unique<FunctionClock>(options_.monotonic_ns)),
      refusals_per_peer_(*clock_, kPerPeer),
      uses_per_peer_(*clock_, kUsesPerPeer),
      totals_(*clock_, kTotals) {
  if (!options_.journal && IsJournal(STDERR_FILENO, std::getenv("JOURNAL_STREAM"))) {
    options_.journal = SendToJournal;
    // libsystemd makes its socket with the first message and keeps it. Later the daemon may not be
    // allowed to make any.
    SendToJournal({"MESSAGE=audit: events are kept in the journal", "PRIORITY=6"});
  }
}

AuditLog::~AuditLog() = default;

void AuditLog::Write(const AuditEntry& entry) {
  if (!IsWithinLimits(entry)) {
    ++suppressed_;
    ++untold_;
    return;
  }
  const uint64_t suppressed = untold_.exchange(0);
  const std::string json = AuditJson(entry, options_.wall_ns(), suppressed);
  if (!options_.journal || !options_.journal(AuditJournalFields(entry, suppressed))) {
    options_.log_line(json);
  }
  if (file_ != nullptr) file_->Append(json);
}

bool AuditLog::IsWithinLimits(const AuditEntry& entry) {
  const std::string& peer = entry.limit_key.empty() ? entry.peer : entry.limit_key;
  if (entry.event == AuditEvent::kRefusal) {
    return refusals_per_peer_.Failed(peer) && totals_.Failed("refusals");
  }
  if (entry.permission == kOperatorsPermission) return totals_.Failed("operators");
  return uses_per_peer_.Failed(peer) && totals_.Failed("all else");
}

void AuditLog::CountLost() {
  ++dropped_;
}

std::string AuditLog::Problem() const {
  return file_ == nullptr ? "" : file_->Problem();
}

uint64_t AuditLog::lost() const {
  return dropped_ + (file_ == nullptr ? 0 : file_->lost());
}

}  // namespace planecast
