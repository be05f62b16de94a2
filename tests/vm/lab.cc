#include "tests/vm/lab.h"

#include <charconv>
#include <sstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace planecast::vmtest {
namespace {

/// Longest time for the daemon to end and for a device to go.
constexpr int kEndTimeoutS = 30;
constexpr const char* kHandOverSocket = "/run/hand-over.sock";
constexpr const char* kTracing = "/sys/kernel/tracing";

std::string Trimmed(const std::string& text) {
  const size_t end = text.find_last_not_of(" \n\r\t");
  return end == std::string::npos ? std::string() : text.substr(0, end + 1);
}

absl::StatusOr<int> ToInt(const std::string& text) {
  int value = 0;
  const std::string trimmed = Trimmed(text);
  const auto result = std::from_chars(trimmed.data(), trimmed.data() + trimmed.size(), value);
  if (result.ec != std::errc()) return absl::InternalError(absl::StrCat("no number: ", trimmed));
  return value;
}

std::string RolePath(const std::string& role) {
  return absl::StrCat("/run/role-", role);
}

/// The word after `key` in a line, or nothing.
std::string Field(const std::string& line, const std::string& key) {
  const size_t at = line.find(key);
  if (at == std::string::npos) return {};
  const size_t begin = at + key.size();
  return line.substr(begin, line.find_first_of(" \n", begin) - begin);
}

}  // namespace

absl::StatusOr<std::string> Lab::Run(const std::string& line) {
  auto result = control_.Run(line);
  if (!result.ok()) return result.status();
  if (result->status != 0) {
    return absl::InternalError(
        absl::StrCat(Trimmed(result->output), " (status ", result->status, " of: ", line, ")"));
  }
  return std::move(result->output);
}

absl::StatusOr<Mdev> Lab::CreateMdev(const std::string& type) {
  Mdev mdev;
  mdev.type = type;
  mdev.uuid = absl::StrFormat("9ace0000-0000-4000-8000-%012d", ++mdevs_);
  const std::string driver = type.substr(0, type.find('-'));
  const auto output =
      Run(absl::StrFormat("echo %s > /sys/class/mdev_bus/%s/mdev_supported_types/%s/create && "
                          "basename $(readlink /sys/bus/mdev/devices/%s/iommu_group)",
                          mdev.uuid, driver, type, mdev.uuid));
  if (!output.ok()) return output.status();
  const auto group = ToInt(*output);
  if (!group.ok()) return group.status();
  mdev.group = *group;
  return mdev;
}

absl::Status Lab::RemoveMdev(const Mdev& mdev) {
  return Run(absl::StrFormat("timeout %d sh -c 'echo 1 > /sys/bus/mdev/devices/%s/remove'",
                             kEndTimeoutS, mdev.uuid))
      .status();
}

absl::StatusOr<pid_t> Lab::StartOwner(const std::string& role, const Mdev& mdev) {
  const auto output = Run(absl::StrFormat("vm_guest_role serve %s --group %d --device %s",
                                          RolePath(role), mdev.group, mdev.uuid));
  if (!output.ok()) return output.status();
  return ToInt(*output);
}

absl::StatusOr<std::string> Lab::StartTicks(pid_t pid) {
  const auto output = Run(absl::StrFormat("cut -d' ' -f22 /proc/%d/stat", pid));
  if (!output.ok()) return output.status();
  return Trimmed(*output);
}

absl::Status Lab::StartBorrower(const std::string& role, pid_t pid, bool region, int memory_mib) {
  return Run(absl::StrFormat("vm_guest_role serve %s --borrow %d --kind %s --memory-mib %d",
                             RolePath(role), pid, region ? "region" : "dmabuf", memory_mib))
      .status();
}

absl::Status Lab::Tell(const std::string& role, const std::string& command) {
  return Run(absl::StrFormat("vm_guest_role send %s %s", RolePath(role), command)).status();
}

absl::StatusOr<std::string> Lab::ReadEdid(const std::string& role) {
  const auto answer = Run(absl::StrFormat("vm_guest_role send %s edid", RolePath(role)));
  if (!answer.ok()) return answer.status();
  return absl::HexStringToBytes(Trimmed(std::string(absl::StripPrefix(*answer, "ok "))));
}

absl::StatusOr<std::string> Lab::HandOver(const std::string& role) {
  const auto answer =
      Run(absl::StrFormat("vm_guest_role send %s handover %s", RolePath(role), kHandOverSocket));
  if (!answer.ok()) return answer.status();
  return Trimmed(std::string(absl::StripPrefix(*answer, "ok ")));
}

absl::StatusOr<pid_t> Lab::StartDaemon(const std::string& config_textproto,
                                       const std::string& environment) {
  // The exit status goes through a pipe, so that StopDaemon can wait for it. Render nodes get a
  // group, as udev gives them one: the daemon is not root.
  const auto output = Run(absl::StrFormat(
      "printf '%%s' '%s' > /run/config.textproto; rm -f /run/exit /run/daemon.pid; "
      "for node in /dev/dri/renderD*; do [ ! -e $node ] || { chgrp 44 $node; chmod 660 $node; }; "
      "done; "
      "mkfifo /run/exit; (%s planecastd --config /run/config.textproto --user 61234 --socket "
      "/run/planecast.sock "
      "--listen 0.0.0.0:7443 --insecure --anonymous-remote operator --log-level debug >> "
      "/run/daemon.log 2>&1 & "
      "echo $! > /run/daemon.pid; wait $!; echo $? > /run/exit) > /dev/null 2>&1 & "
      "until [ -s /run/daemon.pid ]; do :; done; cat /run/daemon.pid",
      absl::StrFormat("hand_over_socket_path: \"%s\" %s", kHandOverSocket, config_textproto),
      environment));
  if (!output.ok()) return output.status();
  return ToInt(*output);
}

absl::StatusOr<int> Lab::StopDaemon(pid_t pid) {
  const auto output =
      Run(absl::StrFormat("kill -TERM %d && timeout %d cat /run/exit", pid, kEndTimeoutS));
  if (!output.ok()) return output.status();
  return ToInt(*output);
}

std::string Lab::DaemonLog() {
  return Run("cat /run/daemon.log").value_or("");
}

std::string Lab::DeviceFds(pid_t pid) {
  return Trimmed(
      Run(absl::StrFormat("ls -l /proc/%d/fd | grep -e vfio -e dmabuf | sed 's/.*-> //' || true",
                          pid))
          .value_or("the daemon's fds can't be read"));
}

absl::Status Lab::TraceGets() {
  // The third argument points to the id, in the process's memory.
  std::string line = absl::StrCat("cd ", kTracing, " && ");
  for (const char* driver : {"mbochs", "mbochs_fixed"}) {
    absl::StrAppend(&line, "echo 'p:planecast/", driver, " ", driver,
                    ":mbochs_ioctl cmd=%si:x32 device=%di:x64 id=+u0(%dx):u32' >> kprobe_events && "
                    "echo 'cmd == 0x3b73' > events/planecast/",
                    driver, "/filter && echo 1 > events/planecast/", driver, "/enable && ");
  }
  return Run(absl::StrCat(line, "echo 1 > tracing_on")).status();
}

absl::StatusOr<std::vector<Lab::Get>> Lab::Gets() {
  const auto trace = Run(absl::StrCat("grep cmd= ", kTracing, "/trace || true"));
  if (!trace.ok()) return trace.status();
  std::vector<Get> gets;
  std::istringstream lines(*trace);
  for (std::string line; std::getline(lines, line);) {
    Get get;
    const size_t begin = line.find_first_not_of(' ');
    if (begin == std::string::npos) continue;
    get.process = line.substr(begin, line.find(' ', begin) - begin);
    get.driver = line.find("mbochs_fixed: ") == std::string::npos ? "mbochs" : "mbochs_fixed";
    get.device = Field(line, "device=");
    const auto id = ToInt(Field(line, " id="));
    if (!id.ok()) return id.status();
    get.id = *id;
    gets.push_back(get);
  }
  return gets;
}

std::string Lab::KernelBugs() {
  return Trimmed(Run("dmesg | grep -e BUG: -e WARNING: -e Oops -e 'soft lockup' -e refcount_t -e "
                     "'general protection' -e 'Bad page' || true")
                     .value_or("the kernel's log can't be read"));
}

}  // namespace planecast::vmtest
