#include "service/rpc/call_limiter.h"

#include <algorithm>

namespace planecast {
namespace {

constexpr int kCountsPerForget = 4096;

}  // namespace

CallLimiter::Verdict CallLimiter::Count(const std::string& connection, const std::string& address,
                                        double factor, int64_t now_ns) {
  Forget(now_ns);
  Entry& own = EntryOf(connections_, connection, factor);
  Entry& all = EntryOf(addresses_, address, factor * limits_.address_factor);
  if (!own.calls.Take(1, now_ns)) return Verdict::kTooMany;
  if (all.calls.Take(1, now_ns)) return Verdict::kFine;
  return own.refused.Take(1, now_ns) ? Verdict::kRefused : Verdict::kTooMany;
}

bool CallLimiter::CountAddress(const std::string& address, double factor, int64_t now_ns) {
  Forget(now_ns);
  Entry& all = EntryOf(addresses_, address, factor * limits_.address_factor);
  return all.calls.Take(1, now_ns);
}

void CallLimiter::AddViewers(const std::string* connection, const std::string& address, int change,
                             int64_t now_ns) {
  const auto add = [&](Entries& entries, const std::string& key, double factor) {
    Entry& entry = EntryOf(entries, key, factor);
    entry.viewers = std::max(entry.viewers + change, 0);
    entry.calls.Resize(limits_.connection_hz * factor + limits_.viewer_hz * entry.viewers,
                       limits_.connection_burst * factor, now_ns);
  };
  if (connection != nullptr) add(connections_, *connection, 1);
  add(addresses_, address, limits_.address_factor);
}

void CallLimiter::EndConnection(const std::string& connection, int64_t now_ns) {
  const auto own = connections_.find(connection);
  if (own == connections_.end()) return;
  own->second.viewers = 0;
  own->second.calls.Resize(limits_.connection_hz, limits_.connection_burst, now_ns);
}

CallLimiter::Entry& CallLimiter::EntryOf(Entries& entries, const std::string& key, double factor) {
  const auto known = entries.find(key);
  if (known != entries.end()) return known->second;
  Entry fresh{TokenBucket(limits_.connection_hz * factor, limits_.connection_burst * factor),
              TokenBucket(limits_.refused_hz, limits_.refused_burst)};
  return entries.emplace(key, fresh).first->second;
}

void CallLimiter::Forget(int64_t now_ns) {
  if (--counts_until_forget_ > 0) return;
  counts_until_forget_ = kCountsPerForget;
  const auto forget = [now_ns](const auto& entry) {
    return entry.second.viewers == 0 && entry.second.calls.IsFull(now_ns);
  };
  std::erase_if(connections_, forget);
  std::erase_if(addresses_, forget);
}

}  // namespace planecast
