#include "tests/net/net_testing.h"

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vfio/clock.h"

namespace planecast::testing {
namespace {

template <typename T>
T PartOf(std::vector<T> values, double part) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(static_cast<double>(values.size() - 1) * part)];
}

double Ms(int64_t duration_ns) {
  return static_cast<double>(duration_ns) / 1e6;
}

LinkReport SumUp(const std::vector<LinkUnit>& units, int64_t from_ns, int64_t to_ns) {
  LinkReport report;
  report.seconds = static_cast<double>(to_ns - from_ns) / 1e9;
  std::vector<int64_t> latencies_ns;
  std::vector<int> quantizers;
  size_t bytes = 0;
  int64_t last_ns = from_ns;
  for (const LinkUnit& unit : units) {
    if (unit.arrival_ns < from_ns || unit.arrival_ns >= to_ns) continue;
    ++report.units;
    if (unit.key_frame) ++report.key_frames;
    if (unit.readable) ++report.readable;
    bytes += unit.bytes;
    latencies_ns.push_back(unit.arrival_ns - unit.encoded_ns);
    quantizers.push_back(unit.quantizer);
    report.gap_max_ns = std::max(report.gap_max_ns, unit.arrival_ns - last_ns);
    last_ns = unit.arrival_ns;
  }
  report.gap_max_ns = std::max(report.gap_max_ns, to_ns - last_ns);
  report.units_per_second = static_cast<double>(report.units) / report.seconds;
  report.bits_per_second = static_cast<double>(bytes) * 8 / report.seconds;
  report.latency_p50_ns = PartOf(latencies_ns, 0.5);
  report.latency_p95_ns = PartOf(latencies_ns, 0.95);
  report.latency_max_ns = PartOf(latencies_ns, 1);
  report.quantizer_p50 = PartOf(quantizers, 0.5);
  return report;
}

LinkReport SumUpLast(const std::vector<LinkUnit>& units, double seconds) {
  const int64_t now_ns = MonotonicClock().NowNs();
  return SumUp(units, now_ns - static_cast<int64_t>(seconds * 1e9), now_ns);
}

}  // namespace

std::string Describe(const LinkReport& report) {
  return absl::StrFormat(
      "%.1f s: %.1f units/s, %.2f Mbit/s, %d key frames, latency ms p50 %.0f p95 %.0f max %.0f, "
      "longest gap %.0f ms, quantizer %d, %d of %d readable",
      report.seconds, report.units_per_second, report.bits_per_second / 1e6, report.key_frames,
      Ms(report.latency_p50_ns), Ms(report.latency_p95_ns), Ms(report.latency_max_ns),
      Ms(report.gap_max_ns), report.quantizer_p50, report.readable, report.units);
}

LinkViewer::LinkViewer(Client& client, const std::string& display, const Options& options)
    : options_(options), decoder_(std::make_unique<AvcodecDecoder>()) {
  auto stream = client.StreamDisplay(display, options.stream, *this);
  if (!stream.ok()) {
    ADD_FAILURE() << stream.status();
    return;
  }
  stream_ = *std::move(stream);
}

LinkViewer::~LinkViewer() {
  Stop();
}

void LinkViewer::Stop() {
  if (stream_) stream_->Stop();
}

bool LinkViewer::WaitFor(const std::function<bool(const LinkViewer&)>& condition) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(kPatienceSeconds),
                           [&] { return condition(*this); });
}

bool LinkViewer::WaitForUnits(size_t count) {
  size_t before = 0;
  {
    const std::lock_guard lock(mutex_);
    before = units.size();
  }
  return WaitFor([&](const LinkViewer& viewer) { return viewer.units.size() >= before + count; });
}

LinkReport LinkViewer::Observe(double seconds) {
  const int64_t from_ns = MonotonicClock().NowNs();
  const int64_t to_ns = from_ns + static_cast<int64_t>(seconds * 1e9);
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::nanoseconds(to_ns - from_ns) + std::chrono::seconds(1),
                    [&] { return MonotonicClock().NowNs() >= to_ns; });
  return SumUp(units, from_ns, to_ns);
}

LinkReport LinkViewer::Last(double seconds) {
  const std::lock_guard lock(mutex_);
  return SumUpLast(units, seconds);
}

ForeignViewer::ForeignViewer(int port)
    : stub_(v1::ViewerService::NewStub(grpc::CreateChannel(absl::StrCat("127.0.0.1:", port),
                                                           grpc::InsecureChannelCredentials()))),
      thread_([this] { Run(); }) {}

ForeignViewer::~ForeignViewer() {
  context_.TryCancel();
  thread_.join();
}

void ForeignViewer::Run() {
  v1::WatchDisplayRequest request;
  request.set_name("displays/d");
  const auto reader = stub_->WatchDisplay(&context_, request);
  v1::WatchDisplayResponse response;
  while (reader->Read(&response)) {
    const int64_t arrival_ns = MonotonicClock().NowNs();
    const std::lock_guard lock(mutex_);
    if (!response.event().has_access_unit()) continue;
    const v1::AccessUnit& unit = response.event().access_unit();
    units_.push_back({unit.sequence(), unit.encoded_time_ns(), arrival_ns, unit.data().size(),
                      unit.key_frame(), false, unit.quantizer()});
  }
  reader->Finish();
}

LinkReport ForeignViewer::Last(double seconds) {
  const std::lock_guard lock(mutex_);
  return SumUpLast(units_, seconds);
}

void LinkViewer::OnStarted(Stream& /*stream*/, const v1::StreamStarted& message) {
  const std::lock_guard lock(mutex_);
  if (message.coded_width_px() > 0) decoder_ = std::make_unique<AvcodecDecoder>();
  started.push_back(message);
  changed_.notify_all();
}

void LinkViewer::OnAccessUnit(Stream& /*stream*/, const v1::AccessUnit& unit) {
  const int64_t arrival_ns = MonotonicClock().NowNs();
  const std::lock_guard lock(mutex_);
  if (!units.empty() && unit.sequence() != units.back().sequence + 1) ++gaps;
  bool readable = false;
  if (options_.decode) {
    auto decoded = decoder_->Decode(std::vector<uint8_t>(unit.data().begin(), unit.data().end()));
    EXPECT_TRUE(decoded.ok()) << decoded.status();
    if (decoded.ok()) {
      ReceivedPicture received;
      received.picture = *std::move(decoded);
      const DecodedPicture& p = received.picture;
      received.code = DecodeFrameCodeLuma(p.width_px, p.height_px, p.y.data(), p.width_px);
      readable = received.code.has_value();
      picture = std::move(received);
    }
  }
  units.push_back({unit.sequence(), unit.encoded_time_ns(), arrival_ns, unit.data().size(),
                   unit.key_frame(), readable, unit.quantizer()});
  changed_.notify_all();
}

void LinkViewer::OnStats(const v1::StreamStats& message) {
  const std::lock_guard lock(mutex_);
  stats.push_back(message);
  changed_.notify_all();
}

void LinkViewer::OnGoodbye(const v1::Goodbye& goodbye) {
  const std::lock_guard lock(mutex_);
  goodbyes.push_back(goodbye);
  changed_.notify_all();
}

void LinkViewer::OnDisconnected(const absl::Status& /*status*/,
                                std::optional<std::chrono::milliseconds> /*retry_in*/) {
  const std::lock_guard lock(mutex_);
  disconnected_ns.push_back(MonotonicClock().NowNs());
  changed_.notify_all();
}

NetDaemon::NetDaemon(const std::string& scene, int width_px, int height_px,
                     const std::string& extra_config)
    : daemon_(absl::StrCat("listeners { address: \"127.0.0.1:0\" anonymous_role: \"operator\" }\n",
                           extra_config)) {
  // Unix sockets have no port.
  for (const BoundAddress& address : daemon_.daemon().addresses()) {
    if (address.port != 0) port_ = address.port;
  }
  daemon_.AttachFake("d", "ideal", scene, width_px, height_px, 60);
}

std::unique_ptr<Client> NetDaemon::NewClient(int port) {
  ClientOptions options;
  options.server = absl::StrCat("127.0.0.1:", port);
  options.deadline = std::chrono::seconds(kPatienceSeconds);
  auto client = Client::Connect(options);
  if (!client.ok()) {
    ADD_FAILURE() << client.status();
    return nullptr;
  }
  return *std::move(client);
}

std::unique_ptr<Relay> NetDaemon::NewRelay(const LinkShape& shape, uint32_t seed) const {
  auto relay = Relay::Start(port_, shape, seed);
  if (!relay.ok()) {
    ADD_FAILURE() << relay.status();
    return nullptr;
  }
  return *std::move(relay);
}

}  // namespace planecast::testing
