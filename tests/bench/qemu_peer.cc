#include "tests/bench/qemu_peer.h"

#include <drm_fourcc.h>
#include <endian.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace planecast::bench {
namespace {

constexpr size_t kMemoryBytes = size_t{64} << 20;
constexpr size_t kRequestAt = size_t{1} << 20;
constexpr size_t kConfigAt = kRequestAt + 4096;
constexpr size_t kPixelsAt = size_t{16} << 20;
/// docs/specs/fw_cfg.rst of QEMU: I/O ports and the bits of a DMA request.
constexpr const char* kSelectorPort = "0x510";
constexpr const char* kDataPort = "0x511";
constexpr const char* kDmaHighPort = "0x514";
constexpr const char* kDmaLowPort = "0x518";
constexpr uint16_t kFileDirectory = 0x19;
constexpr uint32_t kDmaSelect = 0x08;
constexpr uint32_t kDmaWrite = 0x10;
constexpr int kNameBytes = 56;
constexpr int kAnswerLinesMax = 20;

/// Big-endian, in guest memory.
struct DmaRequest {
  uint32_t control;
  uint32_t length;
  uint64_t address;
};
/// etc/ramfb; big-endian, packed.
struct __attribute__((packed)) ScreenConfig {
  uint64_t address;
  uint32_t fourcc;
  uint32_t flags;
  uint32_t width_px;
  uint32_t height_px;
  uint32_t stride_bytes;
};

}  // namespace

absl::StatusOr<std::unique_ptr<QemuPeer>> QemuPeer::Start(const Bench& bench, uint32_t width_px,
                                                          uint32_t height_px, bool lossy) {
  auto peer = std::make_unique<QemuPeer>();
  if (absl::Status status = peer->MapMemory(); !status.ok()) return status;
  if (absl::Status status = peer->Run(bench, lossy); !status.ok()) return status;
  if (absl::Status status = peer->ConfigureScreen(width_px, height_px); !status.ok()) return status;
  return peer;
}

QemuPeer::~QemuPeer() {
  process_.reset();
  if (memory_ != nullptr) munmap(memory_, kMemoryBytes);
}

uint32_t* QemuPeer::pixels() const {
  return reinterpret_cast<uint32_t*>(memory_ + kPixelsAt);
}

absl::Status QemuPeer::MapMemory() {
  memory_fd_ = Fd(KernelSys(), memfd_create("bench", MFD_CLOEXEC));
  if (ftruncate(memory_fd_.get(), kMemoryBytes) != 0) return absl::InternalError("no memory");
  void* memory =
      mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd_.get(), 0);
  if (memory == MAP_FAILED) return absl::InternalError("no memory");
  memory_ = static_cast<uint8_t*>(memory);
  return absl::OkStatus();
}

absl::Status QemuPeer::Run(const Bench& bench, bool lossy) {
  const std::string command = absl::StrCat(
      "exec qemu-system-x86_64 -accel tcg -S -nodefaults -vga none -device ramfb -m ",
      kMemoryBytes >> 20, "M -machine pc,memory-backend=ram -object memory-backend-file,id=ram,",
      "share=on,size=", kMemoryBytes, ",mem-path=/proc/", getpid(), "/fd/", memory_fd_.get(),
      " -vnc 127.0.0.1:0,to=999", lossy ? ",lossy=on" : "",
      " -qtest stdio -qtest-log /dev/null 2>&1");
  auto process = ChildProcess::Start(bench, Manners::kForeign, {"sh", "-c", command});
  if (!process.ok()) return process.status();
  process_ = *std::move(process);
  std::string last;
  for (int i = 0; i < kAnswerLinesMax; ++i) {
    auto line = process_->ReadLine();
    if (!line.ok()) return absl::UnavailableError(absl::StrCat("qemu-system-x86_64: ", last));
    last = *line;
    // "VNC server running on 127.0.0.1:5900"
    const size_t colon = line->rfind(':');
    if (!absl::StartsWith(*line, "VNC server running") || colon == line->npos) continue;
    if (absl::SimpleAtoi(line->substr(colon + 1), &vnc_port_)) return absl::OkStatus();
  }
  return absl::UnavailableError("QEMU does not say where its VNC server is");
}

absl::StatusOr<uint32_t> QemuPeer::ReadBigEndian(int bytes) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; ++i) {
    auto words = process_->Ask(absl::StrCat("inb ", kDataPort));
    if (!words.ok()) return words.status();
    uint32_t byte = 0;
    if (words->empty() || !absl::SimpleHexAtoi((*words)[0], &byte)) {
      return absl::InternalError("QEMU answers inb with no number");
    }
    value = value << 8 | byte;
  }
  return value;
}

absl::StatusOr<uint16_t> QemuPeer::FindFile(const std::string& name) {
  auto selected = process_->Ask(absl::StrCat("outw ", kSelectorPort, " ", kFileDirectory));
  if (!selected.ok()) return selected.status();
  auto count = ReadBigEndian(4);
  if (!count.ok()) return count.status();
  for (uint32_t i = 0; i < *count; ++i) {
    auto size = ReadBigEndian(4);
    auto key = ReadBigEndian(2);
    auto reserved = ReadBigEndian(2);
    if (!size.ok() || !key.ok() || !reserved.ok()) return absl::InternalError("fw_cfg ended early");
    std::string found;
    for (int j = 0; j < kNameBytes; ++j) {
      auto letter = ReadBigEndian(1);
      if (!letter.ok()) return letter.status();
      if (*letter != 0) found.push_back(static_cast<char>(*letter));
    }
    if (found == name) return static_cast<uint16_t>(*key);
  }
  return absl::UnavailableError("this QEMU has no ramfb");
}

absl::Status QemuPeer::ConfigureScreen(uint32_t width_px, uint32_t height_px) {
  const auto key = FindFile("etc/ramfb");
  if (!key.ok()) return key.status();
  const ScreenConfig config{.address = htobe64(kPixelsAt),
                            .fourcc = htobe32(DRM_FORMAT_XRGB8888),
                            .flags = 0,
                            .width_px = htobe32(width_px),
                            .height_px = htobe32(height_px),
                            .stride_bytes = htobe32(width_px * 4)};
  const DmaRequest request{.control = htobe32(uint32_t{*key} << 16 | kDmaSelect | kDmaWrite),
                           .length = htobe32(sizeof(config)),
                           .address = htobe64(kConfigAt)};
  std::memcpy(memory_ + kConfigAt, &config, sizeof(config));
  std::memcpy(memory_ + kRequestAt, &request, sizeof(request));
  auto high = process_->Ask(absl::StrCat("outl ", kDmaHighPort, " 0"));
  if (!high.ok()) return high.status();
  // The registers are big-endian; writing the lower half starts the request.
  return process_->Ask(absl::StrCat("outl ", kDmaLowPort, " ", htobe32(uint32_t{kRequestAt})))
      .status();
}

}  // namespace planecast::bench
