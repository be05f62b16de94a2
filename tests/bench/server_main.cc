// bench_server: the daemon with one display "d" whose guest plays a scene, in a process of its own.
//
//   bench_server SCENE WIDTH HEIGHT RATE      prints "ok HOST:PORT", then answers lines of stdin:
//   cpu      "ok NS": CPU time of the daemon so far, without the guest's
//   flips    "ok NS...": when each frame was shown, frame kFirstFrame + 1 first
// Ends with its input.
#include <cstdlib>
#include <iostream>
#include <string>

#include "tests/bench/bench_host.h"

namespace planecast::bench {
namespace {

int Fail(const absl::Status& status) {
  std::cout << "error " << status.message() << std::endl;
  return 1;
}

int Serve(const BenchGuestOptions& options) {
  auto guest = BenchGuest::Make(options);
  if (!guest.ok()) return Fail(guest.status());
  auto host = BenchHost::Start();
  if (!host.ok()) return Fail(host.status());
  if (absl::Status status = (*host)->Attach("d", **guest); !status.ok()) return Fail(status);
  (*guest)->Start();
  std::cout << "ok " << (*host)->server() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::string answer = "ok";
    if (line == "cpu") answer += " " + std::to_string((*host)->cpu_ns());
    if (line == "flips") {
      for (const int64_t flip_ns : (*guest)->flips()) answer += " " + std::to_string(flip_ns);
    }
    std::cout << answer << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace planecast::bench

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  planecast::bench::BenchGuestOptions options;
  options.scene = argv[1];
  options.width_px = static_cast<uint32_t>(std::atoi(argv[2]));
  options.height_px = static_cast<uint32_t>(std::atoi(argv[3]));
  options.frame_rate_hz = std::atoi(argv[4]);
  return planecast::bench::Serve(options);
}
