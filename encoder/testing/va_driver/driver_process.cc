// Video processing: pipelines that convert, scale and blend.
#include "encoder/testing/va_driver/counters.h"
#include "encoder/testing/va_driver/driver.h"

namespace planecast::sw_va {
namespace {

struct Layer {
  std::shared_ptr<Surface> source;
  Rect from;
  Rect to;
  bool blends = false;
  bool per_pixel = false;
  float alpha = 1;
};

Rect RectOf(const std::optional<VARectangle>& rectangle, const Surface& surface) {
  if (!rectangle.has_value()) return {0, 0, surface.width_px, surface.height_px};
  return {rectangle->x, rectangle->y, rectangle->width, rectangle->height};
}

bool Inside(const Rect& rect, const Surface& surface) {
  return rect.x >= 0 && rect.y >= 0 && rect.width > 0 && rect.height > 0 &&
         static_cast<uint32_t>(rect.x) + rect.width <= surface.width_px &&
         static_cast<uint32_t>(rect.y) + rect.height <= surface.height_px;
}

/// The output colour that a client asked for, or what this kind of driver takes by itself.
ColorSpace OutputColor(const VAProcPipelineParameterBuffer& pipeline, const Surface& target) {
  ColorSpace color;
  color.full_range = pipeline.output_color_properties.color_range == VA_SOURCE_RANGE_FULL;
  switch (pipeline.output_color_standard) {
    case VAProcColorStandardBT709:
      break;
    case VAProcColorStandardBT601:
    case VAProcColorStandardSMPTE170M:
      color.bt709 = false;
      break;
    case VAProcColorStandardExplicit:
      color.bt709 = pipeline.output_color_properties.matrix_coefficients == 1;
      break;
    default:
      // Small pictures are taken for standard definition, as players do.
      color.bt709 = target.height_px > 576;
      break;
  }
  return color;
}

void RunLayer(const Layer& layer, const ColorSpace& color, const Surface& target) {
  const Nv12Image out = target.nv12();
  layer.source->memory->BeginRead();
  if (layer.source->packed == nullptr) {
    ScaleNv12(layer.source->nv12(), layer.from, layer.to, out);
  } else if (layer.blends) {
    BlendOverNv12(layer.source->image(), layer.from, layer.per_pixel, layer.alpha, color,
                  layer.to.x, layer.to.y, out);
  } else {
    ConvertToNv12(layer.source->image(), layer.from, color, layer.to, out);
  }
  layer.source->memory->EndRead();
}

}  // namespace

VAStatus Driver::QueryPipelineCaps(VAProcPipelineCaps* caps) {
  *caps = {};
  // Filled in by clients that want lists: there are none to give beyond these.
  static VAProcColorStandardType standards[] = {VAProcColorStandardBT601, VAProcColorStandardBT709,
                                                VAProcColorStandardExplicit};
  caps->blend_flags = persona_->blend_flags;
  caps->input_color_standards = standards;
  caps->output_color_standards = standards;
  caps->num_input_color_standards = caps->num_output_color_standards =
      persona_->explicit_colour ? 3 : 2;
  caps->max_input_width = caps->max_output_width = persona_->width_max_px;
  caps->max_input_height = caps->max_output_height = persona_->height_max_px;
  caps->min_input_width = caps->min_output_width = 1;
  caps->min_input_height = caps->min_output_height = 1;
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::EndProcess(Context& context, PictureInput& input) {
  const uint64_t number = ++processed_pictures_;
  ++GlobalCounters().processed_pictures;
  if (faults_.At("vpp-fails", number)) {
    return Reject(VA_STATUS_ERROR_OPERATION_FAILED, "fault: processing fails");
  }
  const auto invalid = [this](const std::string& why) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, why);
  };
  const std::shared_ptr<Surface> target = input.target;
  if (input.pipelines.empty()) return invalid("processing without a pipeline");
  if (target->packed != nullptr || target->imported) {
    return invalid("processing into anything but NV12 of the driver's own");
  }
  std::vector<Layer> layers;
  const ColorSpace color = OutputColor(input.pipelines[0].buffer, *target);
  for (const PictureInput::Pipeline& given : input.pipelines) {
    const VAProcPipelineParameterBuffer& pipeline = given.buffer;
    const bool explicit_colour = pipeline.surface_color_standard == VAProcColorStandardExplicit ||
                                 pipeline.output_color_standard == VAProcColorStandardExplicit;
    if (explicit_colour && !persona_->explicit_colour) {
      return invalid("explicit colour standards are not offered");
    }
    if (pipeline.num_filters != 0) return invalid("filters are not offered");
    Layer layer{.source = FindSurface(pipeline.surface), .from = {}, .to = {}};
    if (layer.source == nullptr) return Reject(VA_STATUS_ERROR_INVALID_SURFACE, "pipeline source");
    if (layer.source == target) return invalid("processing from a surface into itself");
    layer.from = RectOf(given.from, *layer.source);
    layer.to = RectOf(given.to, *target);
    layer.blends = given.blend.has_value();
    if (!Inside(layer.from, *layer.source)) return invalid("surface_region beyond the source");
    if (!layer.blends && !Inside(layer.to, *target))
      return invalid("output_region beyond the target");
    if (layer.blends) {
      const uint32_t flags = given.blend->flags;
      if ((flags & ~persona_->blend_flags) != 0) return invalid("blend flags are not offered");
      if (layer.from.width != layer.to.width || layer.from.height != layer.to.height) {
        return invalid("blending does not scale");
      }
      layer.per_pixel = (flags & VA_BLEND_PREMULTIPLIED_ALPHA) != 0;
      if ((flags & VA_BLEND_GLOBAL_ALPHA) != 0) layer.alpha = given.blend->global_alpha;
    } else if (!layers.empty()) {
      return invalid("a second pipeline without blending");
    }
    if (layer.source->packed == nullptr && layer.blends) return invalid("blending of NV12");
    layers.push_back(std::move(layer));
  }
  const Rect& first = layers[0].to;
  const bool covers = first.x == 0 && first.y == 0 && first.width == target->width_px &&
                      first.height == target->height_px;
  const uint64_t done = worker_.Submit([layers, color, target, covers] {
    if (!covers) ClearNv12(color, target->nv12());
    for (const Layer& layer : layers) RunLayer(layer, color, *target);
  });
  target->job = done;
  for (const Layer& layer : layers) layer.source->job = done;
  context.last_job = done;
  return VA_STATUS_SUCCESS;
}

}  // namespace planecast::sw_va
