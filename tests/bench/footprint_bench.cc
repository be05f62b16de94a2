// What planecastd takes when little happens: idle CPU, memory, time to join; and how each grows
// with displays and viewers. The daemon is a process of its own; memory is what is resident but the
// fake guests' frame buffers, which are shared memory.
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "clients/cpp/client.h"
#include "tests/bench/bench.h"
#include "tests/bench/child_process.h"
#include "tests/bench/viewer_fleet.h"
#include "vfio/clock.h"

namespace planecast::bench {
namespace {

constexpr int64_t kStartPatienceNs = 20'000'000'000;
constexpr int64_t kRetryNs = 20'000'000;
constexpr double kKbPerViewerMax = 70;
constexpr int kManyViewers = 64;
/// Of a second; keep-alive and messages of numbers are allowed to viewers, nothing without.
constexpr double kIdleMsPerSecond = 1;

/// planecastd in a folder of its own.
class DaemonProcess {
 public:
  static absl::StatusOr<std::unique_ptr<DaemonProcess>> Start(const Bench& bench) {
    auto daemon = std::make_unique<DaemonProcess>();
    if (absl::Status status = daemon->Run(bench); !status.ok()) return status;
    return daemon;
  }
  DaemonProcess() = default;
  ~DaemonProcess() {
    client_.reset();
    process_.reset();
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;

  const std::string& server() const { return server_; }
  int pid() const { return process_->pid(); }

  absl::Status Attach(const std::string& id, const std::string& scene, int width_px,
                      int height_px) {
    v1::DisplaySource source;
    source.mutable_fake()->set_profile("ideal");
    source.mutable_fake()->set_scene(scene);
    source.mutable_fake()->set_width_px(width_px);
    source.mutable_fake()->set_height_px(height_px);
    return client_->AttachDisplay(id, source).status();
  }

  /// In KB.
  double ResidentKb() const {
    std::ifstream status(absl::StrCat("/proc/", pid(), "/status"));
    double anonymous_and_files = 0;
    for (std::string line; std::getline(status, line);) {
      std::istringstream words(line);
      std::string name;
      double kb = 0;
      words >> name >> kb;
      if (name == "RssAnon:" || name == "RssFile:") anonymous_and_files += kb;
    }
    return anonymous_and_files;
  }

 private:
  /// Root's daemon becomes somebody who has the folder.
  std::vector<std::string> AsUser(std::vector<std::string> command) const {
    if (geteuid() != 0) return command;
    uid_t uid = 61000;
    while (getpwuid(uid) != nullptr) ++uid;
    if (chown(folder_.c_str(), uid, uid) != 0) return command;
    command.insert(command.end(), {"--user", std::to_string(uid)});
    return command;
  }

  absl::Status Run(const Bench& bench) {
    std::string pattern = (std::filesystem::temp_directory_path() / "planecast-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) return absl::InternalError("no temporary folder");
    folder_ = pattern;
    server_ = absl::StrCat("unix:", folder_, "/s");
    auto process =
        ChildProcess::Start(bench, Manners::kEndsOnSignal,
                            AsUser({bench.folder() + "/planecastd", "--socket", folder_ + "/s",
                                    "--allow-fake", "--log-level", "error"}));
    if (!process.ok()) return process.status();
    process_ = *std::move(process);
    // gRPC would wait a second before it tries again.
    const int64_t end_ns = MonotonicClock().NowNs() + kStartPatienceNs;
    while (!std::filesystem::exists(folder_ + "/s")) {
      if (MonotonicClock().NowNs() > end_ns) return absl::InternalError("planecastd did not start");
      WaitUntilNs(MonotonicClock().NowNs() + kRetryNs);
    }
    ClientOptions options;
    options.server = server_;
    auto client = Client::Connect(options);
    if (!client.ok()) return client.status();
    client_ = *std::move(client);
    return client_->ListDisplays().status();
  }

  std::string folder_;
  std::string server_;
  std::unique_ptr<ChildProcess> process_;
  std::unique_ptr<Client> client_;
};

struct Setup {
  std::unique_ptr<DaemonProcess> daemon;
  std::unique_ptr<ViewerFleet> fleet;
};

absl::StatusOr<Setup> MakeSetup(const Bench& bench) {
  auto daemon = DaemonProcess::Start(bench);
  if (!daemon.ok()) return daemon.status();
  auto fleet = ViewerFleet::Start(bench);
  if (!fleet.ok()) return fleet.status();
  return Setup{.daemon = *std::move(daemon), .fleet = *std::move(fleet)};
}

double CpuMsPerSecond(int pid, int64_t duration_ns) {
  const int64_t cpu_ns = CpuNsOf(pid);
  const int64_t start_ns = MonotonicClock().NowNs();
  WaitUntilNs(start_ns + duration_ns);
  const int64_t spent_ns = CpuNsOf(pid) - cpu_ns;
  return static_cast<double>(spent_ns) / 1e6 /
         (static_cast<double>(MonotonicClock().NowNs() - start_ns) / 1e9);
}

absl::Status MeasureJoin(Bench& bench, const std::string& scene) {
  std::vector<double> first_ms;
  std::vector<double> next_p50_ms;
  std::vector<double> next_p95_ms;
  for (int round = 0; round < bench.effort().rounds; ++round) {
    auto setup = MakeSetup(bench);
    if (!setup.ok()) return setup.status();
    if (auto status = setup->daemon->Attach("d", scene, 1920, 1080); !status.ok()) return status;
    auto first = setup->fleet->Add(setup->daemon->server(), "d", 1, true);
    if (!first.ok()) return first.status();
    first_ms.push_back(first->front() / 1e6);
    std::vector<double> next_ms;
    for (int i = 0; i < (bench.effort().tiny() ? 3 : 20); ++i) {
      auto next = setup->fleet->Add(setup->daemon->server(), "d", 1, true);
      if (!next.ok()) return next.status();
      next_ms.push_back(next->front() / 1e6);
    }
    next_p50_ms.push_back(Quantile(next_ms, 0.5));
    next_p95_ms.push_back(Quantile(next_ms, 0.95));
  }
  bench.Report("first_viewer", first_ms, "ms", AtMost(150));
  bench.Report("next_viewer_p50", next_p50_ms, "ms");
  bench.Report("next_viewer_p95", next_p95_ms, "ms", AtMost(150));
  return absl::OkStatus();
}

absl::Status MeasureViewerMemory(Bench& bench) {
  std::vector<double> kb;
  std::vector<double> streaming_kb;
  for (int round = 0; round < bench.effort().few_rounds(); ++round) {
    for (const char* scene : {"static", "desktop"}) {
      auto setup = MakeSetup(bench);
      if (!setup.ok()) return setup.status();
      if (auto status = setup->daemon->Attach("d", scene, 1280, 720); !status.ok()) return status;
      const std::string& server = setup->daemon->server();
      // The first viewers bring up the encoder and gRPC's threads.
      if (auto few = setup->fleet->Add(server, "d", 4, true); !few.ok()) return few.status();
      WaitUntilNs(MonotonicClock().NowNs() + bench.effort().Duration(1.5));
      const double before_kb = setup->daemon->ResidentKb();
      auto many = setup->fleet->Add(server, "d", kManyViewers, true);
      if (!many.ok()) return many.status();
      WaitUntilNs(MonotonicClock().NowNs() + bench.effort().Duration(1.5));
      const double each_kb = (setup->daemon->ResidentKb() - before_kb) / kManyViewers;
      (std::string(scene) == "static" ? kb : streaming_kb).push_back(each_kb);
    }
  }
  bench.Report("static", kb, "KB", AtMost(kKbPerViewerMax));
  bench.Report("desktop", streaming_kb, "KB", AtMost(kKbPerViewerMax));
  return absl::OkStatus();
}

absl::Status MeasureGrowth(Bench& bench, int displays, int viewers) {
  std::vector<double> cpu_ms;
  std::vector<double> kb_per_display;
  std::vector<double> join_ms;
  for (int round = 0; round < bench.effort().few_rounds(); ++round) {
    auto setup = MakeSetup(bench);
    if (!setup.ok()) return setup.status();
    const double before_kb = setup->daemon->ResidentKb();
    std::vector<double> joins_ms;
    for (int i = 0; i < displays; ++i) {
      const std::string id = absl::StrCat("d", i);
      auto status = setup->daemon->Attach(id, "static", 1280, 720);
      if (!status.ok()) return status;
      if (viewers == 0) continue;
      auto joined = setup->fleet->Add(setup->daemon->server(), id, viewers, true);
      if (!joined.ok()) return joined.status();
      for (const double join_ns : *joined) joins_ms.push_back(join_ns / 1e6);
    }
    // Still pictures are refined for a moment.
    WaitUntilNs(MonotonicClock().NowNs() + bench.effort().Duration(1.5));
    kb_per_display.push_back((setup->daemon->ResidentKb() - before_kb) / displays);
    cpu_ms.push_back(CpuMsPerSecond(setup->daemon->pid(), bench.effort().Duration(1.5)));
    if (!joins_ms.empty()) join_ms.push_back(Quantile(joins_ms, 0.5));
  }
  bench.Report("idle_cpu_per_s", cpu_ms, "ms",
               viewers == 0 ? std::optional(AtMost(kIdleMsPerSecond)) : std::nullopt);
  bench.Report("memory_per_display", kb_per_display, "KB");
  if (viewers > 0) bench.Report("join_p50", join_ms, "ms");
  return absl::OkStatus();
}

}  // namespace
}  // namespace planecast::bench

int main(int argc, char** argv) {
  using planecast::bench::Bench;
  Bench bench(argc, argv);
  for (const char* scene : {"static", "desktop"}) {
    bench.Case(absl::StrCat("join.", scene),
               [=](Bench& b) { return planecast::bench::MeasureJoin(b, scene); });
  }
  bench.Case("memory_per_viewer", planecast::bench::MeasureViewerMemory);
  for (const int displays : {1, 8, 64}) {
    for (const int viewers : {0, 1, 4}) {
      if (bench.effort().tiny() && displays == 64) continue;
      bench.Case(absl::StrCat("growth.", displays, "_displays.", viewers, "_viewers"),
                 [=](Bench& b) { return planecast::bench::MeasureGrowth(b, displays, viewers); });
    }
  }
  return bench.Run();
}
