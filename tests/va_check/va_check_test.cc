#include "tests/va_check/va_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/encoder/va/va_testing.h"

namespace planecast::vacheck {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Options Small() {
  Options options;
  options.node = testing::kSwRenderNode;
  options.pictures = 8;
  options.width_px = 640;
  options.height_px = 368;
  return options;
}

TEST(VaCheck, PassesOnEveryPersona) {
  for (const char* persona : testing::kPersonas) {
    SCOPED_TRACE(persona);
    const testing::SwDriver driver(persona);
    std::ostringstream report;
    EXPECT_EQ(vacheck::Run(Small(), report), 0) << report.str();
    EXPECT_THAT(report.str(), HasSubstr("PASS baseline, import: ZERO_COPY"));
    EXPECT_THAT(report.str(), HasSubstr("PASS baseline, upload: CPU_COPY"));
    EXPECT_THAT(report.str(), Not(HasSubstr("FAIL")));
  }
}

TEST(VaCheck, TellsOfAGpuThatFails) {
  for (const char* fault : {"encode-fails", "import-refused", "encode-fails:5", "overflow"}) {
    SCOPED_TRACE(fault);
    const testing::SwDriver driver("ihd", fault);
    std::ostringstream report;
    EXPECT_EQ(vacheck::Run(Small(), report), 1) << report.str();
    EXPECT_THAT(report.str(), HasSubstr("FAIL"));
  }
}

}  // namespace
}  // namespace planecast::vacheck
