#include "clients/cli/clip_writer.h"

#include <cerrno>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "clients/cli/output_file.h"

namespace planecast::cli {
namespace {

class RawWriter : public ClipWriter {
 public:
  explicit RawWriter(const std::string& path) : output_(path) {}

  void SetPictureSize(PictureSize /*size*/) override {}

  absl::Status Write(const v1::AccessUnit& unit, int64_t /*time_ns*/) override {
    errno = 0;
    if (!file_.is_open()) file_.open(output_.partial_path(), std::ios::binary);
    file_.write(unit.data().data(), static_cast<std::streamsize>(unit.data().size()));
    if (!file_) return WriteError();
    size_bytes_ += unit.data().size();
    return absl::OkStatus();
  }

  absl::Status Finish(int64_t /*end_ns*/) override {
    errno = 0;
    file_.close();
    if (!file_) return WriteError();
    return output_.Commit();
  }

  std::vector<std::string> files() const override { return {output_.path()}; }
  uint64_t size_bytes() const override { return size_bytes_; }

 private:
  absl::Status WriteError() const {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't write ", output_.path()));
  }

  OutputFile output_;
  std::ofstream file_;
  uint64_t size_bytes_ = 0;
};

}  // namespace

std::unique_ptr<ClipWriter> MakeRawWriter(const std::string& path) {
  return std::make_unique<RawWriter>(path);
}

absl::StatusOr<std::unique_ptr<ClipWriter>> MakeClipWriter(const std::string& path) {
  const std::string extension = FileExtension(path);
  if (extension == "mp4") return MakeMp4Writer(path);
  if (extension == "h264" || extension == "264") return MakeRawWriter(path);
  return absl::InvalidArgumentError(
      absl::StrCat("'", path, "' names no kind of recording: end it in .mp4 or .h264"));
}

}  // namespace planecast::cli
