// Lets libva open /dev/null as if it were a render node, so that the software VA driver can be
// loaded where there is no GPU. Preloaded by planecast-sw-va, or linked into a test program, whose
// definitions then come before libdrm's.
#include <dlfcn.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <xf86drm.h>

#include <cstdlib>
#include <cstring>

namespace {

constexpr char kName[] = "planecast_sw";

bool IsDevNull(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && major(status.st_rdev) == 1 &&
         minor(status.st_rdev) == 3;
}

template <typename Function>
Function Real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

char* Copy(const char* text) {
  return strdup(text);
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int drmGetNodeTypeFromFd(int fd) {
  if (IsDevNull(fd)) return DRM_NODE_RENDER;
  const auto real = Real<int (*)(int)>("drmGetNodeTypeFromFd");
  return real != nullptr ? real(fd) : -1;
}

__attribute__((visibility("default"))) drmVersionPtr drmGetVersion(int fd) {
  if (!IsDevNull(fd)) {
    const auto real = Real<drmVersionPtr (*)(int)>("drmGetVersion");
    return real != nullptr ? real(fd) : nullptr;
  }
  // drmFreeVersion frees what drmGetVersion allocated by malloc.
  auto* version = static_cast<drmVersionPtr>(std::calloc(1, sizeof(drmVersion)));
  if (version == nullptr) return nullptr;
  version->name = Copy(kName);
  version->name_len = static_cast<int>(std::strlen(kName));
  version->date = Copy("0");
  version->date_len = 1;
  version->desc = Copy("planecast software driver");
  version->desc_len = static_cast<int>(std::strlen(version->desc));
  return version;
}

}  // extern "C"
