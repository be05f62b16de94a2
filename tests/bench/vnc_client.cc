#include "tests/bench/vnc_client.h"

// This one first: the kernel's tcp_info has what glibc's lacks.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <rfb/rfbclient.h>
#include <sys/socket.h>

#include <cstdlib>
#include <cstring>

#include "vfio/clock.h"
#include "vfio/fake/frame_code.h"

namespace planecast::bench {
namespace {

constexpr unsigned kWaitUs = 50'000;

void NoLog(const char* /*format*/, ...) {}

Canvas CanvasOf(const rfbClient& client) {
  return {.pixels = reinterpret_cast<uint32_t*>(client.frameBuffer),
          .width_px = static_cast<uint32_t>(client.width),
          .height_px = static_cast<uint32_t>(client.height),
          .stride_px = static_cast<uint32_t>(client.width)};
}

}  // namespace

absl::StatusOr<std::unique_ptr<VncClient>> VncClient::Connect(int port, const VncEncoding& encoding,
                                                              Watcher& watcher) {
  rfbClientLog = NoLog;
  rfbClientErr = NoLog;
  rfbClient* client = rfbGetClient(8, 3, 4);
  if (client == nullptr) return absl::InternalError("libvncclient has no memory");
  client->format.redShift = 16;
  client->format.greenShift = 8;
  client->format.blueShift = 0;
  // The library frees the host's name.
  client->serverHost = strdup("127.0.0.1");
  client->serverPort = port;
  client->canHandleNewFBSize = FALSE;
  client->appData.encodingsString = encoding.encodings.c_str();
  client->appData.compressLevel = encoding.compress_level;
  client->appData.enableJPEG = encoding.jpeg_quality >= 0;
  client->appData.qualityLevel = encoding.jpeg_quality >= 0 ? encoding.jpeg_quality : 9;
  // It frees the client if that fails.
  if (rfbInitClient(client, nullptr, nullptr) == FALSE) {
    return absl::InternalError("the VNC server does not answer");
  }
  return std::make_unique<VncClient>(client, watcher);
}

VncClient::VncClient(rfbClient* client, Watcher& watcher) : client_(client), watcher_(watcher) {
  rfbClientSetClientData(client_, nullptr, this);
  client_->FinishedFrameBufferUpdate = [](rfbClient* self) {
    static_cast<VncClient*>(rfbClientGetClientData(self, nullptr))->OnUpdate();
  };
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

VncClient::~VncClient() {
  thread_.request_stop();
  thread_.join();
  std::free(client_->frameBuffer);
  client_->frameBuffer = nullptr;
  rfbClientCleanup(client_);
}

uint64_t VncClient::received_bytes() const {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (getsockopt(client_->sock, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_received;
}

void VncClient::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const int ready = WaitForMessage(client_, kWaitUs);
    if (ready < 0) return;
    if (ready > 0 && HandleRFBServerMessage(client_) == FALSE) return;
  }
}

void VncClient::OnUpdate() {
  const Canvas canvas = CanvasOf(*client_);
  const auto code = DecodeFrameCodeXrgb(canvas);
  if (!code.has_value()) return;
  watcher_.OnPicture(code->frame, MonotonicClock().NowNs(),
                     [&] { return LumaOf(canvas.pixels, canvas.width_px, canvas.height_px); });
}

}  // namespace planecast::bench
