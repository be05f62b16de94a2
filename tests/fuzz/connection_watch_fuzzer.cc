// Who sends how much, with which credit for calls and pictures, is cut off, or goes: whom the watch
// leaves alone has kept to what he may, nobody ends twice or without a reason, and the shares know
// how many are left.
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "service/sockets/connection_shares.h"
#include "service/sockets/connection_watch.h"
#include "tests/fuzz/connections.h"
#include "vfio/clock.h"

namespace {

using namespace planecast;        // NOLINT(google-build-using-namespace): nobody includes a fuzzer.
using namespace planecast::fuzz;  // NOLINT(google-build-using-namespace): as above.

class WatchRun {
 public:
  WatchRun() {
    ConnectionWatch::Options options;
    options.clock = &clock_;
    options.limits = limits_;
    options.on_end = [this](const WatchedConnection& who, auto why) { OnEnd(who, why); };
    auto made = ConnectionWatch::Make(std::move(options));
    Require(made.ok());
    watch_ = *std::move(made);
  }

  void Step(Input& input) {
    const int what = input.Next(9);
    const std::string name = absl::StrCat("c", input.Next(8));
    const auto found = links_.find(name);
    Link* link = found == links_.end() ? nullptr : &found->second;
    switch (what) {
      case 0:
        if (link == nullptr) Accept(name, input);
        break;
      case 1:
        NoteCall(name, input);
        if (link != nullptr) link->called = true;
        break;
      case 2:
        watch_->NoteKnown(name);
        if (link == nullptr) break;
        link->known = true;
        shares_.NoteKnown(link->address, clock_.NowNs());
        break;
      case 3:
        AddViewers(name, link, input.Next(3) == 0 ? -1 : 1);
        break;
      case 4:
        if (link == nullptr || link->useful == nullptr) break;
        link->useful->NoteMessage(static_cast<size_t>(input.Next(64)));
        break;
      case 5:
        if (link != nullptr) SendSome(*link, 1 << input.Next(13));
        break;
      case 6:
        if (link != nullptr) Leave(name, *link);
        break;
      case 7:
        CutOff(name, input);
        break;
      default:
        clock_.Advance(int64_t{1'000'000} << input.Next(14));
    }
    Look();
  }

  /// All leave, and nothing is left of them.
  void End() {
    while (!links_.empty()) Leave(links_.begin()->first, links_.begin()->second);
    Require(shares_.open() == 0);
    clock_.Advance(kHourNs);
    for (int address = 0; address < 3; ++address) {
      Require(shares_.Enter(absl::StrCat("a", address), clock_.NowNs()) == std::nullopt);
    }
    // Whoever has no connection has nothing to wait for.
    watch_->Turn(0);
    Require(watch_->WaitMs() == -1);
  }

 private:
  struct Link {
    Ends ends;
    std::string address;
    int64_t accepted_ns = 0;
    double sent = 0;
    /// At the last look.
    double unread = 0;
    bool called = false;
    bool known = false;
    bool left = false;
    int viewers = 0;
    int viewers_most = 0;
    std::shared_ptr<UsefulBytes> useful;
  };

  void Accept(const std::string& name, Input& input) {
    const std::string address = absl::StrCat("a", input.Next(3));
    const int64_t now_ns = clock_.NowNs();
    const auto refusal = shares_.Enter(address, now_ns);
    const auto same = std::count_if(links_.begin(), links_.end(), [&](const auto& entry) {
      return entry.second.address == address;
    });
    const auto barred = first_bar_ns_.find(address);
    if (barred != first_bar_ns_.end() && now_ns < barred->second + kFirstBarNs) {
      Require(refusal.has_value());
    }
    if (refusal.has_value()) return;
    Require(same < kShares.address_max && links_.size() < static_cast<size_t>(kShares.all_max));
    Link& link = links_[name];
    link = {.ends = TcpEnds(), .address = address, .accepted_ns = now_ns};
    const WatchedConnection who{WatchedConnection::Kind::kTcp, name, address, true};
    Require(watch_->Watch(link.ends.server.get(), who).ok());
  }

  void NoteCall(const std::string& name, Input& input) {
    const auto metadata_bytes = static_cast<size_t>(input.Next(256)) << 4;
    watch_->NoteCall(name, metadata_bytes, static_cast<size_t>(input.Next(64)));
  }

  void AddViewers(const std::string& name, Link* link, int change) {
    if (change < 0) return RemoveViewer(name, link);
    const auto useful = watch_->AddViewers(name, change);
    // Whoever is connected is found by his name, and nobody else is.
    Require((useful != nullptr) == (link != nullptr));
    if (link == nullptr) return;
    Require(link->useful == nullptr || link->useful == useful);
    link->known = true;
    link->useful = useful;
    link->viewers += change;
    link->viewers_most = std::max(link->viewers_most, link->viewers);
  }

  void RemoveViewer(const std::string& name, Link* link) {
    if (link != nullptr && link->viewers == 0) return;
    const auto theirs = link == nullptr ? nullptr : link->useful;
    Require(watch_->RemoveViewers(name, theirs, 1) == (link != nullptr));
    if (link != nullptr) --link->viewers;
  }

  void SendSome(Link& link, int bytes) {
    Send(link.ends.client, bytes);
    link.sent += bytes;
    link.unread = bytes;
    sent_ += bytes;
    Await(
        [&] { return HasEnded(link.ends.server) || BytesReceived(link.ends.server) == link.sent; });
  }

  /// `name` by value: what it names goes.
  void Leave(std::string name, Link& link) {
    link.left = true;
    link.ends.client.Reset();
    Await([&] {
      watch_->Turn(0);
      return !links_.contains(name);
    });
  }

  void CutOff(const std::string& name, Input& input) {
    if (input.Next(2) == 0) {
      const bool was_there = links_.contains(name);
      told_to_ = true;
      Require(watch_->CutOff(name, ConnectionRefusal::kCalls) == was_there);
      told_to_ = false;
      Require(!links_.contains(name));
      return;
    }
    const std::string address = absl::StrCat("a", input.Next(3));
    std::vector<std::string> others;
    for (const auto& [other, link] : links_) {
      if (link.address != address) others.push_back(other);
    }
    told_to_ = true;
    watch_->CutOffAddress(address, ConnectionRefusal::kCalls);
    told_to_ = false;
    for (const std::string& other : others) Require(links_.contains(other));
  }

  void OnEnd(const WatchedConnection& who, std::optional<ConnectionRefusal> why) {
    const int64_t now_ns = clock_.NowNs();
    const auto found = links_.find(who.name);
    // Each ends once.
    Require(found != links_.end() && found->second.address == who.address);
    const Link& link = found->second;
    Require(HasEnded(link.ends.server));
    if (!why.has_value()) {
      Require(link.left);
    } else if (*why == ConnectionRefusal::kSilent) {
      Require(!link.called && now_ns - link.accepted_ns >= limits_.first_call_max_ns);
    } else if (*why == ConnectionRefusal::kBytes) {
      // All together have sent more than one may at once.
      Require(sent_ > limits_.unknown_burst_bytes);
    } else {
      Require(told_to_);
    }
    shares_.Leave(who.address);
    if (why.has_value() && IsFlood(*why)) {
      shares_.Bar(who.address, now_ns);
      first_bar_ns_.emplace(who.address, now_ns);
    }
    links_.erase(found);
    Require(shares_.open() == static_cast<int>(links_.size()));
  }

  /// The watch looks at all of them, and who is still there then has kept to what he may.
  void Look() {
    watch_->Turn(0);
    watch_->Turn(0);
    clock_.Advance(limits_.look_interval_ns);
    watch_->Turn(0);
    for (auto& [name, link] : links_) {
      Require(!HasEnded(link.ends.server));
      const int64_t age_ns = clock_.NowNs() - link.accepted_ns;
      Require(link.called || age_ns < limits_.first_call_max_ns);
      Require(link.sent <= MayHaveSent(link, static_cast<double>(age_ns) / 1e9));
      // gRPC reads it.
      ReadAll(link.ends.server);
      link.unread = 0;
    }
  }

  double MayHaveSent(const Link& link, double age_s) const {
    const double unknown = limits_.unknown_burst_bytes + limits_.unknown_bytes_per_s * age_s;
    if (!link.known) return unknown;
    const double further = std::max(link.viewers_most - 1, 0) * limits_.further_viewer_bytes_per_s;
    const double viewer = limits_.burst_bytes + (limits_.bytes_per_s + further) * age_s;
    // Calls give credit, too, of which only the watch knows.
    if (link.useful == nullptr) return viewer;
    const auto useful = static_cast<double>(link.useful->Read());
    const double rate =
        limits_.aimless_bytes_per_s +
        std::min(link.viewers_most, kAimlessViewersMax) * limits_.aimless_viewer_bytes_per_s;
    // What nobody has read yet is not judged.
    const double useful_or_little =
        limits_.aimless_burst_bytes + rate * age_s + useful + link.unread;
    return std::min(viewer, useful_or_little);
  }

  const WatchLimits limits_ = SmallLimits();
  ManualClock clock_;
  ConnectionShares shares_{kShares};
  std::map<std::string, Link> links_;
  std::map<std::string, int64_t> first_bar_ns_;
  double sent_ = 0;
  bool told_to_ = false;
  std::unique_ptr<ConnectionWatch> watch_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Play<WatchRun>(data, size);
  return 0;
}
