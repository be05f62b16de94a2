#include "tests/vm/daemon_session.h"

#include <chrono>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace planecast::vmtest {

std::string Text(const absl::Status& status) {
  return std::string(status.message());
}

Shell RunOnHost(const std::string& line) {
  Shell result;
  FILE* pipe = popen((line + " 2>&1 </dev/null").c_str(), "r");
  if (pipe == nullptr) return result;
  char buffer[4096];
  for (size_t size; (size = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) {
    result.output.append(buffer, size);
  }
  const int status = pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

bool DaemonSession::StartServing(const std::string& config_textproto,
                                 const std::string& environment) {
  const auto pid = lab_.StartDaemon(config_textproto, environment);
  if (!Expect(pid.status(), "planecastd starts in the VM")) return false;
  daemon_ = *pid;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  channel_ = grpc::CreateCustomChannel(options_["--server"], grpc::InsecureChannelCredentials(),
                                       arguments);
  const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(kWaitMaxS);
  if (!Expect(channel_->WaitForConnected(deadline), "a client on the host connects over TCP",
              lab_.DaemonLog())) {
    return false;
  }
  watch_ = std::make_unique<DisplayWatch>(channel_);
  return Expect(watch_->WaitForBookmark(), "the client is told of the displays");
}

void DaemonSession::StopServing() {
  watch_.reset();
  channel_.reset();
  const auto status = lab_.StopDaemon(daemon_);
  Expect(status.ok() && *status == 0, "SIGTERM ends the daemon with status 0",
         status.ok() ? absl::StrCat("status ", *status) : Text(status.status()));
}

void DaemonSession::ExpectState(const std::string& id, v1::Display::State state,
                                const std::string& what) {
  const auto display = watch_->WaitForState(id, state);
  Expect(display.has_value(), absl::StrCat(id, ": ", what), watch_->Describe(id));
}

void DaemonSession::ExpectPicture(Viewer& viewer, const std::string& id, uint16_t code,
                                  uint32_t width_px, uint32_t height_px, const std::string& what) {
  const Pattern pattern(kSeed, code, width_px, height_px);
  Expect(viewer.WaitForPattern(code, pattern), absl::StrCat(id, ": ", what));
}

void DaemonSession::ExpectSoundStream(Viewer& viewer, const std::string& id) {
  Expect(viewer.Offence(), absl::StrCat(id, ": the stream kept its contract"));
  Expect(viewer.Judgement(), absl::StrCat(id, ": both decoders and the header trace agree"));
}

absl::Status DaemonSession::Paint(const std::string& role, const char* verb, uint16_t code) {
  return lab_.Tell(role, absl::StrFormat("%s %d %d", verb, kSeed, code));
}

bool DaemonSession::Attach(const std::string& id, const std::string& source) {
  const Shell attach = Cli(absl::StrCat("attach ", id, " ", source));
  return Expect(attach.status == 0, absl::StrCat(id, ": `planecast attach ", source, "`"),
                attach.output);
}

bool DaemonSession::AttachGroup(const std::string& id, const Mdev& mdev) {
  return Attach(id, absl::StrFormat("--vfio-group %d --device %s", mdev.group, mdev.uuid));
}

Shell DaemonSession::Cli(const std::string& words) {
  return RunOnHost(absl::StrCat("PLANECAST_SERVER=", options_["--server"], " timeout ", kWaitMaxS,
                                " ", options_["--cli"], " ", words));
}

}  // namespace planecast::vmtest
