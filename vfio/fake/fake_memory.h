// Memory of a fake guest: a memfd, and the guest's own mapping of it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace planecast {

inline constexpr uint64_t kFakePageBytes = 4096;

inline constexpr uint64_t RoundUpToPage(uint64_t bytes) {
  return (bytes + kFakePageBytes - 1) / kFakePageBytes * kFakePageBytes;
}

/// A piece of guest memory. The guest writes through bytes(); the host opens the memfd and maps it
/// elsewhere, so that nothing but the pages is shared. Immutable but for the bytes.
class FakeMemory {
 public:
  /// Zeroed memory, or null if the kernel gives none.
  static std::shared_ptr<FakeMemory> Create(uint64_t size_bytes);
  /// Takes over a memfd and its mapping; use Create.
  FakeMemory(int memfd, uint8_t* data, uint64_t size_bytes)
      : memfd_(memfd), data_(data), size_bytes_(size_bytes) {}
  ~FakeMemory();
  FakeMemory(const FakeMemory&) = delete;
  FakeMemory& operator=(const FakeMemory&) = delete;

  uint64_t size_bytes() const { return size_bytes_; }
  /// Borrowed.
  int memfd() const { return memfd_; }
  /// The guest's view.
  std::span<uint8_t> bytes() const { return {data_, size_bytes_}; }

  /// A new open file of the same memory: a real fd that the caller owns, or a negated errno.
  int Reopen(int flags) const;

 private:
  int memfd_;
  uint8_t* data_;
  uint64_t size_bytes_;
};

}  // namespace planecast
