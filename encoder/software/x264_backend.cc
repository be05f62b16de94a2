#include "encoder/software/x264_backend.h"

#include <array>
#include <cstdarg>
#include <cstdio>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

extern "C" {
#include <x264.h>
}

namespace planecast {
namespace {

// With b_annexb off x264 puts a length in front of each NAL unit.
constexpr int kNalLengthBytes = 4;
// What a CodingJob may ask for.
constexpr int kQuantizerMin = 10;
constexpr int kQuantizerMax = 51;
// Six steps of the quantiser are a factor of two: I at 12 + 40, clipped to 51, and B at 12 - 2.
constexpr int kQuantizerP = 12;
constexpr float kFactorI = 0.01F;
constexpr float kFactorB = 0.79F;

class X264Backend final : public H264Backend {
 public:
  static absl::StatusOr<std::unique_ptr<H264Backend>> Make(const BackendParams& params) {
    auto backend = std::make_unique<X264Backend>(params);
    if (auto status = backend->Open(params); !status.ok()) return status;
    return backend;
  }

  explicit X264Backend(const BackendParams& params)
      : mb_info_(size_t{params.width_mbs} * params.height_mbs) {}
  ~X264Backend() override {
    if (x264_ != nullptr) x264_encoder_close(x264_);
  }
  X264Backend(const X264Backend&) = delete;
  X264Backend& operator=(const X264Backend&) = delete;

  absl::StatusOr<CodedNals> ParameterSets() override {
    x264_nal_t* nals = nullptr;
    int count = 0;
    if (x264_encoder_headers(x264_, &nals, &count) < 0) return Failure("make parameter sets");
    return Collect(nals, count);
  }

  absl::StatusOr<CodedNals> Encode(const CodingJob& job) override;
  std::optional<Nv12Picture> decoded() const override { return decoded_; }

 private:
  absl::Status Open(const BackendParams& params);
  static void Log(void* self, int level, const char* format, va_list arguments);

  absl::Status Failure(const char* what) const {
    return absl::InternalError(
        absl::StrCat("x264 could not ", what, last_message_.empty() ? "" : ": ", last_message_));
  }

  static CodedNals Collect(const x264_nal_t* nals, int count) {
    CodedNals result;
    for (const x264_nal_t& nal : std::span(nals, static_cast<size_t>(count))) {
      result.emplace_back(nal.p_payload + kNalLengthBytes,
                          static_cast<size_t>(nal.i_payload - kNalLengthBytes));
    }
    return result;
  }

  x264_t* x264_ = nullptr;
  std::vector<uint8_t> mb_info_;
  std::string last_message_;
  int64_t pictures_ = 0;
  std::optional<Nv12Picture> decoded_;
};

void X264Backend::Log(void* self, int level, const char* format, va_list arguments) {
  if (level > X264_LOG_WARNING) return;
  std::array<char, 256> text{};
  const int length = vsnprintf(text.data(), text.size(), format, arguments);
  if (length <= 0) return;
  std::string& message = static_cast<X264Backend*>(self)->last_message_;
  message = text.data();
  while (!message.empty() && message.back() == '\n') message.pop_back();
}

void SetRateControl(x264_param_t& x) {
  x.rc.i_rc_method = X264_RC_CQP;
  // Each picture brings its own quantiser, but with CQP x264 clips that to the range between the
  // quantisers that it would choose for P, I and B pictures; so the factors span all we use.
  x.rc.i_qp_constant = kQuantizerP;
  x.rc.f_ip_factor = kFactorI;
  x.rc.f_pb_factor = kFactorB;
  x.rc.i_aq_mode = X264_AQ_NONE;
  x.rc.b_mb_tree = 0;
  x.rc.i_lookahead = 0;
  x.i_keyint_max = X264_KEYINT_MAX_INFINITE;
  x.i_scenecut_threshold = 0;
}

void SetAnalysis(x264_param_t& x, H264Profile profile) {
  // Weighted prediction would forbid the shortcut for unchanged macroblocks.
  x.analyse.i_weighted_pred = X264_WEIGHTP_NONE;
  x.analyse.b_mb_info = 1;
  // Text should look like the source, not merely as busy.
  x.analyse.b_psy = 0;
  x.i_frame_reference = 1;
  x.i_bframe = 0;
  if (profile == H264Profile::kConstrainedBaseline) {
    x.b_cabac = 0;
    x.analyse.b_transform_8x8 = 0;
  }
}

void SetThreads(x264_param_t& x, const BackendParams& params) {
  x.i_threads = params.threads;
  // Frame threads would delay pictures.
  x.b_sliced_threads = params.threads > 1 ? 1 : 0;
  x.i_sync_lookahead = 0;
  x.i_lookahead_threads = 1;
  x.i_slice_count = params.slices;
}

absl::Status X264Backend::Open(const BackendParams& params) {
  x264_param_t x;
  if (x264_param_default_preset(&x, "superfast", "zerolatency") < 0) {
    return absl::InternalError("this libx264 has no preset superfast; install a full build of it");
  }
  x.pf_log = Log;
  x.p_log_private = this;
  x.i_log_level = X264_LOG_WARNING;
  x.i_width = static_cast<int>(params.width_mbs * 16);
  x.i_height = static_cast<int>(params.height_mbs * 16);
  x.i_csp = X264_CSP_I420;
  x.i_bitdepth = 8;
  x.i_level_idc = params.level_idc;
  x.i_fps_num = static_cast<uint32_t>(params.frame_rate_hz);
  x.i_fps_den = 1;
  x.b_vfr_input = 0;
  x.b_annexb = 0;
  x.b_repeat_headers = 1;
  x.b_aud = 0;
  SetRateControl(x);
  SetAnalysis(x, params.profile);
  SetThreads(x, params);
  const char* profile = params.profile == H264Profile::kHigh ? "high" : "baseline";
  if (x264_param_apply_profile(&x, profile) < 0) return Failure("apply the profile");
  x264_ = x264_encoder_open(&x);
  x264_param_cleanup(&x);
  if (x264_ == nullptr) return Failure("open an encoder");
  x264_encoder_parameters(x264_, &x);
  if (x.rc.i_qp_min > kQuantizerMin || x.rc.i_qp_max < kQuantizerMax) {
    return absl::InternalError(absl::StrCat("this libx264 restricts quantizers to ", x.rc.i_qp_min,
                                            " to ", x.rc.i_qp_max));
  }
  return absl::OkStatus();
}

absl::StatusOr<CodedNals> X264Backend::Encode(const CodingJob& job) {
  if (job.changed_mbs.size() != mb_info_.size()) {
    return absl::InvalidArgumentError("change map of another size");
  }
  x264_picture_t picture;
  x264_picture_init(&picture);
  picture.i_type = job.key_frame ? X264_TYPE_IDR : X264_TYPE_P;
  picture.i_qpplus1 = job.quantizer + 1;
  picture.i_pts = pictures_++;
  picture.img.i_csp = X264_CSP_I420;
  picture.img.i_plane = 3;
  picture.img.plane[0] = job.picture.y;
  picture.img.plane[1] = job.picture.u;
  picture.img.plane[2] = job.picture.v;
  picture.img.i_stride[0] = static_cast<int>(job.picture.y_stride_bytes);
  picture.img.i_stride[1] = static_cast<int>(job.picture.uv_stride_bytes);
  picture.img.i_stride[2] = static_cast<int>(job.picture.uv_stride_bytes);
  if (!job.key_frame) {
    for (size_t i = 0; i < mb_info_.size(); ++i) {
      mb_info_[i] = job.changed_mbs[i] != 0 ? 0 : X264_MBINFO_CONSTANT;
    }
    picture.prop.mb_info = mb_info_.data();
  }
  last_message_.clear();
  decoded_.reset();
  x264_nal_t* nals = nullptr;
  int count = 0;
  x264_picture_t coded;
  const int bytes = x264_encoder_encode(x264_, &nals, &count, &picture, &coded);
  if (bytes < 0) return Failure("code a picture");
  if (bytes == 0) return absl::InternalError("x264 held a picture back");
  if (job.key_frame != (coded.i_type == X264_TYPE_IDR)) {
    return absl::InternalError("x264 coded a picture of another type than asked for");
  }
  // The reference of its next picture.
  if (coded.img.i_csp == X264_CSP_NV12) {
    decoded_ = {.y = coded.img.plane[0],
                .uv = coded.img.plane[1],
                .y_stride_bytes = static_cast<size_t>(coded.img.i_stride[0]),
                .uv_stride_bytes = static_cast<size_t>(coded.img.i_stride[1])};
  }
  return Collect(nals, count);
}

}  // namespace

BackendInfo X264BackendInfo() {
  return {.id = "x264",
          .library_version = X264_POINTVER,
          .frame_max_mbs = 139264,
          .side_max_px = 16384,
          .tells_decoded = true,
          .make = X264Backend::Make};
}

}  // namespace planecast
