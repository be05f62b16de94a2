#include "vfio/caps.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "vfio/abi.h"

namespace planecast {
namespace {

// Builds what a GET_*_INFO ioctl returns.
class InfoBytes {
 public:
  explicit InfoBytes(size_t size_bytes) : bytes_(size_bytes) {}
  template <typename T>
  InfoBytes& Put(size_t offset, const T& value) {
    std::memcpy(bytes_.data() + offset, &value, sizeof(value));
    return *this;
  }
  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
};

TEST(ParseCapabilitiesTest, FollowsAChainToItsEnd) {
  InfoBytes info(64);
  info.Put(32, abi::CapHeader{2, 1, 48}).Put(48, abi::CapHeader{7, 3, 0});
  const auto chain = ParseCapabilities(info.bytes(), 32, 32);
  ASSERT_TRUE(chain.ok()) << chain.status();
  EXPECT_EQ(*chain, (std::vector<Capability>{{2, 1, 32}, {7, 3, 48}}));
}

TEST(ParseCapabilitiesTest, ZeroOffsetIsAnEmptyChain) {
  const auto chain = ParseCapabilities(InfoBytes(64).bytes(), 32, 0);
  ASSERT_TRUE(chain.ok());
  EXPECT_TRUE(chain->empty());
}

TEST(ParseCapabilitiesTest, RefusesALoop) {
  InfoBytes info(64);
  info.Put(32, abi::CapHeader{2, 1, 48}).Put(48, abi::CapHeader{7, 1, 32});
  EXPECT_FALSE(ParseCapabilities(info.bytes(), 32, 32).ok());
  info.Put(32, abi::CapHeader{2, 1, 32});
  EXPECT_FALSE(ParseCapabilities(info.bytes(), 32, 32).ok());
}

TEST(ParseCapabilitiesTest, RefusesAChainIntoTheFixedPartOrOutOfTheBuffer) {
  InfoBytes info(64);
  EXPECT_FALSE(ParseCapabilities(info.bytes(), 32, 8).ok());
  EXPECT_FALSE(ParseCapabilities(info.bytes(), 32, 57).ok());
  EXPECT_FALSE(ParseCapabilities(info.bytes(), 32, 0xffffffff).ok());
  info.Put(56, abi::CapHeader{2, 1, 0});
  EXPECT_TRUE(ParseCapabilities(info.bytes(), 32, 56).ok());
}

TEST(ParseCapabilitiesTest, RefusesAChainThatIsTooLong) {
  const size_t step = sizeof(abi::CapHeader);
  InfoBytes info(32 + (kCapabilitiesMax + 2) * step);
  for (int n = 0; n <= kCapabilitiesMax; ++n) {
    const auto next = static_cast<uint32_t>(32 + (n + 1) * step);
    info.Put(32 + n * step, abi::CapHeader{9, 1, next});
  }
  EXPECT_FALSE(ParseCapabilities(info.bytes(), 32, 32).ok());
}

InfoBytes EdidRegion() {
  InfoBytes info(48);
  info.Put(0, abi::RegionInfo{.argsz = 48,
                              .flags = abi::kRegionFlagCaps,
                              .index = 9,
                              .cap_offset = 32,
                              .size = 4096,
                              .offset = 0});
  info.Put(32, abi::RegionCapType{{abi::kRegionCapType, 1, 0}, 1, 1});
  return info;
}

TEST(ParseRegionTypeTest, FindsTheEdidRegion) {
  EXPECT_EQ(ParseRegionType(EdidRegion().bytes()), (RegionType{1, 1}));
}

TEST(ParseRegionTypeTest, IgnoresChainsWithoutTheFlagOrCutShort) {
  InfoBytes info = EdidRegion();
  info.Put(4, uint32_t{0});
  EXPECT_EQ(ParseRegionType(info.bytes()), std::nullopt);
  const std::vector<uint8_t> whole = EdidRegion().bytes();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(ParseRegionType(std::span(whole).first(size)), std::nullopt) << size;
  }
}

constexpr uint32_t kIrqFlags = abi::kIrqFlagEventfd | abi::kIrqFlagMaskable | abi::kIrqFlagCaps;

TEST(ParseDisplayIrqTest, ReadsDraftV6) {
  InfoBytes info(60);
  info.Put(0, abi::IrqInfo{60, kIrqFlags, 5, 1, 20});
  info.Put(20, abi::IrqCapType{{abi::kIrqCapTypeV6, 1, 36}, 1, 1});
  info.Put(36, abi::IrqCapDisplay{
                   {abi::kIrqCapDisplayV6, 1, 0}, abi::kCursorEventValue, abi::kPrimaryEventValue});
  const auto caps = ParseDisplayIrq(info.bytes());
  ASSERT_TRUE(caps.has_value());
  EXPECT_EQ(*caps, (DisplayIrqCaps{.cursor_event_value = abi::kCursorEventValue,
                                   .primary_event_value = abi::kPrimaryEventValue,
                                   .count = 1,
                                   .maskable = true}));
}

TEST(ParseDisplayIrqTest, ReadsDraftV5AndV3) {
  InfoBytes v5(60);
  v5.Put(0, abi::IrqInfo{60, kIrqFlags, 5, 1, 20});
  v5.Put(20, abi::IrqCapType{{abi::kIrqCapTypeV2ToV5, 1, 36}, 1, 1});
  v5.Put(36, abi::IrqCapDisplay{{abi::kIrqCapDisplayV5, 1, 0}, 1, 2});
  ASSERT_TRUE(ParseDisplayIrq(v5.bytes()).has_value());
  EXPECT_EQ(ParseDisplayIrq(v5.bytes())->primary_event_value, 2u);

  InfoBytes v3(36);
  v3.Put(0, abi::IrqInfo{36, kIrqFlags, 5, 1, 20});
  v3.Put(20, abi::IrqCapType{{abi::kIrqCapTypeV2ToV5, 1, 0}, 1, 1});
  ASSERT_TRUE(ParseDisplayIrq(v3.bytes()).has_value());
  EXPECT_EQ(ParseDisplayIrq(v3.bytes())->primary_event_value, 0u);
}

TEST(ParseDisplayIrqTest, TellsTheTwoIrqsOfRfcV2ByTheirOffsetAndSubtype) {
  for (const uint32_t subtype : {1u, 2u}) {
    InfoBytes info(36);
    info.Put(0, abi::IrqInfo{36, kIrqFlags, 5, 20, 1});
    info.Put(20, abi::IrqCapType{{abi::kIrqCapTypeV2ToV5, 1, 0}, 1, subtype});
    const auto caps = ParseDisplayIrq(info.bytes());
    ASSERT_TRUE(caps.has_value());
    EXPECT_EQ(caps->count, 1u);
    EXPECT_EQ(caps->primary_only, subtype == 1);
    EXPECT_EQ(caps->cursor_only, subtype == 2);
  }
}

TEST(ParseDisplayIrqTest, RefusesOtherTypesAndVersions) {
  InfoBytes info(36);
  info.Put(0, abi::IrqInfo{36, kIrqFlags, 5, 1, 20});
  info.Put(20, abi::IrqCapType{{abi::kIrqCapTypeV6, 1, 0}, 2, 1});
  EXPECT_EQ(ParseDisplayIrq(info.bytes()), std::nullopt);
  info.Put(20, abi::IrqCapType{{abi::kIrqCapTypeV6, 2, 0}, 1, 1});
  EXPECT_EQ(ParseDisplayIrq(info.bytes()), std::nullopt);
  info.Put(20, abi::IrqCapType{{abi::kIrqCapTypeV6, 1, 0}, 1, 2});
  EXPECT_EQ(ParseDisplayIrq(info.bytes()), std::nullopt);
}

TEST(CapsTest, SurvivesNoise) {
  std::mt19937 random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<uint8_t> bytes(random() % 128);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() % 4 == 0 ? random() : 32);
    if (bytes.size() > 8) bytes[4] |= 0x18;
    (void)ParseRegionType(bytes);
    (void)ParseDisplayIrq(bytes);
  }
}

}  // namespace
}  // namespace planecast
