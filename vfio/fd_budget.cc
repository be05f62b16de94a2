#include "vfio/fd_budget.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

/// Beyond this part in a hundred it is told before it runs out.
constexpr size_t kNearlyUsedPercent = 90;
/// Nobody needs more, and sums of it stay far from overflow.
constexpr size_t kLimitMax = size_t{1} << 24;

constexpr char kRemedy[] =
    "raise LimitNOFILE of the daemon's unit (or ulimit -n), or detach another display";

size_t DisplaysMax(size_t limit) {
  const size_t kept = kFdsOwn + std::max(kFdsReserveMin, limit / kFdsReserveOf * kFdsReserveShare);
  return limit - std::min(limit, kept);
}

}  // namespace

FdBudget::FdBudget(size_t limit)
    // So that what is left to connections is never negative.
    : limit_(std::clamp(limit, kFdsOwn, kLimitMax)), displays_max_(DisplaysMax(limit_)) {}

absl::StatusOr<FdClaim> FdBudget::Take(const FdNeeds& needs) {
  const std::lock_guard<std::mutex> lock(mutex_);
  absl::Status added = AddLocked(needs.fixed + needs.buffers * needs.per_buffer, "a display");
  if (!added.ok()) return added;
  FdClaim claim(*this, needs);
  if (claim.shares_) sharers_ += needs.per_buffer;
  SpreadLocked();
  return claim;
}

absl::Status FdBudget::AddLocked(size_t fds, const char* what) {
  if (fds <= displays_max_ - claimed_) {
    claimed_ += fds;
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      what, " takes ", fds, " file descriptors, and of this process's limit of ", limit_, " only ",
      displays_max_ - claimed_, " are left for displays (the others have ", claimed_,
      ", connections and the daemon itself keep ", limit_ - displays_max_, "): ", kRemedy));
}

void FdBudget::SpreadLocked() {
  const size_t extra = sharers_ == 0 ? 0 : (displays_max_ - claimed_) / sharers_;
  extra_buffers_.store(extra, std::memory_order_relaxed);
}

FdBudget::Reading FdBudget::Read() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {limit_, displays_max_, claimed_, short_displays_};
}

size_t FdBudget::connections_max() const {
  const size_t connections = (limit_ - displays_max_ - kFdsOwn) / kFdsPerConnection;
  return connections - std::min(connections, kOperatorConnections);
}

std::vector<std::string> FdBudget::Shortages(size_t open_fds) const {
  const Reading reading = Read();
  std::vector<std::string> shortages;
  if (reading.claimed * 100 >= reading.displays_max * kNearlyUsedPercent) {
    shortages.push_back(absl::StrCat("File descriptors: displays have claimed ", reading.claimed,
                                     " of the ", reading.displays_max, " that a limit of ",
                                     reading.limit, " leaves them: ", kRemedy, "."));
  }
  if (reading.short_displays > 0) {
    shortages.push_back(absl::StrCat("File descriptors: ", reading.short_displays,
                                     " displays keep fewer of their guests' framebuffers open than "
                                     "they would, and fetch them anew: ",
                                     kRemedy, "."));
  }
  if (open_fds * 100 >= reading.limit * kNearlyUsedPercent) {
    shortages.push_back(absl::StrCat("File descriptors: ", open_fds, " of at most ", reading.limit,
                                     " are open: ", kRemedy, "."));
  }
  return shortages;
}

FdClaim& FdClaim::operator=(FdClaim&& other) noexcept {
  if (this == &other) return *this;
  Release();
  budget_ = std::exchange(other.budget_, nullptr);
  needs_ = other.needs_;
  shares_ = std::exchange(other.shares_, false);
  short_ = std::exchange(other.short_, false);
  return *this;
}

size_t FdClaim::buffers_max() const {
  if (budget_ == nullptr) return kBuffersKeptMax;
  if (!shares_) return needs_.buffers;
  const size_t extra = budget_->extra_buffers_.load(std::memory_order_relaxed);
  return std::clamp(needs_.buffers + extra, needs_.buffers,
                    std::max(needs_.buffers, kBuffersKeptMax));
}

absl::Status FdClaim::ClaimBuffers(size_t buffers) {
  if (budget_ == nullptr) return absl::OkStatus();
  const std::lock_guard<std::mutex> lock(budget_->mutex_);
  StopSharingLocked();
  if (buffers > needs_.buffers) {
    absl::Status added = budget_->AddLocked((buffers - needs_.buffers) * needs_.per_buffer,
                                            "one more framebuffer of this driver, which can't take "
                                            "back what it gave out,");
    if (!added.ok()) return added;
    needs_.buffers = buffers;
  }
  budget_->SpreadLocked();
  return absl::OkStatus();
}

void FdClaim::ReleaseBuffers() {
  if (budget_ == nullptr) return;
  const std::lock_guard<std::mutex> lock(budget_->mutex_);
  StopSharingLocked();
  budget_->claimed_ -= std::exchange(needs_.buffers, 0) * needs_.per_buffer;
  budget_->SpreadLocked();
}

void FdClaim::SetShort(bool is_short) {
  if (budget_ == nullptr || short_ == is_short) return;
  short_ = is_short;
  const std::lock_guard<std::mutex> lock(budget_->mutex_);
  is_short ? ++budget_->short_displays_ : --budget_->short_displays_;
}

void FdClaim::StopSharingLocked() {
  if (std::exchange(shares_, false)) budget_->sharers_ -= needs_.per_buffer;
}

void FdClaim::Release() {
  if (budget_ == nullptr) return;
  SetShort(false);
  {
    const std::lock_guard<std::mutex> lock(budget_->mutex_);
    StopSharingLocked();
    budget_->claimed_ -= needs_.fixed + needs_.buffers * needs_.per_buffer;
    budget_->SpreadLocked();
  }
  budget_ = nullptr;
}

}  // namespace planecast
