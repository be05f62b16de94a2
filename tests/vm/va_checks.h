// A real kernel's dma-bufs through libva: planecastd in the VM encodes by VA-API on the render node
// of vgem, whose driver is the software VA driver of encoder/testing/.
#pragma once

#include <map>
#include <string>

#include "tests/vm/daemon_session.h"

namespace planecast::vmtest {

/// Thread-compatible.
class VaChecks : private DaemonSession {
 public:
  VaChecks(Lab& lab, Report& report, std::map<std::string, std::string> options)
      : DaemonSession(lab, report, std::move(options)) {}

  void RunAll();

 private:
  void CheckHost();
  void CheckDmabuf(const Mdev& fixed);
  void CheckRegion();
  void CheckUnmappable(const Mdev& unmodified);
  void ExpectPath(const std::string& id, const std::string& path, const std::string& what);
};

}  // namespace planecast::vmtest
