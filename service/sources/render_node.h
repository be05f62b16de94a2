// Which GPU hosts a vGPU.
#pragma once

#include <string>

#include "service/core/display_state.h"

namespace planecast {

/// The render node of the GPU whose vGPU the display shows, e.g. "/dev/dri/renderD128", found in
/// sysfs: an mdev's parent, a PCI function itself or the physical function of a virtual one. A
/// GVT-g plane can be imported on no other GPU. Empty if sysfs doesn't tell, as for fake devices,
/// devices handed over, and VMMs whose device was not named.
///
/// `sysfs` is where sysfs is mounted. Never blocks.
std::string FindRenderNode(const DisplaySpec& spec, const std::string& sysfs = "/sys");

}  // namespace planecast
