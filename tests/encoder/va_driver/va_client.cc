#include "tests/encoder/va_driver/va_client.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>
#include <va/va_drm.h>

#include <cstring>

#include "tests/encoder/va/va_testing.h"

namespace planecast::testing {
namespace {

constexpr uint32_t kWidthMbs = EncodeClient::kWidthPx / 16;
constexpr uint32_t kHeightMbs = EncodeClient::kHeightPx / 16;

VAPictureH264 Unused() {
  return {.picture_id = VA_INVALID_SURFACE,
          .frame_idx = 0,
          .flags = VA_PICTURE_H264_INVALID,
          .TopFieldOrderCnt = 0,
          .BottomFieldOrderCnt = 0,
          .va_reserved = {}};
}

/// Destroys what a picture took, also after a call that failed.
class Buffers {
 public:
  explicit Buffers(VADisplay display) : display_(display) {}
  ~Buffers() {
    for (const VABufferID id : ids_) vaDestroyBuffer(display_, id);
  }
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;
  void Add(VABufferID id) { ids_.push_back(id); }
  std::vector<VABufferID>& ids() { return ids_; }

 private:
  VADisplay display_;
  std::vector<VABufferID> ids_;
};

}  // namespace

VaClient::VaClient(const std::string& persona, const std::string& faults) {
  const SwDriver driver(persona, faults);
  node_ = open(kSwRenderNode, O_RDWR | O_CLOEXEC);
  display_ = vaGetDisplayDRM(node_);
  vaSetInfoCallback(display_, nullptr, nullptr);
  int major = 0;
  int minor = 0;
  EXPECT_EQ(vaInitialize(display_, &major, &minor), VA_STATUS_SUCCESS) << persona;
}

VaClient::~VaClient() {
  EXPECT_EQ(vaTerminate(display_), VA_STATUS_SUCCESS);
  close(node_);
}

VAConfigID VaClient::Config(VAProfile profile, VAEntrypoint entrypoint,
                            std::vector<VAConfigAttrib> attributes) {
  VAConfigID id = VA_INVALID_ID;
  EXPECT_EQ(vaCreateConfig(display_, profile, entrypoint, attributes.data(),
                           static_cast<int>(attributes.size()), &id),
            VA_STATUS_SUCCESS)
      << SwLastRejection();
  return id;
}

VAContextID VaClient::Context(VAConfigID config, int width_px, int height_px) {
  VAContextID id = VA_INVALID_ID;
  EXPECT_EQ(vaCreateContext(display_, config, width_px, height_px, VA_PROGRESSIVE, nullptr, 0, &id),
            VA_STATUS_SUCCESS)
      << SwLastRejection();
  return id;
}

VASurfaceID VaClient::Surface(uint32_t va_fourcc, uint32_t width_px, uint32_t height_px) {
  VASurfaceAttrib format{};
  format.type = VASurfaceAttribPixelFormat;
  format.flags = VA_SURFACE_ATTRIB_SETTABLE;
  format.value.type = VAGenericValueTypeInteger;
  format.value.value.i = static_cast<int>(va_fourcc);
  VASurfaceID id = VA_INVALID_SURFACE;
  const uint32_t kind = va_fourcc == VA_FOURCC_NV12 ? VA_RT_FORMAT_YUV420 : VA_RT_FORMAT_RGB32;
  EXPECT_EQ(vaCreateSurfaces(display_, kind, width_px, height_px, &id, 1, &format, 1),
            VA_STATUS_SUCCESS)
      << SwLastRejection();
  return id;
}

VABufferID VaClient::Buffer(VAContextID context, VABufferType type, uint32_t size_bytes,
                            const void* data) {
  VABufferID id = VA_INVALID_ID;
  // libva takes a pointer to non-const and only reads.
  EXPECT_EQ(vaCreateBuffer(display_, context, type, size_bytes, 1, const_cast<void*>(data), &id),
            VA_STATUS_SUCCESS)
      << SwLastRejection();
  return id;
}

SharedBytes::SharedBytes(size_t size_bytes)
    : fd_(memfd_create("plane", MFD_CLOEXEC)), size_bytes_(size_bytes), data_(nullptr) {
  EXPECT_EQ(ftruncate(fd_, static_cast<off_t>(size_bytes)), 0);
  void* mapped = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  EXPECT_NE(mapped, MAP_FAILED);
  data_ = static_cast<uint8_t*>(mapped);
}

SharedBytes::~SharedBytes() {
  munmap(data_, size_bytes_);
  close(fd_);
}

Import::Import(const SharedBytes& bytes, uint32_t va_fourcc, uint32_t drm_fourcc, uint32_t width,
               uint32_t height, uint32_t pitch_bytes, uint64_t modifier)
    : width_px(width), height_px(height) {
  descriptor.fourcc = va_fourcc;
  descriptor.width = width;
  descriptor.height = height;
  descriptor.num_objects = 1;
  descriptor.objects[0] = {.fd = bytes.fd(),
                           .size = static_cast<uint32_t>(bytes.size_bytes()),
                           .drm_format_modifier = modifier};
  descriptor.num_layers = 1;
  descriptor.layers[0].drm_format = drm_fourcc;
  descriptor.layers[0].num_planes = 1;
  descriptor.layers[0].pitch[0] = pitch_bytes;
}

VAStatus Import::Create(VADisplay display, VASurfaceID* surface) {
  std::vector<VASurfaceAttrib> attributes(2);
  attributes[0].type = VASurfaceAttribMemoryType;
  attributes[0].flags = VA_SURFACE_ATTRIB_SETTABLE;
  attributes[0].value.type = VAGenericValueTypeInteger;
  attributes[0].value.value.i = static_cast<int>(memory_type);
  attributes[1].type = VASurfaceAttribExternalBufferDescriptor;
  attributes[1].flags = VA_SURFACE_ATTRIB_SETTABLE;
  attributes[1].value.type = VAGenericValueTypePointer;
  attributes[1].value.value.p = &descriptor;
  if (!memory_type_first) std::swap(attributes[0], attributes[1]);
  if (!with_descriptor) attributes.pop_back();
  *surface = VA_INVALID_SURFACE;
  return vaCreateSurfaces(display, VA_RT_FORMAT_RGB32, width_px, height_px, surface, 1,
                          attributes.data(), static_cast<unsigned int>(attributes.size()));
}

HeaderBits& HeaderBits::U(uint32_t value, int count) {
  for (int bit = count - 1; bit >= 0; --bit) bits_.push_back((value >> bit & 1) != 0);
  return *this;
}

HeaderBits& HeaderBits::Ue(uint32_t value) {
  int length = 0;
  while ((value + 1) >> (length + 1) != 0) ++length;
  return U(0, length).U(value + 1, length + 1);
}

HeaderBits& HeaderBits::Se(int32_t value) {
  return Ue(value > 0 ? static_cast<uint32_t>(value) * 2 - 1 : static_cast<uint32_t>(-value) * 2);
}

std::vector<uint8_t> HeaderBits::Nal(uint8_t header, uint32_t* bits) const {
  std::vector<uint8_t> bytes = {0, 0, 0, 1, header};
  *bits = static_cast<uint32_t>(bytes.size() * 8 + bits_.size());
  bytes.resize((*bits + 7) / 8);
  for (size_t i = 0; i < bits_.size(); ++i) {
    if (bits_[i]) bytes[5 + i / 8] |= static_cast<uint8_t>(0x80 >> i % 8);
  }
  return bytes;
}

EncodeClient::EncodeClient(const Options& options)
    : VaClient(options.persona, options.faults), options_(options) {
  std::vector<VAConfigAttrib> attributes = {{VAConfigAttribRTFormat, VA_RT_FORMAT_YUV420}};
  if (options.persona != "minimal") {
    attributes.push_back({VAConfigAttribRateControl, options.rate_control});
  }
  if (options.packed_headers != 0) {
    attributes.push_back({VAConfigAttribEncPackedHeaders, options.packed_headers});
  }
  config_ = Config(options.profile, options.entrypoint, attributes);
  context_ = Context(config_, kWidthPx, kHeightPx);
  input_ = Surface(VA_FOURCC_NV12, kWidthPx, kHeightPx);
  for (VASurfaceID& id : reconstructions_) id = Surface(VA_FOURCC_NV12, kWidthPx, kHeightPx);
  coded_ = Buffer(context_, VAEncCodedBufferType, options.coded_size_bytes);
}

EncodeInput EncodeClient::Idr() const {
  EncodeInput in;
  in.target = input_;
  in.sequence.level_idc = 30;
  in.sequence.intra_period = in.sequence.intra_idr_period = 30;
  in.sequence.ip_period = 1;
  in.sequence.max_num_ref_frames = 1;
  in.sequence.picture_width_in_mbs = kWidthMbs;
  in.sequence.picture_height_in_mbs = kHeightMbs;
  in.sequence.seq_fields.bits.chroma_format_idc = 1;
  in.sequence.seq_fields.bits.frame_mbs_only_flag = 1;
  in.sequence.seq_fields.bits.direct_8x8_inference_flag = 1;
  in.sequence.seq_fields.bits.log2_max_frame_num_minus4 = 4;
  in.sequence.seq_fields.bits.log2_max_pic_order_cnt_lsb_minus4 = 4;
  in.picture.CurrPic = Unused();
  in.picture.CurrPic.picture_id = reconstructions_[0];
  in.picture.CurrPic.flags = 0;
  for (VAPictureH264& reference : in.picture.ReferenceFrames) reference = Unused();
  in.picture.coded_buf = coded_;
  in.picture.pic_init_qp = 26;
  in.picture.pic_fields.bits.idr_pic_flag = 1;
  in.picture.pic_fields.bits.reference_pic_flag = 1;
  in.picture.pic_fields.bits.entropy_coding_mode_flag =
      options_.profile == VAProfileH264ConstrainedBaseline ? 0 : 1;
  in.picture.pic_fields.bits.deblocking_filter_control_present_flag = 1;
  VAEncSliceParameterBufferH264 slice{};
  slice.num_macroblocks = kWidthMbs * kHeightMbs;
  slice.macroblock_info = VA_INVALID_ID;
  slice.slice_type = 2;
  for (VAPictureH264& reference : slice.RefPicList0) reference = Unused();
  for (VAPictureH264& reference : slice.RefPicList1) reference = Unused();
  in.slices.push_back(slice);
  return in;
}

EncodeInput EncodeClient::Inter() const {
  EncodeInput in = Idr();
  VAPictureH264 reference = in.picture.CurrPic;
  reference.flags = VA_PICTURE_H264_SHORT_TERM_REFERENCE;
  in.picture.CurrPic.picture_id = reconstructions_[1];
  in.picture.CurrPic.TopFieldOrderCnt = in.picture.CurrPic.BottomFieldOrderCnt = 2;
  in.picture.ReferenceFrames[0] = reference;
  in.picture.frame_num = 1;
  in.picture.pic_fields.bits.idr_pic_flag = 0;
  in.slices[0].slice_type = 0;
  in.slices[0].RefPicList0[0] = reference;
  return in;
}

void EncodeClient::Pack(EncodeInput& in) const {
  const auto& seq = in.sequence;
  const auto& pic = in.picture;
  const auto& fields = pic.pic_fields.bits;
  const bool high = options_.profile == VAProfileH264High;
  const bool idr = fields.idr_pic_flag != 0;
  const auto add = [&](uint32_t type, uint8_t header, const HeaderBits& bits) {
    PackedHeader packed{.type = type, .bit_length = 0, .bytes = {}};
    packed.bytes = bits.Nal(header, &packed.bit_length);
    in.packed.push_back(packed);
  };
  // Clauses 7.3.2.1.1, 7.3.2.2 and 7.3.3.
  HeaderBits sps;
  sps.U(high ? 100 : 77, 8).U(high ? 0 : 0x40, 8).U(seq.level_idc, 8).Ue(seq.seq_parameter_set_id);
  if (high) sps.Ue(1).Ue(0).Ue(0).U(0, 2);
  sps.Ue(seq.seq_fields.bits.log2_max_frame_num_minus4).Ue(seq.seq_fields.bits.pic_order_cnt_type);
  if (seq.seq_fields.bits.pic_order_cnt_type == 0) {
    sps.Ue(seq.seq_fields.bits.log2_max_pic_order_cnt_lsb_minus4);
  }
  sps.Ue(seq.max_num_ref_frames).U(0, 1);
  sps.Ue(seq.picture_width_in_mbs - 1u).Ue(seq.picture_height_in_mbs - 1u).U(3, 2);
  sps.U(seq.frame_cropping_flag, 1);
  if (seq.frame_cropping_flag != 0) {
    sps.Ue(0).Ue(seq.frame_crop_right_offset).Ue(0).Ue(seq.frame_crop_bottom_offset);
  }
  sps.U(0, 1).U(1, 1);
  HeaderBits pps;
  pps.Ue(pic.pic_parameter_set_id).Ue(pic.seq_parameter_set_id);
  pps.U(fields.entropy_coding_mode_flag, 1).U(0, 1).Ue(0);
  pps.Ue(pic.num_ref_idx_l0_active_minus1).Ue(0).U(0, 3).Se(pic.pic_init_qp - 26).Se(0);
  pps.Se(pic.chroma_qp_index_offset).U(fields.deblocking_filter_control_present_flag, 1);
  pps.U(fields.constrained_intra_pred_flag, 1).U(0, 1);
  if (high) pps.U(fields.transform_8x8_mode_flag, 1).U(0, 1).Se(pic.second_chroma_qp_index_offset);
  pps.U(1, 1);
  if (idr) {
    add(VAEncPackedHeaderSequence, 0x67, sps);
    add(VAEncPackedHeaderPicture, 0x68, pps);
  }
  for (const VAEncSliceParameterBufferH264& slice : in.slices) {
    HeaderBits bits;
    bits.Ue(slice.macroblock_address).Ue(slice.slice_type).Ue(slice.pic_parameter_set_id);
    bits.U(pic.frame_num, static_cast<int>(seq.seq_fields.bits.log2_max_frame_num_minus4) + 4);
    if (idr) bits.Ue(slice.idr_pic_id);
    bits.U(static_cast<uint32_t>(pic.CurrPic.TopFieldOrderCnt),
           static_cast<int>(seq.seq_fields.bits.log2_max_pic_order_cnt_lsb_minus4) + 4);
    // No override, no modification; no marking but that of a sliding window.
    if (slice.slice_type == 0) bits.U(0, 2);
    if (fields.reference_pic_flag != 0) bits.U(0, idr ? 2 : 1);
    if (slice.slice_type == 0 && fields.entropy_coding_mode_flag != 0) {
      bits.Ue(slice.cabac_init_idc);
    }
    bits.Se(slice.slice_qp_delta).Ue(slice.disable_deblocking_filter_idc);
    bits.Se(slice.slice_alpha_c0_offset_div2).Se(slice.slice_beta_offset_div2);
    add(VAEncPackedHeaderSlice, idr ? 0x65 : 0x41, bits);
  }
}

VAStatus EncodeClient::Encode(const EncodeInput& in) {
  Buffers buffers(display());
  const auto add = [&](VABufferType type, const void* data, size_t size_bytes) {
    buffers.Add(Buffer(context_, type, static_cast<uint32_t>(size_bytes), data));
  };
  if (in.with_sequence) {
    add(VAEncSequenceParameterBufferType, &in.sequence, sizeof(in.sequence));
  }
  for (const std::vector<uint8_t>& misc : in.misc) {
    add(VAEncMiscParameterBufferType, misc.data(), misc.size());
  }
  if (in.with_picture) add(VAEncPictureParameterBufferType, &in.picture, sizeof(in.picture));
  for (const PackedHeader& packed : in.packed) {
    VAEncPackedHeaderParameterBuffer parameters{};
    parameters.type = packed.type;
    parameters.bit_length = packed.bit_length;
    if (packed.with_parameters) {
      add(VAEncPackedHeaderParameterBufferType, &parameters, sizeof(parameters));
    }
    if (packed.with_data) {
      add(VAEncPackedHeaderDataBufferType, packed.bytes.data(), packed.bytes.size());
    }
  }
  for (const VAEncSliceParameterBufferH264& slice : in.slices) {
    add(VAEncSliceParameterBufferType, &slice, sizeof(slice));
  }
  VAStatus status = vaBeginPicture(display(), context_, in.target);
  if (status == VA_STATUS_SUCCESS && !buffers.ids().empty()) {
    status = vaRenderPicture(display(), context_, buffers.ids().data(),
                             static_cast<int>(buffers.ids().size()));
  }
  return status == VA_STATUS_SUCCESS ? vaEndPicture(display(), context_) : status;
}

VAStatus EncodeClient::Take(std::vector<uint8_t>* bytes, uint32_t* status) {
  bytes->clear();
  void* mapped = nullptr;
  const VAStatus result = vaMapBuffer(display(), coded_, &mapped);
  if (result != VA_STATUS_SUCCESS) return result;
  const auto* segment = static_cast<const VACodedBufferSegment*>(mapped);
  *status = segment->status;
  for (; segment != nullptr; segment = static_cast<const VACodedBufferSegment*>(segment->next)) {
    const auto* data = static_cast<const uint8_t*>(segment->buf);
    bytes->insert(bytes->end(), data, data + segment->size);
  }
  return vaUnmapBuffer(display(), coded_);
}

ProcessClient::ProcessClient(const std::string& persona, const std::string& faults)
    : VaClient(persona, faults) {
  context_ = Context(Config(VAProfileNone, VAEntrypointVideoProc), 64, 64);
}

VAProcPipelineParameterBuffer ProcessClient::Pipeline(VASurfaceID source) {
  VAProcPipelineParameterBuffer pipeline{};
  pipeline.surface = source;
  pipeline.surface_color_standard = VAProcColorStandardExplicit;
  pipeline.output_color_standard = VAProcColorStandardExplicit;
  pipeline.output_color_properties.matrix_coefficients = 1;
  pipeline.output_color_properties.color_range = VA_SOURCE_RANGE_REDUCED;
  return pipeline;
}

VAStatus ProcessClient::Process(VASurfaceID target,
                                const std::vector<VAProcPipelineParameterBuffer>& pipelines) {
  Buffers buffers(display());
  for (const VAProcPipelineParameterBuffer& pipeline : pipelines) {
    buffers.Add(Buffer(context_, VAProcPipelineParameterBufferType, sizeof(pipeline), &pipeline));
  }
  VAStatus status = vaBeginPicture(display(), context_, target);
  for (VABufferID& id : buffers.ids()) {
    if (status == VA_STATUS_SUCCESS) status = vaRenderPicture(display(), context_, &id, 1);
  }
  return status == VA_STATUS_SUCCESS ? vaEndPicture(display(), context_) : status;
}

}  // namespace planecast::testing
