#include "service/process/system_call_filter.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "service/process/system_calls.h"
#include "vfio/abi.h"

namespace planecast {
namespace {

/// Above every number that Linux uses on the machines that we build for.
constexpr int kNumbersMax = 512;

/// si_code of a SIGSYS that a filter sent; in the kernel's headers SYS_SECCOMP.
constexpr int kRefusedByFilter = 1;

/// ioctl(2)'s number is 32 bits wide to the kernel, whatever is in the register above.
constexpr uint64_t kRequestMask = 0xffffffff;
/// A request's type is its second byte.
constexpr uint64_t kTypeMask = 0xff00;
constexpr uint64_t TypeOf(char type) {
  return static_cast<uint64_t>(static_cast<unsigned char>(type)) << 8;
}

/// VFIO's, for a device that is open.
constexpr std::array kDeviceRequests = {abi::kDeviceGetInfo,    abi::kDeviceGetRegionInfo,
                                        abi::kDeviceGetIrqInfo, abi::kDeviceSetIrqs,
                                        abi::kQueryGfxPlane,    abi::kGetGfxDmabuf};
/// For who opens one.
constexpr std::array kOpenersRequests = {
    abi::kGetApiVersion,    abi::kCheckExtension,    abi::kSetIommu,
    abi::kGroupGetStatus,   abi::kGroupSetContainer, abi::kGroupUnsetContainer,
    abi::kGroupGetDeviceFd, abi::kDeviceBindIommufd, abi::kDeviceAttachIommufdPt};
/// Of files and sockets: FIONREAD (SIOCINQ), FIONBIO, TIOCOUTQ (SIOCOUTQ), and TCGETS, by which C
/// libraries see that something is no terminal.
constexpr std::array<uint64_t, 4> kFileRequests = {0x541b, 0x5421, 0x5411, 0x5401};
/// Fences of GPUs: SYNC_IOC_MERGE and SYNC_IOC_FILE_INFO.
constexpr std::array<uint64_t, 2> kFenceRequests = {0xc0303e03, 0xc0383e04};

/// Of a thread, as pthread_create makes it, and of nothing else: no process, no namespace.
constexpr uint64_t kThreadFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
constexpr uint64_t kNamespaceFlags = CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS |
                                     CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWUTS;

/// What socket(2)'s type has beside the type.
constexpr uint64_t kSocketTypeMask = ~uint64_t{SOCK_CLOEXEC | SOCK_NONBLOCK};

/// Refused requests of ioctl(2) that are told one by one.
constexpr size_t kRequestsToldMax = 16;

/// What a signal handler may use: filled before the filter is there, and only read after it, but
/// for the marks. A handler is of the whole process, and has nothing but what is.
struct Refusals {
  std::array<std::array<char, 32>, kNumbersMax> names{};
  std::array<std::atomic_flag, kNumbersMax> told{};
  /// Of ioctl(2), each but 0 once.
  std::array<std::atomic<uint32_t>, kRequestsToldMax> requests{};
  bool journal = false;
};
constinit Refusals g_refusals;

/// A line that grows without memory from anywhere, for a signal handler.
class Line {
 public:
  void Add(std::string_view text) {
    const size_t size = std::min(text.size(), bytes_.size() - size_);
    std::memcpy(bytes_.data() + size_, text.data(), size);
    size_ += size;
  }
  void Add(unsigned number) {
    std::array<char, 12> digits{};
    size_t at = digits.size();
    do {
      digits[--at] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    Add(std::string_view(digits.data() + at, digits.size() - at));
  }
  void AddHex(uint32_t number) {
    std::array<char, 10> digits{'0', 'x'};
    for (size_t i = 0; i < 8; ++i) digits[9 - i] = "0123456789abcdef"[number >> (4 * i) & 15];
    Add(std::string_view(digits.data(), digits.size()));
  }
  void Write() const {
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, bytes_.data(), size_);
  }

 private:
  std::array<char, 256> bytes_{};
  size_t size_ = 0;
};

/// False if the request was told before, or too many were.
bool IsNewRequest(uint32_t request) {
  for (std::atomic<uint32_t>& told : g_refusals.requests) {
    uint32_t seen = 0;
    if (told.compare_exchange_strong(seen, request)) return true;
    if (seen == request) return false;
  }
  return false;
}

/// `arguments` are the first two.
void Tell(unsigned number, const std::array<uint64_t, 2>& arguments) {
  const bool known = number < kNumbersMax;
  const auto request = static_cast<uint32_t>(arguments[1]);
  if (number == SYS_ioctl) {
    if (!IsNewRequest(request)) return;
  } else if (known && g_refusals.told[number].test_and_set()) {
    return;
  }
  Line line;
  line.Add(g_refusals.journal ? "<4>" : "warning ");
  line.Add("the system call ");
  if (known) line.Add(g_refusals.names[number].data());
  line.Add(" (number ");
  line.Add(number);
  if (number == SYS_ioctl) {
    line.Add(", request ");
    line.AddHex(request);
  } else if (number == SYS_socket) {
    line.Add(", family ");
    line.Add(static_cast<unsigned>(arguments[0]));
  }
  line.Add(
      "), which the daemon is not known to make, was refused and will be; if something fails by "
      "it, tell us, and say --no-seccomp until then\n");
  line.Write();
}

/// SIGSYS: the call was not made. The handler gives its caller an answer. Async-signal-safe.
void OnRefusedCall(int /*signal*/, siginfo_t* info, void* context) {
  if (info->si_code != kRefusedByFilter) return;
  const int error = errno;
  auto* const machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  Tell(static_cast<unsigned>(info->si_syscall), {static_cast<uint64_t>(machine->gregs[REG_RDI]),
                                                 static_cast<uint64_t>(machine->gregs[REG_RSI])});
  machine->gregs[REG_RAX] = -EPERM;
#elif defined(__aarch64__)
  Tell(static_cast<unsigned>(info->si_syscall), {machine->regs[0], machine->regs[1]});
  machine->regs[0] = static_cast<unsigned long long>(-EPERM);
#else
#error "which register has a system call's answer on this machine?"
#endif
  errno = error;
}

absl::Status CatchRefusedCalls() {
  g_refusals.journal = std::getenv("JOURNAL_STREAM") != nullptr;
  for (int number = 0; number < kNumbersMax; ++number) {
    const std::unique_ptr<char, decltype(&std::free)> name(
        seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number), &std::free);
    auto& kept = g_refusals.names[static_cast<size_t>(number)];
    std::strncpy(kept.data(), name == nullptr ? "of a newer kernel" : name.get(), kept.size() - 1);
  }
  struct sigaction action {};
  action.sa_sigaction = &OnRefusedCall;
  // SA_NODEFER: writing the line is a call as well, whatever an attacker made of the fd.
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGSYS, &action, nullptr) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "can't catch SIGSYS");
}

// Libseccomp's macros for these leave fields to chance, which clang warns of.
scmp_arg_cmp Equal(unsigned argument, uint64_t value) {
  return {.arg = argument, .op = SCMP_CMP_EQ, .datum_a = value, .datum_b = 0};
}
scmp_arg_cmp Masked(unsigned argument, uint64_t mask, uint64_t value) {
  return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

/// A filter that is being made. Remembers the first error.
class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_TRAP), &seccomp_release) {
    if (context_ == nullptr) error_ = -ENOMEM;
  }

  void Set(scmp_filter_attr attribute, uint32_t value) {
    if (error_ == 0) Note(seccomp_attr_set(context_.get(), attribute, value), "an attribute");
  }
  /// A call that this machine doesn't have needs no rule.
  void Add(uint32_t action, const char* call, std::initializer_list<scmp_arg_cmp> conditions = {}) {
    const int number = seccomp_syscall_resolve_name(call);
    if (number < 0 || error_ != 0) return;
    Note(seccomp_rule_add_array(context_.get(), action, number,
                                static_cast<unsigned>(conditions.size()), conditions.begin()),
         call);
  }
  absl::Status Load() {
    if (error_ == 0) Note(seccomp_load(context_.get()), "loading it");
    if (error_ == 0) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("system calls can't be filtered: ", std::strerror(-error_), " at ", where_,
                     "; --no-seccomp goes without, which is said by 'planecast host'"));
  }

 private:
  void Note(int result, const char* where) {
    if (result >= 0) return;
    error_ = result;
    where_ = where;
  }

  std::unique_ptr<void, decltype(&seccomp_release)> context_;
  int error_ = 0;
  const char* where_ = "its start";
};

void AllowRequest(Filter& filter, uint64_t request) {
  filter.Add(SCMP_ACT_ALLOW, "ioctl", {Masked(1, kRequestMask, request)});
}

void AllowRequestsOfType(Filter& filter, char type) {
  filter.Add(SCMP_ACT_ALLOW, "ioctl", {Masked(1, kTypeMask, TypeOf(type))});
}

void AllowRequests(Filter& filter, const SystemCallNeeds& needs) {
  for (const uint64_t request : kDeviceRequests) AllowRequest(filter, request);
  if (needs.opens_devices) {
    for (const uint64_t request : kOpenersRequests) AllowRequest(filter, request);
  }
  if (needs.flip_eventfd_draft) AllowRequest(filter, abi::kSetGfxFlipEventfd);
  for (const uint64_t request : kFileRequests) AllowRequest(filter, request);
  for (const uint64_t request : kFenceRequests) AllowRequest(filter, request);
  // DRM and dma-buf.
  AllowRequestsOfType(filter, 'd');
  AllowRequestsOfType(filter, 'b');
}

/// Calls of which only a part is ours.
void AllowParts(Filter& filter) {
  filter.Add(SCMP_ACT_ALLOW, "clone", {Masked(0, kThreadFlags | kNamespaceFlags, kThreadFlags)});
  // The broker's. All others were made before.
  filter.Add(SCMP_ACT_ALLOW, "socket",
             {Equal(0, AF_UNIX), Masked(1, kSocketTypeMask & kRequestMask, SOCK_SEQPACKET)});
  for (const uint64_t what : {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_CAPBSET_READ}) {
    filter.Add(SCMP_ACT_ALLOW, "prctl", {Equal(0, what)});
  }
  const auto self = static_cast<uint64_t>(getpid());
  // Its own limits and threads.
  for (const uint64_t pid : {uint64_t{0}, self}) {
    filter.Add(SCMP_ACT_ALLOW, "prlimit64", {Equal(0, pid)});
  }
  filter.Add(SCMP_ACT_ALLOW, "tgkill", {Equal(0, self)});
  // By which Mesa sees that two fds are one file.
  filter.Add(SCMP_ACT_ALLOW, "kcmp", {Equal(0, self), Equal(1, self), Equal(2, KCMP_FILE)});
}

}  // namespace

const char* SystemCallFilterProblem() {
#if defined(PLANECAST_SANITIZED)
  return "this build has a sanitizer, whose system calls are not known";
#else
  return "";
#endif
}

absl::Status InstallSystemCallFilter(const SystemCallNeeds& needs) {
  if (auto status = CatchRefusedCalls(); !status.ok()) return status;
  Filter filter;
  filter.Set(SCMP_FLTATR_CTL_TSYNC, 1);
  // A 32-bit program's calls have other numbers.
  filter.Set(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  // Without this, kernels before 5.16 also slow the process down, against programs that are run in
  // a sandbox; it runs none.
  filter.Set(SCMP_FLTATR_CTL_SSB, 1);
  // A binary tree: every call walks it that the kernel does not know to be allowed always.
  filter.Set(SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (const char* call : kAllowedCalls) filter.Add(SCMP_ACT_ALLOW, call);
  if (needs.opens_devices) {
    for (const char* call : kOpenersCalls) filter.Add(SCMP_ACT_ALLOW, call);
  }
  AllowParts(filter);
  AllowRequests(filter, needs);
  filter.Add(SCMP_ACT_ERRNO(ENOSYS), "clone3");
  for (const char* call : kDeadlyCalls) filter.Add(SCMP_ACT_KILL_PROCESS, call);
  return filter.Load();
}

}  // namespace planecast
