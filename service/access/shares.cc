#include "service/access/shares.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

/// How a person is told of it.
struct SharedWords {
  const char* plural;
  const char* remedy;
  /// Of SharesConfig; empty if nothing raises it.
  const char* setting;
};

constexpr std::array<SharedWords, kSharedKinds> kWords = {{
    {"viewers", "end one", "viewers_max"},
    {"watches", "end one", "watches_max"},
    {"streams without a start", "send StreamStart, or end one", "unstarted_streams_max"},
    {"snapshots under way", "wait for one", "snapshots_max"},
    {"health watches", "end one", ""},
    {"calls under way", "wait for an answer", ""},
}};

size_t IndexOf(Shared what) {
  return static_cast<size_t>(what);
}

absl::Status ShareUsedUp(Shared what, std::string_view whose, int limit, const char* shares) {
  const SharedWords& words = kWords[IndexOf(what)];
  std::string text = absl::StrCat(std::string(whose), " has its share of ", limit, " ",
                                  words.plural, ": ", words.remedy);
  if (*words.setting != '\0') {
    absl::StrAppend(&text, ", or raise limits.", shares, ".", words.setting,
                    " in the server's config");
  }
  return absl::ResourceExhaustedError(text);
}

absl::Status AllTaken(Shared what, int limit) {
  return absl::ResourceExhaustedError(absl::StrCat("the limit of ", limit, " ",
                                                   kWords[IndexOf(what)].plural,
                                                   " of everybody is reached: try again soon"));
}

}  // namespace

ShareHolder HolderOf(const Peer& peer, const Principal& principal) {
  const bool somebody =
      principal.kind != Principal::Kind::kNobody && principal.kind != Principal::Kind::kAnonymous;
  return {peer.limit_key, somebody ? std::string_view(principal.name) : std::string_view(),
          peer.door == Door::kOperatorSocket};
}

/// Who has what.
class ShareBooks : public std::enable_shared_from_this<ShareBooks> {
 public:
  explicit ShareBooks(const ShareTable& limits) : limits_(limits) {}

  absl::StatusOr<ShareHold> Take(Shared what, const ShareHolder& who, ShareHold* instead_of) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool exchange = instead_of != nullptr && instead_of->books_.get() == this;
    if (exchange) AddLocked(*instead_of, -1);
    if (auto status = CheckLocked(what, who); !status.ok()) {
      if (exchange) AddLocked(*instead_of, 1);
      return status;
    }
    ShareHold hold;
    hold.books_ = shared_from_this();
    hold.what_ = what;
    if (!who.by_operator_socket) {
      hold.address_ = AccountLocked(addresses_, who.address);
      hold.principal_ = AccountLocked(principals_, who.principal);
    }
    AddLocked(hold, 1);
    if (exchange) {
      PruneLocked(*instead_of);
      instead_of->books_.reset();
    }
    return hold;
  }

  void GiveBack(const ShareHold& hold) {
    const std::lock_guard<std::mutex> lock(mutex_);
    AddLocked(hold, -1);
    PruneLocked(hold);
  }

  size_t peers() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return addresses_.size() + principals_.size();
  }

 private:
  using Accounts = std::map<std::string, ShareHold::Counts, std::less<>>;

  static ShareHold::Account* AccountLocked(Accounts& accounts, std::string_view name) {
    if (name.empty()) return nullptr;
    auto found = accounts.find(name);
    if (found == accounts.end()) {
      found = accounts.emplace(std::string(name), ShareHold::Counts{}).first;
    }
    return &*found;
  }

  static int CountLocked(const Accounts& accounts, std::string_view name, Shared what) {
    const auto found = accounts.find(name);
    return found == accounts.end() ? 0 : found->second[IndexOf(what)];
  }

  void AddLocked(const ShareHold& hold, int change) {
    const size_t index = IndexOf(hold.what_);
    all_[index] += change;
    if (hold.address_ != nullptr) hold.address_->second[index] += change;
    if (hold.principal_ != nullptr) hold.principal_->second[index] += change;
  }

  /// Who has nothing is not remembered: hostile names must not pile up.
  void PruneLocked(const ShareHold& hold) {
    Prune(addresses_, hold.address_);
    Prune(principals_, hold.principal_);
  }
  static void Prune(Accounts& accounts, const ShareHold::Account* account) {
    if (account == nullptr || account->second != ShareHold::Counts{}) return;
    accounts.erase(accounts.find(account->first));
  }

  absl::Status CheckLocked(Shared what, const ShareHolder& who) const {
    const ShareLimits& limits = limits_[IndexOf(what)];
    const int taken = all_[IndexOf(what)];
    if (who.by_operator_socket) {
      return taken < limits.all ? absl::OkStatus() : AllTaken(what, limits.all);
    }
    // His own share first: that is what he can do something about.
    if (!who.address.empty() && CountLocked(addresses_, who.address, what) >= limits.per_address) {
      return ShareUsedUp(what, who.address, limits.per_address, "per_address");
    }
    if (!who.principal.empty() &&
        CountLocked(principals_, who.principal, what) >= limits.per_principal) {
      return ShareUsedUp(what, who.principal, limits.per_principal, "per_principal");
    }
    const int all = limits.all - limits.reserved;
    return taken < all ? absl::OkStatus() : AllTaken(what, all);
  }

  const ShareTable limits_;
  mutable std::mutex mutex_;
  ShareHold::Counts all_{};
  Accounts addresses_;
  Accounts principals_;
};

ShareHold::ShareHold(ShareHold&& other) noexcept
    : books_(std::move(other.books_)),
      what_(other.what_),
      address_(other.address_),
      principal_(other.principal_) {}

ShareHold& ShareHold::operator=(ShareHold&& other) noexcept {
  if (this == &other) return *this;
  Release();
  books_ = std::move(other.books_);
  what_ = other.what_;
  address_ = other.address_;
  principal_ = other.principal_;
  return *this;
}

void ShareHold::Release() {
  if (const auto books = std::exchange(books_, nullptr)) books->GiveBack(*this);
}

ShareKeeper::ShareKeeper(const ShareTable& limits) : books_(std::make_shared<ShareBooks>(limits)) {}

absl::StatusOr<ShareHold> ShareKeeper::Take(Shared what, const ShareHolder& who,
                                            ShareHold* instead_of) const {
  return books_->Take(what, who, instead_of);
}

size_t ShareKeeper::peers() const {
  return books_->peers();
}

}  // namespace planecast
