// The daemon inside the bench's process, on loopback, with sources and encoders of the bench's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/daemon.h"
#include "tests/bench/bench_guest.h"

namespace planecast::bench {

/// A whole daemon, listening on a TCP port of the loopback interface. Thread-compatible.
class BenchHost {
 public:
  using MakeSource = std::function<absl::StatusOr<std::unique_ptr<PlaneSource>>()>;

  /// `make_encoder` may be null: then as shipped.
  static absl::StatusOr<std::unique_ptr<BenchHost>> Start(EncoderFactory make_encoder = nullptr);
  /// Use Start.
  BenchHost();
  ~BenchHost();
  BenchHost(const BenchHost&) = delete;
  BenchHost& operator=(const BenchHost&) = delete;

  /// HOST:PORT.
  const std::string& server() const { return server_; }

  absl::Status Attach(const std::string& id, MakeSource make_source);
  absl::Status Attach(const std::string& id, BenchGuest& guest);

  /// CPU time of the daemon: of this process, less the calling thread's and the guests'.
  int64_t cpu_ns() const;

 private:
  absl::Status Listen(EncoderFactory make_encoder);

  std::string folder_;
  std::string server_;
  MakeSource next_source_;
  std::vector<const BenchGuest*> guests_;
  std::unique_ptr<Logger> log_;
  std::unique_ptr<Daemon> daemon_;
};

}  // namespace planecast::bench
