#include "vfio/fake/fake_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace planecast {

std::shared_ptr<FakeMemory> FakeMemory::Create(uint64_t size_bytes) {
  const int memfd = memfd_create("planecast-fake", MFD_CLOEXEC);
  if (memfd < 0) return nullptr;
  void* data = MAP_FAILED;
  if (ftruncate(memfd, static_cast<off_t>(size_bytes)) == 0) {
    data = mmap(nullptr, RoundUpToPage(size_bytes), PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
  }
  if (data == MAP_FAILED) {
    close(memfd);
    return nullptr;
  }
  return std::make_shared<FakeMemory>(memfd, static_cast<uint8_t*>(data), size_bytes);
}

FakeMemory::~FakeMemory() {
  munmap(data_, RoundUpToPage(size_bytes_));
  close(memfd_);
}

int FakeMemory::Reopen(int flags) const {
  const std::string path = absl::StrCat("/proc/self/fd/", memfd_);
  const int fd = open(path.c_str(), flags);
  return fd < 0 ? -errno : fd;
}

}  // namespace planecast
