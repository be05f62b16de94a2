#include "tests/h264/av_log_capture.h"

#include <array>
#include <cstdarg>
#include <mutex>

extern "C" {
#include <libavutil/log.h>
}

namespace planecast::testing {

struct AvLogAccess {
  static thread_local AvLogCapture* current;

  static void Callback(void* context, int level, const char* format, va_list arguments) {
    if (level > AV_LOG_WARNING || current == nullptr) return;
    std::array<char, 512> line{};
    int print_prefix = 1;
    av_log_format_line2(context, level, format, arguments, line.data(),
                        static_cast<int>(line.size()), &print_prefix);
    current->complaints_ += line.data();
  }
};

thread_local AvLogCapture* AvLogAccess::current = nullptr;

AvLogCapture::AvLogCapture() {
  // Once for the process and never taken back: each thread only changes its own pointer.
  static std::once_flag installed;
  std::call_once(installed, [] { av_log_set_callback(AvLogAccess::Callback); });
  AvLogAccess::current = this;
}

AvLogCapture::~AvLogCapture() {
  AvLogAccess::current = nullptr;
}

}  // namespace planecast::testing
