// MP4 through libavformat.
extern "C" {
#include <libavcodec/packet.h>
#include <libavformat/avformat.h>
#include <libavutil/error.h>
#include <libavutil/log.h>
#include <libavutil/mem.h>
}

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "clients/cli/annexb.h"
#include "clients/cli/clip_writer.h"
#include "clients/cli/output_file.h"

namespace planecast::cli {
namespace {

// The customary clock of video in MP4, in ticks per second.
constexpr int kTicksPerSecond = 90'000;
// Files of one recording; a guest that changes modes all the time must not fill the folder.
constexpr int kPartsMax = 100;

int64_t Ticks(int64_t time_ns) {
  return av_rescale(time_ns, kTicksPerSecond, 1'000'000'000);
}

absl::Status AvError(int error, const std::string& what) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(error, text, sizeof(text));
  return absl::UnknownError(absl::StrCat(what, ": ", text));
}

struct FormatDeleter {
  void operator()(AVFormatContext* format) const {
    if (format->pb != nullptr) avio_closep(&format->pb);
    avformat_free_context(format);
  }
};

struct PacketDeleter {
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};

// One file: pictures of one set of parameters.
class Mp4File {
 public:
  Mp4File(const std::string& path, std::string parameter_sets, PictureSize size)
      : output_(path), parameter_sets_(std::move(parameter_sets)), size_(size) {}

  const std::string& path() const { return output_.path(); }
  const std::string& parameter_sets() const { return parameter_sets_; }

  absl::Status Open() {
    const std::string& path = output_.partial_path();
    AVFormatContext* format = nullptr;
    int result = avformat_alloc_output_context2(&format, nullptr, "mp4", path.c_str());
    if (result < 0) return AvError(result, "libavformat has no MP4");
    format_.reset(format);
    AVStream* stream = avformat_new_stream(format, nullptr);
    if (stream == nullptr) return AvError(AVERROR(ENOMEM), "can't begin an MP4");
    stream->time_base = {1, kTicksPerSecond};
    if (absl::Status status = Describe(*stream->codecpar); !status.ok()) return status;
    result = avio_open(&format->pb, path.c_str(), AVIO_FLAG_WRITE);
    if (result < 0) return AvError(result, absl::StrCat("can't write ", output_.path()));
    AVDictionary* options = nullptr;
    // The index goes to the front, so that a player on a network can begin at once.
    av_dict_set(&options, "movflags", "faststart", 0);
    av_dict_set_int(&options, "video_track_timescale", kTicksPerSecond, 0);
    result = avformat_write_header(format, &options);
    av_dict_free(&options);
    if (result < 0) return AvError(result, absl::StrCat("can't begin ", output_.path()));
    return absl::OkStatus();
  }

  // Holds each picture back until the next tells how long it is shown.
  absl::Status Write(std::string picture, bool key_frame, int64_t ticks) {
    if (waiting_) ticks = std::max(ticks, waiting_->ticks + 1);
    absl::Status status = WriteWaiting(ticks);
    waiting_ = Picture{std::move(picture), key_frame, ticks};
    return status;
  }

  absl::Status Finish(int64_t end_ticks) {
    absl::Status status = WriteWaiting(end_ticks);
    if (!status.ok()) return status;
    int result = av_write_trailer(format_.get());
    if (result < 0) return AvError(result, absl::StrCat("can't finish ", output_.path()));
    result = avio_closep(&format_->pb);
    if (result < 0) return AvError(result, absl::StrCat("can't finish ", output_.path()));
    return output_.Commit();
  }

 private:
  struct Picture {
    std::string data;
    bool key_frame = false;
    int64_t ticks = 0;
  };

  absl::Status Describe(AVCodecParameters& parameters) const {
    parameters.codec_type = AVMEDIA_TYPE_VIDEO;
    parameters.codec_id = AV_CODEC_ID_H264;
    parameters.width = size_.width_px;
    parameters.height = size_.height_px;
    auto* extradata =
        static_cast<uint8_t*>(av_mallocz(parameter_sets_.size() + AV_INPUT_BUFFER_PADDING_SIZE));
    if (extradata == nullptr) return AvError(AVERROR(ENOMEM), "can't begin an MP4");
    // libavformat turns start codes into lengths, here and in the pictures.
    std::memcpy(extradata, parameter_sets_.data(), parameter_sets_.size());
    parameters.extradata = extradata;
    parameters.extradata_size = static_cast<int>(parameter_sets_.size());
    return absl::OkStatus();
  }

  absl::Status WriteWaiting(int64_t next_ticks) {
    if (!waiting_) return absl::OkStatus();
    const std::unique_ptr<AVPacket, PacketDeleter> packet(av_packet_alloc());
    if (packet == nullptr) return AvError(AVERROR(ENOMEM), "can't write a picture");
    int result = av_new_packet(packet.get(), static_cast<int>(waiting_->data.size()));
    if (result < 0) return AvError(result, "can't write a picture");
    std::memcpy(packet->data, waiting_->data.data(), waiting_->data.size());
    packet->pts = packet->dts = waiting_->ticks;
    packet->duration = std::max<int64_t>(1, next_ticks - waiting_->ticks);
    packet->flags = waiting_->key_frame ? AV_PKT_FLAG_KEY : 0;
    av_packet_rescale_ts(packet.get(), {1, kTicksPerSecond}, format_->streams[0]->time_base);
    waiting_.reset();
    result = av_write_frame(format_.get(), packet.get());
    if (result < 0) return AvError(result, absl::StrCat("can't write ", output_.path()));
    return absl::OkStatus();
  }

  OutputFile output_;
  const std::string parameter_sets_;
  const PictureSize size_;
  std::unique_ptr<AVFormatContext, FormatDeleter> format_;
  std::optional<Picture> waiting_;
};

class Mp4Writer : public ClipWriter {
 public:
  explicit Mp4Writer(std::string path) : path_(std::move(path)) {}

  void SetPictureSize(PictureSize size) override { size_ = size; }

  absl::Status Write(const v1::AccessUnit& unit, int64_t time_ns) override {
    SplitUnit split = SplitParameterSets(unit.data());
    const bool changed = !split.parameter_sets.empty() &&
                         (file_ == nullptr || split.parameter_sets != file_->parameter_sets());
    if (changed) {
      absl::Status status = BeginFile(std::move(split.parameter_sets), time_ns);
      if (!status.ok()) return status;
    }
    if (file_ == nullptr) {
      return absl::DataLossError("the stream's first picture has no parameter sets");
    }
    if (split.picture.empty()) return absl::OkStatus();
    size_bytes_ += split.picture.size();
    return file_->Write(std::move(split.picture), unit.key_frame(), Ticks(time_ns - begin_ns_));
  }

  absl::Status Finish(int64_t end_ns) override {
    if (file_ == nullptr) return absl::OkStatus();
    absl::Status status = file_->Finish(Ticks(end_ns - begin_ns_));
    file_ = nullptr;
    return status;
  }

  std::vector<std::string> files() const override { return files_; }
  uint64_t size_bytes() const override { return size_bytes_; }

 private:
  absl::Status BeginFile(std::string parameter_sets, int64_t time_ns) {
    absl::Status status = Finish(time_ns);
    if (!status.ok()) return status;
    if (files_.size() >= kPartsMax) {
      return absl::ResourceExhaustedError(absl::StrCat("the picture's size changed more than ",
                                                       kPartsMax, " times: record .h264 instead"));
    }
    begin_ns_ = time_ns;
    file_ = std::make_unique<Mp4File>(PartPath(), std::move(parameter_sets), size_);
    files_.push_back(file_->path());
    return file_->Open();
  }

  // out.mp4, out-2.mp4, ...
  std::string PartPath() const {
    if (files_.empty()) return path_;
    const size_t dot = path_.rfind('.');
    return absl::StrCat(path_.substr(0, dot), "-", files_.size() + 1, path_.substr(dot));
  }

  const std::string path_;
  PictureSize size_;
  std::unique_ptr<Mp4File> file_;
  std::vector<std::string> files_;
  int64_t begin_ns_ = 0;
  uint64_t size_bytes_ = 0;
};

}  // namespace

std::unique_ptr<ClipWriter> MakeMp4Writer(const std::string& path) {
  // It tells of its doings on standard error, for the whole process.
  av_log_set_level(AV_LOG_ERROR);
  return std::make_unique<Mp4Writer>(path);
}

}  // namespace planecast::cli
