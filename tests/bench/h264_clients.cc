#include "tests/bench/h264_clients.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

extern "C" {
#include <libavformat/avformat.h>
}

#include <span>
#include <utility>
#include <vector>

#include "vfio/clock.h"
#include "vfio/fake/frame_code.h"

namespace planecast::bench {
namespace {

constexpr int kIoBytes = 1 << 16;

}  // namespace

void H264Eye::OnUnit(std::span<const uint8_t> unit) {
  const auto picture = decoder_.Decode(unit);
  if (!picture.ok()) return;
  const int64_t now_ns = MonotonicClock().NowNs();
  const auto code = DecodeFrameCodeLuma(picture->width_px, picture->height_px, picture->y.data(),
                                        picture->width_px);
  if (!code.has_value()) return;
  watcher_.OnPicture(code->frame, now_ns, [&] {
    return Luma{
        .width_px = picture->width_px, .height_px = picture->height_px, .samples = picture->y};
  });
}

absl::StatusOr<std::unique_ptr<PlanecastClient>> PlanecastClient::Connect(const std::string& server,
                                                                          Watcher& watcher) {
  auto handler = std::make_unique<PlanecastClient>(watcher);
  ClientOptions options;
  options.server = server;
  auto client = Client::Connect(options);
  if (!client.ok()) return client.status();
  handler->client_ = *std::move(client);
  auto stream = handler->client_->StreamDisplay("d", {}, *handler);
  if (!stream.ok()) return stream.status();
  handler->stream_ = *std::move(stream);
  return handler;
}

PlanecastClient::~PlanecastClient() {
  stream_.reset();
}

void PlanecastClient::OnAccessUnit(Stream& /*stream*/, const v1::AccessUnit& unit) {
  received_bytes_ += unit.ByteSizeLong();
  eye_.OnUnit(std::span(reinterpret_cast<const uint8_t*>(unit.data().data()), unit.data().size()));
}

absl::StatusOr<std::unique_ptr<NutListener>> NutListener::Listen(Watcher& watcher) {
  Fd fd(KernelSys(), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (bind(fd.get(), any, size) != 0 || listen(fd.get(), 1) != 0 ||
      getsockname(fd.get(), any, &size) != 0) {
    return absl::InternalError("can't listen");
  }
  return std::make_unique<NutListener>(std::move(fd), ntohs(address.sin_port), watcher);
}

NutListener::NutListener(Fd listener, int port, Watcher& watcher)
    : listener_(std::move(listener)), port_(port), eye_(watcher), thread_([this] { Run(); }) {}

NutListener::~NutListener() {
  stopped_ = true;
  // Ends the wait for a sender; the wait for its bytes ends with it.
  shutdown(listener_.get(), SHUT_RDWR);
  thread_.join();
}

int NutListener::Read(uint8_t* data, int size_bytes) {
  const ssize_t size = recv(connection_.get(), data, static_cast<size_t>(size_bytes), 0);
  if (size <= 0 || stopped_) return AVERROR_EOF;
  received_bytes_ += static_cast<uint64_t>(size);
  return static_cast<int>(size);
}

void NutListener::Run() {
  connection_ = Fd(KernelSys(), accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection_.valid()) return;
  auto* buffer = static_cast<uint8_t*>(av_malloc(kIoBytes));
  AVIOContext* io = avio_alloc_context(
      buffer, kIoBytes, 0, this,
      [](void* self, uint8_t* data, int size) {
        return static_cast<NutListener*>(self)->Read(data, size);
      },
      nullptr, nullptr);
  AVFormatContext* format = avformat_alloc_context();
  format->pb = io;
  format->flags |= AVFMT_FLAG_NOBUFFER;
  if (avformat_open_input(&format, nullptr, av_find_input_format("nut"), nullptr) == 0) {
    AVPacket* packet = av_packet_alloc();
    bool first = true;
    while (!stopped_ && av_read_frame(format, packet) == 0) {
      // NUT has the parameter sets in its header; the decoder takes them with the first picture.
      const AVCodecParameters& stream = *format->streams[0]->codecpar;
      std::vector<uint8_t> unit;
      if (first) unit.assign(stream.extradata, stream.extradata + stream.extradata_size);
      first = false;
      unit.insert(unit.end(), packet->data, packet->data + packet->size);
      eye_.OnUnit(unit);
      av_packet_unref(packet);
    }
    av_packet_free(&packet);
    avformat_close_input(&format);
  }
  av_freep(&io->buffer);
  avio_context_free(&io);
}

}  // namespace planecast::bench
