#include "tests/vm/driver_contract.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include <array>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "vfio/abi.h"
#include "vfio/sys.h"

namespace planecast::vmtest {
namespace {

constexpr uint32_t kXr24 = 0x34325258;
constexpr uint8_t kCanary = 0xaa;

/// The checks of one device. Every dma-buf id is asked for once, and its fd kept: the unmodified
/// mbochs corrupts memory otherwise.
class Contract {
 public:
  Contract(GuestDevice& guest, Report& report) : guest_(guest), report_(report) {}

  void RunAll() {
    CheckFlags();
    CheckSizes();
    CheckOthers();
    if (guest_.region_plane()) {
      CheckRegionPlane();
    } else {
      CheckEdid();
      CheckModes();
      CheckDmabuf();
      CheckIds();
      CheckBlank();
    }
  }

 private:
  void Expect(int64_t result, int64_t expected, const std::string& what) {
    const std::string name = absl::StrCat(guest_.region_plane() ? "mdpy: " : "mbochs: ", what);
    report_.Check(result == expected, name, absl::StrCat(result, " instead of ", expected));
  }
  void ExpectTrue(bool ok, const std::string& what) { Expect(ok ? 1 : 0, 1, what); }

  int Ioctl(unsigned long request, void* arg) {
    return KernelSys().Ioctl(guest_.fd(), request, arg);
  }

  int Query(abi::GfxPlaneInfo& info, uint32_t flags, uint32_t type = abi::kPlaneTypePrimary) {
    info = {};
    info.argsz = sizeof(info);
    info.flags = flags;
    info.drm_plane_type = type;
    return Ioctl(abi::kQueryGfxPlane, &info);
  }
  /// As a consumer does: the first answer about a new mode may be an error.
  int QueryTwice(abi::GfxPlaneInfo& info) {
    const int result = Query(info, abi::kPlaneFlagDmabuf);
    return result == 0 ? result : Query(info, abi::kPlaneFlagDmabuf);
  }
  uint32_t own_flag() const {
    return guest_.region_plane() ? abi::kPlaneFlagRegion : abi::kPlaneFlagDmabuf;
  }

  void CheckFlags() {
    abi::GfxPlaneInfo info;
    Expect(Query(info, abi::kPlaneFlagProbe | own_flag()), 0, "the probe of its kind succeeds");
    Expect(info.width | info.drm_format, 0, "a probe fills in nothing");
    Expect(Query(info, abi::kPlaneFlagProbe | own_flag(), 99), 0,
           "a probe does not look at the plane type");
    for (uint32_t flags :
         {0u, 1u, 6u, 7u, 8u, 10u, abi::kPlaneFlagProbe | (own_flag() ^ 6), own_flag() ^ 6}) {
      Expect(Query(info, flags), -EINVAL, absl::StrCat("QUERY with flags ", flags, " is EINVAL"));
    }
  }

  void CheckSizes() {
    std::array<uint8_t, 4096> bytes;
    auto* info = reinterpret_cast<abi::GfxPlaneInfo*>(bytes.data());
    for (uint32_t argsz : {59u, 60u, 64u, 4096u}) {
      bytes.fill(kCanary);
      info->argsz = argsz;
      info->flags = own_flag();
      info->drm_plane_type = abi::kPlaneTypeCursor;
      Expect(Ioctl(abi::kQueryGfxPlane, info), argsz < 60 ? -EINVAL : 0,
             absl::StrCat("QUERY with argsz ", argsz));
      ExpectTrue(bytes[60] == kCanary && bytes[64] == kCanary, "QUERY writes 60 bytes at most");
      if (argsz < 60) ExpectTrue(bytes[12] == kCanary, "a QUERY that fails writes nothing");
    }
    Expect(Ioctl(abi::kQueryGfxPlane, nullptr), -EFAULT, "QUERY of no memory is EFAULT");
  }

  void CheckOthers() {
    uint32_t nothing[8] = {};
    Expect(Ioctl(abi::kIoctlBase + 90, nothing), -ENOTTY, "an unknown ioctl is ENOTTY");
    abi::DeviceInfo device{};
    device.argsz = sizeof(device);
    Expect(Ioctl(abi::kDeviceGetInfo, &device), 0, "GET_INFO");
    Expect(device.num_irqs, 5, "GET_INFO knows the five PCI interrupts");
    Expect(device.num_regions, guest_.region_plane() ? 9 : 10, "GET_INFO counts regions");
    abi::IrqInfo irq{};
    irq.argsz = abi::kIrqInfoMinSize;
    irq.index = abi::kPciNumIrqs;
    Expect(Ioctl(abi::kDeviceGetIrqInfo, &irq), -EINVAL, "there is no flip interrupt");
    abi::DeviceFeature feature{};
    Expect(Ioctl(abi::kSetGfxFlipEventfd, &feature), -EINVAL,
           "the number of the flip-eventfd draft is DEVICE_FEATURE");
    const int flags = KernelSys().GetFdFlags(guest_.fd());
    ExpectTrue(flags >= 0 && (flags & FD_CLOEXEC) != 0, "the device fd is close-on-exec");
  }

  /// Register access as a consumer must do it: four bytes at once.
  uint32_t ReadRegister(int64_t offset) {
    uint32_t value = 0;
    KernelSys().Pread(guest_.fd(), &value, sizeof(value), offset);
    return value;
  }
  void WriteRegister(int64_t offset, uint32_t value) {
    Expect(KernelSys().Pwrite(guest_.fd(), &value, sizeof(value), offset), sizeof(value),
           "a write of an EDID register is reported as done");
  }

  void CheckEdid() {
    alignas(8) std::array<uint8_t, 64> bytes{};
    auto* region = reinterpret_cast<abi::RegionInfo*>(bytes.data());
    const auto query = [&](uint32_t argsz, uint32_t index) {
      bytes.fill(0);
      region->argsz = argsz;
      region->index = index;
      return Ioctl(abi::kDeviceGetRegionInfo, region);
    };
    Expect(query(49, abi::kPciNumRegions), -EINVAL, "GET_REGION_INFO with argsz 49 is EINVAL");
    Expect(query(32, abi::kPciNumRegions + 1), -EINVAL, "region 10 is EINVAL");
    Expect(query(32, abi::kPciNumRegions), 0, "GET_REGION_INFO of the EDID region");
    ExpectTrue(region->argsz == 48 && region->cap_offset == 32, "which asks for 48 bytes");
    Expect(query(48, abi::kPciNumRegions), 0, "GET_REGION_INFO with 48 bytes");
    const auto* type = reinterpret_cast<const abi::RegionCapType*>(bytes.data() + 32);
    ExpectTrue(type->header.id == abi::kRegionCapType && type->header.version == 1 &&
                   type->header.next == 0 && type->type == abi::kRegionTypeGfx &&
                   type->subtype == abi::kRegionSubtypeGfxEdid,
               "its capability says EDID");
    const auto base = static_cast<int64_t>(region->offset);
    const int64_t blob = base + ReadRegister(base + offsetof(abi::EdidRegs, edid_offset));
    const int64_t link = base + offsetof(abi::EdidRegs, link_state);
    Expect(ReadRegister(link), 0, "the link state is 0 at first");
    Expect(ReadRegister(base + offsetof(abi::EdidRegs, edid_max_size)), 1024, "1024 bytes at most");
    WriteRegister(base + offsetof(abi::EdidRegs, max_xres), 1);
    ExpectTrue(ReadRegister(base + offsetof(abi::EdidRegs, max_xres)) != 1,
               "a write of a read-only register changes nothing");
    std::array<uint8_t, 128> edid;
    edid.fill(0x5a);
    WriteRegister(link, abi::kEdidLinkDown);
    WriteRegister(base + offsetof(abi::EdidRegs, edid_size), edid.size());
    Expect(KernelSys().Pwrite(guest_.fd(), edid.data(), edid.size(), blob), edid.size(),
           "the blob is written");
    auto seen = guest_.ReadEdid();
    ExpectTrue(seen.ok() && (*seen)[0] == 0, "the guest sees no EDID while the link is down");
    WriteRegister(link, abi::kEdidLinkUp);
    seen = guest_.ReadEdid();
    ExpectTrue(seen.ok() && *seen == edid, "the guest sees the EDID once the link is up");
  }

  void CheckRegionPlane() {
    abi::GfxPlaneInfo info;
    Expect(Query(info, abi::kPlaneFlagRegion), 0, "QUERY");
    Expect(info.drm_format, kXr24, "the format is XR24");
    Expect(info.width, guest_.width_px(), "the width is config space's");
    Expect(info.stride, guest_.width_px() * 4, "lines lie without a gap");
    Expect(info.size, static_cast<int64_t>(guest_.memory_bytes()), "size is the whole region's");
    ExpectTrue(info.region_index_or_dmabuf_id >= 9, "the region is beyond num_regions");
    abi::GfxPlaneInfo cursor;
    Expect(Query(cursor, abi::kPlaneFlagRegion, abi::kPlaneTypeCursor), 0, "QUERY of the cursor");
    Expect(cursor.width, info.width, "the cursor query gives the primary plane");
    uint32_t id = 1;
    Expect(Ioctl(abi::kGetGfxDmabuf, &id), -ENOTTY, "GET is ENOTTY");

    abi::RegionInfo region{};
    region.argsz = sizeof(region);
    region.index = info.region_index_or_dmabuf_id;
    Expect(Ioctl(abi::kDeviceGetRegionInfo, &region), 0, "GET_REGION_INFO of the plane's region");
    const auto offset = static_cast<int64_t>(region.offset);
    void* address = nullptr;
    Sys& sys = KernelSys();
    Expect(sys.Mmap(region.size, PROT_READ, MAP_PRIVATE, guest_.fd(), offset, &address), -EINVAL,
           "a private mapping is EINVAL");
    if (sys.Mmap(region.size, PROT_READ, MAP_SHARED, guest_.fd(), offset, &address) != 0) {
      return ExpectTrue(false, "a shared mapping works");
    }
    ExpectTrue(guest_.Paint(1, 7).ok(), "the guest paints");
    ExpectSamePixels(static_cast<const uint32_t*>(address), 1, 7);
    uint32_t pixel = 0;
    const auto* pixels = static_cast<const uint32_t*>(address);
    const int64_t middle = int64_t{info.stride} * info.height / 2;
    sys.Pread(guest_.fd(), &pixel, sizeof(pixel), offset + middle);
    ExpectTrue(pixel == pixels[0] && pixel != pixels[middle / 4],
               "pread in the middle gives the first pixel");
    sys.Munmap(address, region.size);
  }

  void ExpectSamePixels(const uint32_t* pixels, uint32_t seed, uint16_t code) {
    const Pattern pattern(seed, code, guest_.width_px(), guest_.height_px());
    int64_t different = 0;
    for (uint32_t y = 0; y < guest_.height_px(); ++y) {
      for (uint32_t x = 0; x < guest_.width_px(); ++x) {
        different += (pixels[y * guest_.width_px() + x] & 0xffffff) != pattern.At(x, y);
      }
    }
    Expect(different, 0, "the mapping shows what the guest painted");
  }

  void CheckModes() {
    abi::GfxPlaneInfo info;
    Expect(Query(info, abi::kPlaneFlagDmabuf), 0, "QUERY before a mode is set succeeds");
    Expect(info.drm_format | info.size | info.width, 0, "and finds no framebuffer");
    ExpectTrue(guest_.SetMode(640, 480).ok(), "the guest sets 640x480");
    Expect(Query(info, abi::kPlaneFlagDmabuf), -ENOMEM, "the first QUERY of a mode is ENOMEM");
    Expect(Query(info, abi::kPlaneFlagDmabuf), 0, "the second succeeds");
    Expect(info.drm_format, kXr24, "the format is XR24");
    ExpectTrue(info.width == 640 && info.height == 480, "the size is 640x480");
    Expect(info.size, 640 * 480 * 4, "size is stride times height");
    Expect(info.region_index_or_dmabuf_id, 1, "ids begin at 1");
    for (uint32_t type : {abi::kPlaneTypeOverlay, abi::kPlaneTypeCursor, 77u}) {
      abi::GfxPlaneInfo other;
      Expect(Query(other, abi::kPlaneFlagDmabuf, type), 0, absl::StrCat("QUERY of plane ", type));
      Expect(other.drm_format | other.size, 0, "which there is not");
    }
  }

  Fd Get(uint32_t id) {
    const int fd = Ioctl(abi::kGetGfxDmabuf, &id);
    return fd < 0 ? Fd() : Fd(KernelSys(), fd);
  }

  void CheckDmabuf() {
    Sys& sys = KernelSys();
    for (uint32_t id : {0u, 4711u}) {
      Expect(Ioctl(abi::kGetGfxDmabuf, &id), -ENOENT, absl::StrCat("GET of id ", id, " is ENOENT"));
    }
    Expect(Ioctl(abi::kGetGfxDmabuf, nullptr), -EFAULT, "GET of no memory is EFAULT");
    Fd buffer = Get(1);
    ExpectTrue(buffer.valid(), "GET of the queried id");
    Expect(sys.Lseek(buffer.get(), 0, SEEK_END), 640 * 480 * 4, "lseek to the end tells the size");
    Expect(sys.Lseek(buffer.get(), 5, SEEK_SET), -EINVAL, "other seeks are EINVAL");
    Expect(sys.GetFdFlags(buffer.get()) & FD_CLOEXEC, 0, "the dma-buf is not close-on-exec");
    void* address = nullptr;
    const size_t size = 640 * 480 * 4;
    Expect(sys.Mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer.get(), 0, &address), -EACCES,
           "a writable shared mapping is EACCES");
    Expect(sys.Mmap(size, PROT_READ, MAP_SHARED, buffer.get(), 0, &address), -EINVAL,
           "a read-only shared mapping is EINVAL");
    Expect(sys.Mmap(size, PROT_READ, MAP_PRIVATE, buffer.get(), 0, &address), -EINVAL,
           "a private mapping is EINVAL");
    for (uint64_t flags : {0u, 4u, 8u}) {
      Expect(sys.Ioctl(buffer.get(), abi::kDmabufSync, &flags), -EINVAL,
             absl::StrCat("SYNC with flags ", flags, " is EINVAL"));
    }
    for (uint64_t flags : {abi::kDmabufSyncRead, abi::kDmabufSyncRead | abi::kDmabufSyncEnd}) {
      Expect(sys.Ioctl(buffer.get(), abi::kDmabufSync, &flags), 0,
             absl::StrCat("SYNC with flags ", flags));
    }
    kept_.push_back(std::move(buffer));
  }

  void CheckIds() {
    abi::GfxPlaneInfo info;
    ExpectTrue(guest_.Pan(guest_.SlotLines()).ok(), "the guest pans");
    Expect(QueryTwice(info), 0, "QUERY after panning");
    Expect(info.region_index_or_dmabuf_id, 2, "another offset is another id");
    ExpectTrue(guest_.Pan(0).ok(), "the guest pans back");
    Expect(QueryTwice(info), 0, "QUERY after panning back");
    Expect(info.region_index_or_dmabuf_id, 1, "the first offset has its id again");
    ExpectTrue(guest_.SetMode(800, 600).ok(), "the guest sets 800x600");
    Expect(QueryTwice(info), 0, "QUERY of 800x600");
    Expect(info.region_index_or_dmabuf_id, 3, "another mode is another id");
    ExpectTrue(guest_.Pan(1).ok(), "the guest pans by a line");
    Expect(QueryTwice(info), 0, "QUERY after panning by a line");
    uint32_t id = info.region_index_or_dmabuf_id;
    Expect(Ioctl(abi::kGetGfxDmabuf, &id), -EINVAL, "GET is EINVAL if it begins within a page");
    id = 2;
    kept_.push_back(Get(id));
    ExpectTrue(kept_.back().valid(), "an id of an older mode can still be got");
  }

  void ExpectBlank(const std::string& what) {
    abi::GfxPlaneInfo info;
    memset(&info, kCanary, sizeof(info));
    info.argsz = sizeof(info);
    info.flags = abi::kPlaneFlagDmabuf;
    info.drm_plane_type = abi::kPlaneTypePrimary;
    Expect(Ioctl(abi::kQueryGfxPlane, &info), 0, absl::StrCat("QUERY ", what));
    Expect(info.drm_format | info.size | info.width | info.region_index_or_dmabuf_id, 0,
           absl::StrCat("there is no framebuffer ", what));
  }

  void CheckBlank() {
    ExpectTrue(guest_.SetEnabled(false).ok(), "the guest switches off");
    ExpectBlank("when switched off");
    ExpectTrue(guest_.SetMode(640, 480, 16).ok(), "the guest sets 16 bits per pixel");
    ExpectBlank("with 16 bits per pixel");
    ExpectTrue(guest_.SetMode(63, 480).ok(), "the guest sets 63x480");
    ExpectBlank("narrower than 64 pixels");
    ExpectTrue(guest_.SetMode(8192, 8192).ok(), "the guest sets 8192x8192");
    ExpectBlank("larger than video memory");
    ExpectTrue(guest_.SetMode(640, 480).ok(), "the guest sets 640x480 again");
    abi::GfxPlaneInfo info;
    Expect(QueryTwice(info), 0, "QUERY of 640x480");
    Expect(info.region_index_or_dmabuf_id, 1, "which has its id again");
    ExpectTrue(guest_.Reset().ok(), "the device is reset");
    ExpectBlank("after a reset");
    Expect(KernelSys().Lseek(kept_.front().get(), 0, SEEK_END), 640 * 480 * 4,
           "a dma-buf outlives a reset");
  }

  GuestDevice& guest_;
  Report& report_;
  std::vector<Fd> kept_;
};

}  // namespace

void CheckDriver(GuestDevice& guest, Report& report) {
  Contract(guest, report).RunAll();
}

}  // namespace planecast::vmtest
