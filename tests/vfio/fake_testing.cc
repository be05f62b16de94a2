// The profiles that the suites of fake_testing.h run with: once, for all test files.
#include "tests/vfio/fake_testing.h"

namespace planecast {

// Under the thread sanitizer only some of the files are there, and with them only some of the
// suites.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(AnyProfile);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DmabufProfile);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RegionProfile);
INSTANTIATE_TEST_SUITE_P(, AnyProfile, testing::ValuesIn(kFakeProfiles), ProfileParamName);
INSTANTIATE_TEST_SUITE_P(, DmabufProfile,
                         testing::Values(FakeProfile::kIdeal, FakeProfile::kGvt,
                                         FakeProfile::kMbochs),
                         ProfileParamName);
INSTANTIATE_TEST_SUITE_P(, RegionProfile, testing::Values(FakeProfile::kMdpy, FakeProfile::kNvidia),
                         ProfileParamName);

}  // namespace planecast
