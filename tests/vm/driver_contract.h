// What planecast relies on in the unmodified sample drivers, ioctl by ioctl.
#pragma once

#include "tests/vm/guest_device.h"
#include "tests/vm/report.h"

namespace planecast::vmtest {

/// Checks errors, sizes and quirks of an unmodified mbochs or mdpy that nobody else has open.
void CheckDriver(GuestDevice& guest, Report& report);

}  // namespace planecast::vmtest
