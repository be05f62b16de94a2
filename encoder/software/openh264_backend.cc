#include "encoder/software/openh264_backend.h"

#include <wels/codec_api.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "encoder/h264/h264_bits.h"

namespace planecast {
namespace {

// Level 5.2, the highest that OpenH264 knows.
constexpr uint32_t kFrameMaxMbs = 36864;
constexpr uint32_t kSideMaxPx = 4096;
// The rate control is off; without a bitrate the parameters don't pass the library's check.
constexpr int kNominalBitrateBps = 20'000'000;

struct EncoderDeleter {
  void operator()(ISVCEncoder* encoder) const {
    encoder->Uninitialize();
    WelsDestroySVCEncoder(encoder);
  }
};

SEncParamExt ExtendedParams(const BackendParams& params, SEncParamExt ext) {
  ext.iUsageType = CAMERA_VIDEO_REAL_TIME;
  ext.iPicWidth = static_cast<int>(params.width_mbs * 16);
  ext.iPicHeight = static_cast<int>(params.height_mbs * 16);
  ext.fMaxFrameRate = static_cast<float>(params.frame_rate_hz);
  ext.iTargetBitrate = kNominalBitrateBps;
  // Off, so that iDLayerQp is the quantiser of every macroblock.
  ext.iRCMode = RC_OFF_MODE;
  ext.bEnableFrameSkip = false;
  ext.bEnableAdaptiveQuant = false;
  ext.bEnableSceneChangeDetect = false;
  ext.bEnableDenoise = false;
  // It takes a macroblock of which a few pixels changed for background, and then never codes them.
  // What remains: among neighbours with coding noise, the library skips a macroblock whose change
  // is below that noise. No parameter forbids that.
  ext.bEnableBackgroundDetection = false;
  ext.iTemporalLayerNum = 1;
  ext.iSpatialLayerNum = 1;
  ext.iNumRefFrame = 1;
  ext.uiIntraPeriod = 0;  // key frames on demand only
  ext.eSpsPpsIdStrategy = CONSTANT_ID;
  ext.bPrefixNalAddingCtrl = false;
  ext.iEntropyCodingModeFlag = params.profile == H264Profile::kHigh ? 1 : 0;
  ext.iMultipleThreadIdc = static_cast<uint16_t>(params.threads);
  ext.bUseLoadBalancing = false;  // it would move slice borders from run to run
  SSpatialLayerConfig& layer = ext.sSpatialLayers[0];
  layer.iVideoWidth = ext.iPicWidth;
  layer.iVideoHeight = ext.iPicHeight;
  layer.fFrameRate = ext.fMaxFrameRate;
  layer.iSpatialBitrate = kNominalBitrateBps;
  layer.uiProfileIdc = params.profile == H264Profile::kHigh ? PRO_HIGH : PRO_BASELINE;
  layer.uiLevelIdc = static_cast<ELevelIdc>(std::min<int>(params.level_idc, LEVEL_5_2));
  layer.sSliceArgument.uiSliceMode = params.slices > 1 ? SM_FIXEDSLCNUM_SLICE : SM_SINGLE_SLICE;
  layer.sSliceArgument.uiSliceNum = static_cast<unsigned>(params.slices);
  return ext;
}

class OpenH264Backend final : public H264Backend {
 public:
  static absl::StatusOr<std::unique_ptr<H264Backend>> Make(const BackendParams& params) {
    auto backend = std::make_unique<OpenH264Backend>(params);
    if (auto status = backend->Open(); !status.ok()) return status;
    return backend;
  }

  explicit OpenH264Backend(const BackendParams& params) : params_(params) {}

  absl::StatusOr<CodedNals> ParameterSets() override;
  absl::StatusOr<CodedNals> Encode(const CodingJob& job) override;

 private:
  absl::Status Open();
  absl::Status SetQuantizer(int quantizer);
  static CodedNals Collect(const SFrameBSInfo& info);

  const BackendParams params_;
  std::unique_ptr<ISVCEncoder, EncoderDeleter> encoder_;
  SEncParamExt ext_ = {};
};

absl::Status OpenH264Backend::Open() {
  ISVCEncoder* encoder = nullptr;
  if (WelsCreateSVCEncoder(&encoder) != 0 || encoder == nullptr) {
    return absl::InternalError("OpenH264 could not make an encoder");
  }
  encoder_.reset(encoder);
  int level = WELS_LOG_QUIET;
  encoder_->SetOption(ENCODER_OPTION_TRACE_LEVEL, &level);
  if (encoder_->GetDefaultParams(&ext_) != 0) {
    return absl::InternalError("OpenH264 has no default parameters");
  }
  ext_ = ExtendedParams(params_, ext_);
  if (const int result = encoder_->InitializeExt(&ext_); result != 0) {
    return absl::InternalError(absl::StrFormat("OpenH264 refused %dx%d pixels with result %d",
                                               ext_.iPicWidth, ext_.iPicHeight, result));
  }
  int format = videoFormatI420;
  encoder_->SetOption(ENCODER_OPTION_DATAFORMAT, &format);
  // As the library adjusted them, so that setting one later changes nothing else.
  if (encoder_->GetOption(ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, &ext_) != 0) {
    return absl::InternalError("OpenH264 does not tell its parameters");
  }
  return absl::OkStatus();
}

CodedNals OpenH264Backend::Collect(const SFrameBSInfo& info) {
  CodedNals nals;
  for (int i = 0; i < info.iLayerNum; ++i) {
    const SLayerBSInfo& layer = info.sLayerInfo[i];
    size_t size_bytes = 0;
    for (int n = 0; n < layer.iNalCount; ++n) {
      size_bytes += static_cast<size_t>(layer.pNalLengthInByte[n]);
    }
    const auto layer_nals = SplitAnnexB({layer.pBsBuf, size_bytes});
    nals.insert(nals.end(), layer_nals.begin(), layer_nals.end());
  }
  return nals;
}

absl::StatusOr<CodedNals> OpenH264Backend::ParameterSets() {
  SFrameBSInfo info = {};
  if (encoder_->EncodeParameterSets(&info) != 0) {
    return absl::InternalError("OpenH264 could not make parameter sets");
  }
  return Collect(info);
}

absl::Status OpenH264Backend::SetQuantizer(int quantizer) {
  if (ext_.sSpatialLayers[0].iDLayerQp == quantizer) return absl::OkStatus();
  SEncParamExt changed = ext_;
  changed.sSpatialLayers[0].iDLayerQp = quantizer;
  if (encoder_->SetOption(ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, &changed) != 0) {
    return absl::InternalError(absl::StrCat("OpenH264 refused quantizer ", quantizer));
  }
  ext_ = changed;
  return absl::OkStatus();
}

absl::StatusOr<CodedNals> OpenH264Backend::Encode(const CodingJob& job) {
  if (auto status = SetQuantizer(job.quantizer); !status.ok()) return status;
  if (job.key_frame && encoder_->ForceIntraFrame(true) != 0) {
    return absl::InternalError("OpenH264 refused to code a key frame");
  }
  SSourcePicture picture = {};
  picture.iColorFormat = videoFormatI420;
  picture.iPicWidth = ext_.iPicWidth;
  picture.iPicHeight = ext_.iPicHeight;
  picture.pData[0] = job.picture.y;
  picture.pData[1] = job.picture.u;
  picture.pData[2] = job.picture.v;
  picture.iStride[0] = static_cast<int>(job.picture.y_stride_bytes);
  picture.iStride[1] = static_cast<int>(job.picture.uv_stride_bytes);
  picture.iStride[2] = static_cast<int>(job.picture.uv_stride_bytes);
  SFrameBSInfo info = {};
  if (const int result = encoder_->EncodeFrame(&picture, &info); result != 0) {
    // The library gives itself up, for one when a picture outgrows its buffers.
    if (auto status = Open(); !status.ok()) return status;
    return absl::InternalError(absl::StrCat("OpenH264 could not code a picture: ", result));
  }
  if (info.eFrameType != (job.key_frame ? videoFrameTypeIDR : videoFrameTypeP)) {
    return absl::InternalError("OpenH264 coded a picture of another type than asked for");
  }
  return Collect(info);
}

}  // namespace

BackendInfo OpenH264BackendInfo() {
  const OpenH264Version version = WelsGetCodecVersion();
  return {.id = "openh264",
          .library_version =
              absl::StrFormat("%d.%d.%d", version.uMajor, version.uMinor, version.uRevision),
          .frame_max_mbs = kFrameMaxMbs,
          .side_max_px = kSideMaxPx,
          .make = OpenH264Backend::Make};
}

}  // namespace planecast
