// What tests of service/access/ share.
#pragma once

#include <atomic>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "service/access/policy.h"
#include "service/access/ticket_store.h"
#include "vfio/clock.h"

namespace planecast::testing {

inline constexpr int64_t kMs = 1'000'000;
inline constexpr int64_t kSecond = 1'000'000'000;

/// A clock that one thread moves while others read it.
class SharedClock : public Clock {
 public:
  int64_t NowNs() override { return now_ns_; }
  void Advance(int64_t duration_ns) { now_ns_ += duration_ns; }

 private:
  std::atomic<int64_t> now_ns_ = kSecond;
};

inline DisplayPattern Pattern(const std::string& text) {
  return *DisplayPattern::Parse(text);
}

inline Peer PeerWithCertificate(const std::string& subject, const std::string& sha256 = "") {
  Peer peer;
  peer.encrypted = true;
  peer.certificate = CertificateIdentity{subject, {}, sha256};
  return peer;
}

inline Peer PeerWithUid(Door door, uint32_t uid) {
  Peer peer;
  peer.door = door;
  peer.uid = uid;
  return peer;
}

/// For one viewer of the display `desk`.
inline TicketSpec DeskTicket() {
  TicketSpec spec;
  spec.displays = {{"desk", "uid-1"}};
  spec.role = "viewer";
  spec.permissions = {Permission::kWatch, Permission::kSnapshot};
  spec.issuer = "uid:0";
  return spec;
}

inline std::vector<std::string> LinesOf(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

}  // namespace planecast::testing
