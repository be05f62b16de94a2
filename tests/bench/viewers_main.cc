// bench_viewers: viewers that receive, count and acknowledge, and do nothing else.
//
// Reads commands from stdin and answers each with one line, "ok NUMBER..." or "error TEXT":
//   add SERVER DISPLAY COUNT ACK   a connection each; answers when all have a unit, with the time
//                                  from the call to the first unit of each, in ns
//   sockets PORT COUNT ACK         plain TCP connections to the epoll+writev loop
//   begin, end                     counts: units, their bytes, messages, their bytes, moves, gaps
//   times                          of the first viewer's units: captured, encoded, received
//   clear                          ends all viewers
// Ends with its input.
#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "planecast/v1/viewer_service.grpc.pb.h"
#include "tests/bench/viewer_fleet.h"
#include "vfio/clock.h"
#include "vfio/fd.h"

namespace planecast::bench {
namespace {

using std::chrono::seconds;

constexpr auto kPatience = seconds(20);

/// What all viewers share. Guarded by the mutex, but for `under_way`.
struct Shared {
  std::mutex mutex;
  std::condition_variable changed;
  FleetCounts counts;
  std::vector<UnitTimes> times;
  std::string error;
  /// Operations that were begun and whose tags the queue still owes. Each is counted before it
  /// begins, and off only after those that its end gave rise to: at 0 nothing more begins.
  std::atomic<int> under_way = 0;

  void OnTagDone() {
    if (--under_way > 0) return;
    const std::lock_guard lock(mutex);
    changed.notify_all();
  }
};

/// One stream. Its events come from the queue's thread.
class Viewer {
 public:
  Viewer(const std::string& server, const std::string& display, bool acknowledge, bool first,
         grpc::CompletionQueue& queue, Shared& shared)
      : acknowledge_(acknowledge), first_(first), shared_(shared) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(-1);
    stub_ = v1::ViewerService::NewStub(
        grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments));
    call_ns_ = MonotonicClock().NowNs();
    auto* start = request_.mutable_start();
    start->set_name("displays/" + display);
    start->set_acknowledges(acknowledge);
    stream_ = stub_->PrepareAsyncStreamDisplay(&context_, &queue);
    ++shared_.under_way;
    // Not before: the queue's thread uses the stream at once.
    stream_->StartCall(&start_tag_);
  }

  /// The first unit's time since the call, or 0.
  int64_t join_ns() const { return join_ns_; }
  void Cancel() { context_.TryCancel(); }

  enum class Op { kStart, kRead, kWrite };
  struct Tag {
    Viewer* viewer;
    Op op;
  };
  void OnEvent(Op op, bool ok) {
    if (!ok) {
      dead_ = true;
      return;
    }
    if (op == Op::kStart) {
      Write();
      Read();
    } else if (op == Op::kWrite) {
      writing_ = false;
      WriteAcknowledgement();
    } else {
      OnMessage();
      WriteAcknowledgement();
      Read();
    }
  }

 private:
  void Read() {
    ++shared_.under_way;
    stream_->Read(&response_, &read_tag_);
  }
  void Write() {
    writing_ = true;
    ++shared_.under_way;
    stream_->Write(request_, &write_tag_);
  }
  void WriteAcknowledgement() {
    if (!acknowledge_ || writing_ || dead_ || acknowledged_ == received_) return;
    acknowledged_ = received_;
    auto& batch = *request_.mutable_acknowledgements();
    batch.clear_acknowledgements();
    batch.add_acknowledgements()->set_sequence(acknowledged_);
    Write();
  }

  void OnMessage() {
    const int64_t now_ns = MonotonicClock().NowNs();
    const std::lock_guard lock(shared_.mutex);
    FleetCounts& counts = shared_.counts;
    ++counts.messages;
    counts.message_bytes += response_.ByteSizeLong();
    const v1::StreamEvent& event = response_.event();
    if (event.has_cursor_moved()) ++counts.cursor_moves;
    if (event.has_goodbye()) shared_.error = event.goodbye().message();
    if (!event.has_access_unit()) return;
    const v1::AccessUnit& unit = event.access_unit();
    ++counts.units;
    counts.unit_bytes += unit.data().size();
    if (received_ != 0 && unit.sequence() != received_ + 1) ++counts.gaps;
    received_ = unit.sequence();
    if (first_) {
      shared_.times.push_back({.capture_ns = unit.capture_time_ns(),
                               .encoded_ns = unit.encoded_time_ns(),
                               .received_ns = now_ns});
    }
    if (join_ns_ != 0) return;
    join_ns_ = now_ns - call_ns_;
    shared_.changed.notify_all();
  }

  const bool acknowledge_;
  const bool first_;
  Shared& shared_;
  Tag start_tag_{this, Op::kStart};
  Tag read_tag_{this, Op::kRead};
  Tag write_tag_{this, Op::kWrite};
  std::unique_ptr<v1::ViewerService::Stub> stub_;
  grpc::ClientContext context_;
  v1::StreamDisplayRequest request_;
  v1::StreamDisplayResponse response_;
  std::unique_ptr<
      grpc::ClientAsyncReaderWriter<v1::StreamDisplayRequest, v1::StreamDisplayResponse>>
      stream_;
  int64_t call_ns_ = 0;
  int64_t join_ns_ = 0;
  uint64_t received_ = 0;
  uint64_t acknowledged_ = 0;
  bool writing_ = false;
  bool dead_ = false;
};

/// Plain sockets: each message is its length, 4 bytes in the machine's order, and that many bytes.
class Sockets {
 public:
  explicit Sockets(Shared& shared)
      : shared_(shared), epoll_(KernelSys(), epoll_create1(EPOLL_CLOEXEC)) {}
  ~Sockets() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
  }
  Sockets(const Sockets&) = delete;
  Sockets& operator=(const Sockets&) = delete;

  bool Add(int port, int count, bool acknowledge) {
    acknowledge_ = acknowledge;
    for (int i = 0; i < count; ++i) {
      const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(static_cast<uint16_t>(port));
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        return false;
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      connections_.push_back(std::make_unique<Connection>());
      connections_.back()->fd = Fd(KernelSys(), fd);
      epoll_event event{.events = EPOLLIN, .data = {.ptr = connections_.back().get()}};
      epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
    }
    thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
    return true;
  }

 private:
  struct Connection {
    Fd fd;
    uint32_t length = 0;
    size_t got = 0;
  };

  void Run(const std::stop_token& stop) {
    std::array<epoll_event, 64> events{};
    while (!stop.stop_requested()) {
      const int count = epoll_wait(epoll_.get(), events.data(), events.size(), 100);
      for (int i = 0; i < count; ++i) Receive(*static_cast<Connection*>(events[i].data.ptr));
    }
  }

  void Receive(Connection& connection) {
    const ssize_t size = recv(connection.fd.get(), buffer_.data(), buffer_.size(), 0);
    if (size <= 0) {
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.fd.get(), nullptr);
      return;
    }
    const std::lock_guard lock(shared_.mutex);
    shared_.counts.message_bytes += static_cast<uint64_t>(size);
    size_t at = 0;
    while (at < static_cast<size_t>(size)) at = Consume(connection, at, static_cast<size_t>(size));
  }

  size_t Consume(Connection& connection, size_t at, size_t size) {
    if (connection.got < sizeof(connection.length)) {
      reinterpret_cast<char*>(&connection.length)[connection.got++] = buffer_[at];
      return at + 1;
    }
    const size_t missing = connection.length + sizeof(connection.length) - connection.got;
    const size_t step = std::min(missing, size - at);
    connection.got += step;
    if (step == missing) {
      ++shared_.counts.units;
      ++shared_.counts.messages;
      connection.got = 0;
      const uint64_t acknowledgement = shared_.counts.units;
      if (acknowledge_)
        send(connection.fd.get(), &acknowledgement, sizeof(acknowledgement), MSG_NOSIGNAL);
    }
    return at + step;
  }

  Shared& shared_;
  Fd epoll_;
  bool acknowledge_ = false;
  std::array<char, 256 << 10> buffer_{};
  std::vector<std::unique_ptr<Connection>> connections_;
  std::jthread thread_;
};

class Fleet {
 public:
  Fleet() : thread_([this] { Run(); }) {}
  ~Fleet() {
    for (const auto& viewer : viewers_) viewer->Cancel();
    {
      // A queue that is shut down takes no more operations, and gRPC aborts whoever begins one: as
      // a viewer does that was taking a message when it was cancelled.
      std::unique_lock lock(shared_.mutex);
      shared_.changed.wait(lock, [this] { return shared_.under_way == 0; });
    }
    queue_.Shutdown();
    thread_.join();
  }
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  std::string Answer(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "add") return Add(words);
    if (command == "sockets") return AddSockets(words);
    if (command == "begin") return Begin();
    if (command == "end") return End();
    if (command == "times") return Times();
    if (command == "clear") return Clear();
    return "error unknown";
  }

 private:
  void Run() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      auto* event = static_cast<Viewer::Tag*>(tag);
      event->viewer->OnEvent(event->op, ok);
      shared_.OnTagDone();
    }
  }

  std::string Add(std::istringstream& words) {
    std::string server;
    std::string display;
    int count = 0;
    int acknowledge = 0;
    words >> server >> display >> count >> acknowledge;
    const size_t before = viewers_.size();
    for (int i = 0; i < count; ++i) {
      viewers_.push_back(std::make_unique<Viewer>(server, display, acknowledge != 0,
                                                  viewers_.empty(), queue_, shared_));
    }
    std::unique_lock lock(shared_.mutex);
    const auto joined = [&] {
      for (size_t i = before; i < viewers_.size(); ++i) {
        if (viewers_[i]->join_ns() == 0) return !shared_.error.empty();
      }
      return true;
    };
    if (!shared_.changed.wait_for(lock, kPatience, joined))
      return "error not all viewers got a unit";
    if (!shared_.error.empty()) return "error " + shared_.error;
    std::string answer = "ok";
    for (size_t i = before; i < viewers_.size(); ++i) {
      answer += " " + std::to_string(viewers_[i]->join_ns());
    }
    return answer;
  }

  std::string AddSockets(std::istringstream& words) {
    int port = 0;
    int count = 0;
    int acknowledge = 0;
    words >> port >> count >> acknowledge;
    sockets_ = std::make_unique<Sockets>(shared_);
    return sockets_->Add(port, count, acknowledge != 0) ? "ok" : "error can't connect";
  }

  std::string Begin() {
    const std::lock_guard lock(shared_.mutex);
    shared_.counts = {};
    shared_.times.clear();
    return "ok";
  }

  std::string End() {
    const std::lock_guard lock(shared_.mutex);
    if (!shared_.error.empty()) return "error " + shared_.error;
    const FleetCounts& counts = shared_.counts;
    ended_times_ = shared_.times;
    std::ostringstream answer;
    answer << "ok " << counts.units << ' ' << counts.unit_bytes << ' ' << counts.messages << ' '
           << counts.message_bytes << ' ' << counts.cursor_moves << ' ' << counts.gaps;
    return answer.str();
  }

  std::string Times() {
    std::ostringstream answer;
    answer << "ok";
    for (const UnitTimes& times : ended_times_) {
      answer << ' ' << times.capture_ns << ' ' << times.encoded_ns << ' ' << times.received_ns;
    }
    return answer.str();
  }

  std::string Clear() {
    for (const auto& viewer : viewers_) viewer->Cancel();
    // The queue still holds their tags; they are few and die with the process.
    for (auto& viewer : viewers_) retired_.push_back(std::move(viewer));
    viewers_.clear();
    sockets_.reset();
    return "ok";
  }

  Shared shared_;
  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<Viewer>> viewers_;
  std::vector<std::unique_ptr<Viewer>> retired_;
  std::unique_ptr<Sockets> sockets_;
  std::vector<UnitTimes> ended_times_;
  std::thread thread_;
};

}  // namespace
}  // namespace planecast::bench

int main() {
  planecast::bench::Fleet fleet;
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << fleet.Answer(line) << std::endl;
  }
  return 0;
}
