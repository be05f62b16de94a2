// The same content through what else there is: TigerVNC, QEMU's own VNC server, FFmpeg's
// capture-encode-stream pipeline. One client each, which decodes; latency is from the flip to the
// decoded picture, read off the frame code in it.
//
// CPU is the server's: for TigerVNC and FFmpeg's X server what they take with a client less what
// they take without, since drawing for X clients is not remote viewing. 1920x1080 at 60 Hz.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "encoder/encoder.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_scene.h"
#include "tests/bench/child_process.h"
#include "tests/bench/h264_clients.h"
#include "tests/bench/qemu_peer.h"
#include "tests/bench/ring_source.h"
#include "tests/bench/screen_painter.h"
#include "tests/bench/vnc_client.h"
#include "tests/bench/watcher.h"
#include "vfio/clock.h"

namespace planecast::bench {
namespace {

constexpr uint32_t kWidthPx = 1920;
constexpr uint32_t kHeightPx = 1080;
constexpr int kFrameRateHz = 60;

/// What one peer did in one round.
struct Round {
  double cpu_ms_per_frame = 0;
  double kbps = 0;
  double kb_per_frame = 0;
  double frames_per_s = 0;
  double latency_p50_ms = 0;
  double latency_p95_ms = 0;
  double text_ssim = 0;
};

/// What a round needs to know of a peer.
struct Probe {
  /// CPU of the server so far, in ns.
  std::function<absl::StatusOr<int64_t>()> cpu_ns;
  std::function<uint64_t()> received_bytes;
  std::function<absl::StatusOr<std::vector<int64_t>>()> flips;
  /// CPU in ms per second that is not to be counted.
  double base_ms_per_s = 0;
};

absl::StatusOr<std::unique_ptr<Scene>> MakeScreenScene(const std::string& scene) {
  return MakeBenchScene(scene, kWidthPx, kHeightPx, kFrameRateHz);
}

/// The frames that everybody is judged by: the window is being dragged.
struct Window {
  uint32_t first = 0;
  uint32_t last = 0;
};

Window WindowOf(const Bench& bench) {
  // Whoever is slow to start has started by then.
  constexpr uint32_t kFirst = kFirstFrame + 2 * kFrameRateHz;
  return {kFirst, kFirst + static_cast<uint32_t>(2 * kFrameRateHz * bench.effort().scale)};
}

absl::StatusOr<Round> Observe(const Bench& bench, const std::string& scene_name, Watcher& watcher,
                              const Probe& probe) {
  const Window window = WindowOf(bench);
  if (!watcher.WaitForFrame(window.first)) {
    return absl::InternalError("no picture came that can be read");
  }
  watcher.Begin();
  const auto cpu_ns = probe.cpu_ns();
  if (!cpu_ns.ok()) return cpu_ns.status();
  const uint64_t bytes = probe.received_bytes();
  const int64_t start_ns = MonotonicClock().NowNs();
  if (!watcher.WaitForFrame(window.last)) return absl::InternalError("pictures stopped coming");
  const auto cpu_end_ns = probe.cpu_ns();
  if (!cpu_end_ns.ok()) return cpu_end_ns.status();
  const auto received = static_cast<double>(probe.received_bytes() - bytes);
  const Watcher::Seen seen = watcher.End();
  const double seconds = static_cast<double>(MonotonicClock().NowNs() - start_ns) / 1e9;
  const auto flips = probe.flips();
  if (!flips.ok()) return flips.status();
  std::vector<double> latency_ms;
  for (const auto& [frame, seen_ns] : seen.frames) {
    if (frame <= kFirstFrame || frame - kFirstFrame > flips->size()) continue;
    latency_ms.push_back(static_cast<double>(seen_ns - (*flips)[frame - kFirstFrame - 1]) / 1e6);
  }
  if (latency_ms.empty()) return absl::InternalError("no picture could be read");
  const auto scene = MakeScreenScene(scene_name);
  if (!scene.ok()) return scene.status();
  const double cpu_ms = static_cast<double>(*cpu_end_ns - *cpu_ns) / 1e6;
  const auto frames = static_cast<double>(seen.frames.size());
  return Round{.cpu_ms_per_frame = (cpu_ms - probe.base_ms_per_s * seconds) / frames,
               .kbps = received * 8 / 1000 / seconds,
               .kb_per_frame = received / 1000 / frames,
               .frames_per_s = frames / seconds,
               .latency_p50_ms = Quantile(latency_ms, 0.5),
               .latency_p95_ms = Quantile(latency_ms, 0.95),
               .text_ssim = TextSsimOf(seen, **scene)};
}

absl::StatusOr<Round> WatchPlanecast(const Bench& bench, const std::string& scene) {
  auto server =
      ChildProcess::Start(bench, Manners::kEndsWithInput,
                          {bench.folder() + "/bench_server", scene, absl::StrCat(kWidthPx),
                           absl::StrCat(kHeightPx), absl::StrCat(kFrameRateHz)});
  if (!server.ok()) return server.status();
  const auto ready = (*server)->ReadLine();
  if (!ready.ok()) return ready.status();
  if (ready->substr(0, 3) != "ok ") return absl::InternalError(*ready);
  Watcher watcher;
  auto client = PlanecastClient::Connect(ready->substr(3), watcher);
  if (!client.ok()) return client.status();
  const auto numbers = [&](const char* what) -> absl::StatusOr<std::vector<int64_t>> {
    auto words = (*server)->Ask(what);
    if (!words.ok()) return words.status();
    std::vector<int64_t> values(words->size());
    for (size_t i = 0; i < values.size(); ++i) {
      if (!absl::SimpleAtoi((*words)[i], &values[i])) return absl::InternalError(what);
    }
    return values;
  };
  Probe probe;
  probe.cpu_ns = [&]() -> absl::StatusOr<int64_t> {
    const auto values = numbers("cpu");
    return values.ok() ? absl::StatusOr<int64_t>(values->at(0)) : values.status();
  };
  probe.received_bytes = [&] { return (*client)->received_bytes(); };
  probe.flips = [&] { return numbers("flips"); };
  return Observe(bench, scene, watcher, probe);
}

/// An X server and the scene on its screen.
struct XSession {
  std::unique_ptr<ChildProcess> server;
  std::string display;
  std::unique_ptr<ScreenPainter> painter;
  /// CPU of the server while nobody watches.
  double base_ms_per_s = 0;
};

absl::StatusOr<XSession> StartX(const Bench& bench, const std::string& scene_name,
                                std::vector<std::string> command) {
  XSession session;
  auto server = ChildProcess::Start(bench, Manners::kForeign, command);
  if (!server.ok()) return server.status();
  session.server = *std::move(server);
  // The number of the display that was free, by -displayfd.
  auto number = session.server->ReadLine();
  if (!number.ok()) return absl::UnavailableError(absl::StrCat(command[0], " did not start"));
  session.display = absl::StrCat(":", *number);
  auto scene = MakeScreenScene(scene_name);
  if (!scene.ok()) return scene.status();
  auto screen = MakeXScreen(session.display, kWidthPx, kHeightPx);
  if (!screen.ok()) return screen.status();
  session.painter =
      std::make_unique<ScreenPainter>(*std::move(scene), *std::move(screen), kFrameRateHz);
  WaitUntilNs(MonotonicClock().NowNs() + bench.effort().Duration(0.3));
  const int64_t cpu_ns = CpuNsOf(session.server->pid());
  const int64_t start_ns = MonotonicClock().NowNs();
  WaitUntilNs(start_ns + bench.effort().Duration(0.6));
  session.base_ms_per_s = static_cast<double>(CpuNsOf(session.server->pid()) - cpu_ns) * 1e3 /
                          static_cast<double>(MonotonicClock().NowNs() - start_ns);
  return session;
}

absl::StatusOr<Round> WatchTiger(const Bench& bench, const std::string& scene,
                                 const VncEncoding& encoding) {
  auto session = StartX(bench, scene,
                        {"Xtigervnc", "-displayfd", "1", "-geometry",
                         absl::StrCat(kWidthPx, "x", kHeightPx), "-depth", "24", "-SecurityTypes",
                         "None", "-localhost", "-FrameRate", absl::StrCat(kFrameRateHz)});
  if (!session.ok()) return session.status();
  int number = 0;
  if (!absl::SimpleAtoi(session->display.substr(1), &number)) return absl::InternalError("display");
  Watcher watcher;
  auto client = VncClient::Connect(5900 + number, encoding, watcher);
  if (!client.ok()) return client.status();
  Probe probe;
  probe.cpu_ns = [&] { return CpuNsOf(session->server->pid()); };
  probe.received_bytes = [&] { return (*client)->received_bytes(); };
  probe.flips = [&] { return session->painter->flips(); };
  probe.base_ms_per_s = session->base_ms_per_s;
  return Observe(bench, scene, watcher, probe);
}

absl::StatusOr<Round> WatchQemu(const Bench& bench, const std::string& scene_name,
                                const VncEncoding& encoding) {
  auto qemu = QemuPeer::Start(bench, kWidthPx, kHeightPx, encoding.jpeg_quality >= 0);
  if (!qemu.ok()) return qemu.status();
  auto scene = MakeScreenScene(scene_name);
  if (!scene.ok()) return scene.status();
  ScreenPainter painter(*std::move(scene), MakeMemoryScreen((*qemu)->pixels(), kWidthPx, kHeightPx),
                        kFrameRateHz);
  Watcher watcher;
  auto client = VncClient::Connect((*qemu)->vnc_port(), encoding, watcher);
  if (!client.ok()) return client.status();
  Probe probe;
  probe.cpu_ns = [&] { return CpuNsOf((*qemu)->pid()); };
  probe.received_bytes = [&] { return (*client)->received_bytes(); };
  probe.flips = [&] { return painter.flips(); };
  return Observe(bench, scene_name, watcher, probe);
}

/// `rate` is FFmpeg's options of rate control.
absl::StatusOr<Round> WatchFfmpeg(const Bench& bench, const std::string& scene,
                                  const std::vector<std::string>& rate) {
  auto session = StartX(bench, scene,
                        {"Xvfb", "-displayfd", "1", "-screen", "0",
                         absl::StrCat(kWidthPx, "x", kHeightPx, "x24"), "-nolisten", "tcp"});
  if (!session.ok()) return session.status();
  Watcher watcher;
  auto listener = NutListener::Listen(watcher);
  if (!listener.ok()) return listener.status();
  std::vector<std::string> command = {"ffmpeg",      "-nostdin",
                                      "-loglevel",   "quiet",
                                      "-f",          "x11grab",
                                      "-draw_mouse", "0",
                                      "-framerate",  absl::StrCat(kFrameRateHz),
                                      "-video_size", absl::StrCat(kWidthPx, "x", kHeightPx),
                                      "-i",          session->display,
                                      "-c:v",        "libx264",
                                      "-preset",     "superfast",
                                      "-tune",       "zerolatency",
                                      "-pix_fmt",    "yuv420p"};
  command.insert(command.end(), rate.begin(), rate.end());
  for (const char* word : {"-fps_mode", "passthrough", "-flush_packets", "1", "-f", "nut"}) {
    command.emplace_back(word);
  }
  command.push_back(absl::StrCat("tcp://127.0.0.1:", (*listener)->port()));
  auto ffmpeg = ChildProcess::Start(bench, Manners::kForeign, command);
  if (!ffmpeg.ok()) return ffmpeg.status();
  Probe probe;
  probe.cpu_ns = [&] { return CpuNsOf((*ffmpeg)->pid()) + CpuNsOf(session->server->pid()); };
  probe.received_bytes = [&] { return (*listener)->received_bytes(); };
  probe.flips = [&] { return session->painter->flips(); };
  probe.base_ms_per_s = session->base_ms_per_s;
  return Observe(bench, scene, watcher, probe);
}

const VncEncoding kZrle = {.encodings = "zrle copyrect"};
const VncEncoding kTight = {.encodings = "tight copyrect"};
const VncEncoding kJpeg = {.encodings = "tight copyrect", .jpeg_quality = 8};

using Watch = std::function<absl::StatusOr<Round>(const Bench&, const std::string& scene)>;
struct Peer {
  std::string name;
  Watch watch;
};

/// Ours first. Of a video only what can be lossy.
std::vector<Peer> Peers(const std::string& scene) {
  const auto tiger = [](const VncEncoding& encoding) -> Watch {
    return [&encoding](const Bench& b, const std::string& s) { return WatchTiger(b, s, encoding); };
  };
  const auto qemu = [](const VncEncoding& encoding) -> Watch {
    return [&encoding](const Bench& b, const std::string& s) { return WatchQemu(b, s, encoding); };
  };
  std::vector<Peer> peers = {{"planecast", WatchPlanecast},
                             {"tigervnc_jpeg", tiger(kJpeg)},
                             {"qemu_jpeg", qemu(kJpeg)},
                             {"ffmpeg", [](const Bench& b, const std::string& s) {
                                return WatchFfmpeg(b, s, {"-crf", "23"});
                              }}};
  if (scene == "video") return peers;
  peers.push_back({"tigervnc_zrle", tiger(kZrle)});
  peers.push_back({"tigervnc_tight", tiger(kTight)});
  peers.push_back({"qemu_tight", qemu(kTight)});
  return peers;
}

using Field = double Round::*;

std::vector<double> Values(const std::vector<Round>& rounds, Field field) {
  std::vector<double> values;
  values.reserve(rounds.size());
  for (const Round& round : rounds) values.push_back(round.*field);
  return values;
}

/// Round by round, ours to theirs; below 1 ours is better.
std::vector<double> Ratios(const std::vector<Round>& ours, const std::vector<Round>& theirs,
                           Field field) {
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
    ratios.push_back(ours[i].*field / theirs[i].*field);
  }
  return ratios;
}

void ReportPeer(Bench& bench, const std::string& scene, const std::string& peer,
                const std::vector<Round>& rounds, const std::vector<Round>& ours) {
  const auto report = [&](const char* name, Field field, const char* unit) {
    bench.Report(absl::StrCat(peer, ".", name), Values(rounds, field), unit);
  };
  report("cpu_per_frame", &Round::cpu_ms_per_frame, "ms");
  report("bitrate", &Round::kbps, "kbit/s");
  report("frames_per_s", &Round::frames_per_s, "1/s");
  report("flip_to_decoded_p50", &Round::latency_p50_ms, "ms");
  report("flip_to_decoded_p95", &Round::latency_p95_ms, "ms");
  // Nothing of a video is text.
  if (scene != "video") report("text_ssim", &Round::text_ssim, "ssim");
  if (&rounds == &ours) return;
  const auto compare = [&](const char* name, Field field) {
    bench.Report(absl::StrCat("planecast_to_", peer, ".", name), Ratios(ours, rounds, field),
                 "ratio");
  };
  compare("cpu_per_frame", &Round::cpu_ms_per_frame);
  compare("bytes_per_frame", &Round::kb_per_frame);
  compare("flip_to_decoded_p50", &Round::latency_p50_ms);
}

/// All peers in turn, round by round.
absl::Status Compare(Bench& bench, const std::string& scene) {
  const std::vector<Peer> peers = Peers(scene);
  std::vector<std::vector<Round>> rounds(peers.size());
  std::vector<absl::Status> failures(peers.size());
  for (int round = 0; round < bench.effort().few_rounds(); ++round) {
    for (size_t i = 0; i < peers.size(); ++i) {
      if (!failures[i].ok()) continue;
      auto seen = peers[i].watch(bench, scene);
      failures[i] = bench.WithBadEnds(seen.status());
      if (failures[i].ok()) rounds[i].push_back(*seen);
    }
  }
  for (size_t i = 0; i < peers.size(); ++i) {
    if (failures[i].ok()) {
      ReportPeer(bench, scene, peers[i].name, rounds[i], rounds[0]);
    } else {
      // Whoever can't show the scene was not measured; whoever dies has failed.
      const bool died = absl::IsAborted(failures[i]);
      bench.Skip(peers[i].name, died ? failures[i] : absl::UnavailableError(failures[i].message()));
    }
  }
  // What can't be compared with ours was not compared.
  return failures[0];
}

/// What our encoder makes of those frames at a quantiser, without a cap.
struct Coded {
  double kbps = 0;
  double text_ssim = 0;
};

absl::StatusOr<Coded> Code(const Bench& bench, const std::string& scene_name, int quantizer) {
  const Window window = WindowOf(bench);
  const auto scene = MakeScreenScene(scene_name);
  if (!scene.ok()) return scene.status();
  const RateParams rate{
      .quantizer = quantizer, .bitrate_max_bps = 1'000'000'000, .sharp_quantizer = quantizer};
  ManualClock clock;
  auto encoder = MakeEncoder("auto", {.width_px = kWidthPx, .height_px = kHeightPx}, rate, clock);
  if (!encoder.ok()) return encoder.status();
  Watcher watcher;
  H264Eye eye(watcher);
  std::vector<uint32_t> pixels(size_t{kWidthPx} * kHeightPx);
  uint64_t bytes = 0;
  for (uint32_t frame = window.first; frame <= window.last; ++frame) {
    clock.Advance(1'000'000'000 / kFrameRateHz);
    (*scene)->Render(frame, frame,
                     {.pixels = pixels.data(),
                      .width_px = kWidthPx,
                      .height_px = kHeightPx,
                      .stride_px = kWidthPx});
    const auto coded = (*encoder)->Encode({.buffer = MakePlane(kWidthPx, kHeightPx, pixels),
                                           .flip_time_ns = clock.NowNs(),
                                           .capture_time_ns = clock.NowNs()},
                                          {});
    if (!coded.ok()) return coded.status();
    if (coded->unit == nullptr) continue;
    eye.OnUnit(coded->unit->bytes);
    // The key frame comes once for all.
    if (frame > window.first) bytes += coded->unit->bytes.size();
  }
  return Coded{
      .kbps = static_cast<double>(bytes) * 8 / 1000 * kFrameRateHz / (window.last - window.first),
      .text_ssim = TextSsimOf(watcher.End(), **scene)};
}

/// Sharpness of text at the same bitrate: ours at TigerVNC's with JPEG, and FFmpeg at ours.
absl::Status CompareSharpness(Bench& bench, const std::string& scene) {
  const auto tiger = WatchTiger(bench, scene, kJpeg);
  if (!tiger.ok()) return tiger.status();
  bench.Report("tigervnc_jpeg.bitrate", {tiger->kbps}, "kbit/s");
  bench.Report("tigervnc_jpeg.text_ssim", {tiger->text_ssim}, "ssim");
  constexpr int kDefaultQuantizer = RateParams().quantizer;
  int quantizer = 10;
  auto ours = Code(bench, scene, quantizer);
  while (ours.ok() && ours->kbps > tiger->kbps && quantizer < kDefaultQuantizer) {
    ours = Code(bench, scene, ++quantizer);
  }
  if (!ours.ok()) return ours.status();
  bench.Report("planecast_at_that.quantizer", {static_cast<double>(quantizer)}, "qp");
  bench.Report("planecast_at_that.bitrate", {ours->kbps}, "kbit/s");
  bench.Report("planecast_at_that.text_ssim", {ours->text_ssim}, "ssim");
  const auto normal = Code(bench, scene, kDefaultQuantizer);
  if (!normal.ok()) return normal.status();
  bench.Report("planecast.bitrate", {normal->kbps}, "kbit/s");
  bench.Report("planecast.text_ssim", {normal->text_ssim}, "ssim");
  // Constant quality below a cap, as ours. A buffer of ten seconds leaves room for a good key
  // frame, which ours had too.
  const auto rate = static_cast<int>(normal->kbps);
  const std::string cap = absl::StrCat(rate, "k");
  const auto ffmpeg = WatchFfmpeg(
      bench, scene,
      {"-crf", "23", "-maxrate", cap, "-bufsize", absl::StrCat(10 * rate, "k"), "-g", "100000"});
  if (!ffmpeg.ok()) return ffmpeg.status();
  bench.Report("ffmpeg_at_that.bitrate", {ffmpeg->kbps}, "kbit/s");
  bench.Report("ffmpeg_at_that.text_ssim", {ffmpeg->text_ssim}, "ssim");
  return absl::OkStatus();
}

}  // namespace
}  // namespace planecast::bench

int main(int argc, char** argv) {
  using planecast::bench::Bench;
  Bench bench(argc, argv);
  for (const char* scene : {"desktop", "video"}) {
    bench.Case(absl::StrCat("peers.", scene),
               [=](Bench& b) { return planecast::bench::Compare(b, scene); });
  }
  bench.Case("peers.same_bitrate",
             [](Bench& b) { return planecast::bench::CompareSharpness(b, "desktop"); });
  return bench.Run();
}
