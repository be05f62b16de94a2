// planecast-va-check: does planecast work on this GPU?
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>

#include "tests/va_check/va_check.h"

namespace {

constexpr const char* kHelp =
    "planecast-va-check: probes, encodes, decodes and compares on each GPU of this host\n\n"
    "Usage: planecast-va-check [--node /dev/dri/renderD128] [--pictures N] [--size WxH]\n\n"
    "Exit codes: 0 works, 1 something is wrong, 2 wrong usage.\n";
constexpr int kPicturesMax = 10'000;

}  // namespace

int main(int argc, char** argv) {
  planecast::vacheck::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--help" || flag == "-h") {
      std::cout << kHelp;
      return 0;
    }
    if (i + 1 >= argc || (flag != "--node" && flag != "--pictures" && flag != "--size")) {
      std::cerr << kHelp;
      return 2;
    }
    if (flag == "--node") {
      options.node = argv[++i];
      continue;
    }
    if (flag == "--size") {
      char end = 0;
      const int fields =
          std::sscanf(argv[++i], "%dx%d%c", &options.width_px, &options.height_px, &end);
      // The card has a row of eight patches.
      if (fields != 2 || options.width_px < 640 || options.width_px > 4096 ||
          options.height_px < 240 || options.height_px > 4096) {
        std::cerr << "--size takes 640x240 to 4096x4096\n";
        return 2;
      }
      continue;
    }
    options.pictures = std::atoi(argv[++i]);
    if (options.pictures < 2 || options.pictures > kPicturesMax) {
      std::cerr << "--pictures takes 2 to " << kPicturesMax << "\n";
      return 2;
    }
  }
  return planecast::vacheck::Run(options, std::cout);
}
