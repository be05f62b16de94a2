// Streams a display and writes its pictures, H.264 with start codes, to standard output:
//   planecast_client_example desk | ffplay -fflags nobuffer -f h264 -
// Set PLANECAST_SERVER to reach a server other than this machine's own.
#include <cstdlib>
#include <iostream>

#include "clients/cpp/client.h"

namespace {

class Writer : public planecast::StreamHandler {
 public:
  explicit Writer(int count_max) : count_left_(count_max) {}
  void OnStarted(planecast::Stream&, const planecast::v1::StreamStarted& started) override {
    std::cerr << started.name() << ": " << started.visible_width_px() << "x"
              << started.visible_height_px() << " " << started.codec() << "\n";
  }
  void OnAccessUnit(planecast::Stream& stream, const planecast::v1::AccessUnit& unit) override {
    std::cout << unit.data() << std::flush;  // Returning acknowledges: "it is on the screen".
    if (--count_left_ == 0) stream.RequestStop();
  }
  void OnState(const planecast::v1::DisplayStateChanged& state) override {
    std::cerr << planecast::v1::Display::State_Name(state.state()) << " " << state.reason() << "\n";
  }

 private:
  int count_left_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::cerr << "usage: planecast_client_example NAME [PICTURES]\n", 2;
  auto client = planecast::Client::Connect({});
  if (!client.ok()) return std::cerr << client.status().message() << "\n", 1;
  Writer writer(argc > 2 ? std::atoi(argv[2]) : -1);
  auto stream = (*client)->StreamDisplay(argv[1], {}, writer);
  const absl::Status status = stream.ok() ? (*stream)->Wait() : stream.status();
  if (!status.ok()) return std::cerr << status.message() << "\n", 1;
}
