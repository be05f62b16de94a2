#!/usr/bin/env bash
# Builds what the VM consists of into DIR: the distribution's kernel, its sample VFIO display drivers
# (two unmodified, one repaired) and an initramfs. A second run does nothing.
#
#   tests/vm/build.sh DIR      exit: 0 built, 77 something can't be had (says what), else failed
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)

exec 9>"$out/lock"
flock 9

skip() { echo "vm-test: skipped: $*"; exit 77; }
say() { echo "vm-test: $*"; }

for tool in qemu-system-x86_64 cpio depmod modprobe make gcc patch xz dpkg-deb apt-get; do
  PATH=$PATH:/sbin:/usr/sbin command -v "$tool" >/dev/null ||
    skip "no $tool (packages: $(tr '\n' ' ' <"$here/packages.txt"))"
done
PATH=$PATH:/sbin:/usr/sbin
busybox=$(command -v busybox || true)
if [ -z "$busybox" ] || ldd "$busybox" >/dev/null 2>&1; then
  skip "no static busybox (busybox-static)"
fi

# The kernel is the one that the installed headers are for.
headers=$(ls -d /usr/src/linux-headers-6.1.*-amd64 2>/dev/null | sort -V | tail -1)
[ -n "$headers" ] || skip "no headers of a 6.1 kernel (linux-headers-amd64 of Debian 12)"
kver=${headers#/usr/src/linux-headers-}
deb_version=$(dpkg-query -W -f '${Version}' "linux-headers-$kver")

stamp=$(cat "$here/build.sh" "$here/init" "$here"/patches/*.patch "$busybox" | sha256sum | cut -c1-16)
stamp="$kver $deb_version $stamp"
if [ "$(cat "$out/stamp" 2>/dev/null || true)" = "$stamp" ]; then exit 0; fi
rm -f "$out/stamp"

# fetch PACKAGE [VERSION]: prints the path of the downloaded .deb.
fetch() {
  local dir="$out/debs/$1"
  rm -rf "$dir"
  mkdir -p "$dir"
  (cd "$dir" && { apt-get -qq download "$1${2:+=$2}" || { [ -n "${2:-}" ] && apt-get -qq download "$1"; }; }) \
    >"$out/apt.log" 2>&1 || return 1
  ls "$dir"/*.deb
}

# Everything of the kernel package that the VM uses; the rest of its 400 MB stays packed.
kernel_stamp="$kver $deb_version with vgem"
if [ "$(cat "$out/kernel/stamp" 2>/dev/null || true)" != "$kernel_stamp" ]; then
  say "fetching the kernel $kver ($deb_version)"
  deb=$(fetch "linux-image-$kver" "$deb_version") ||
    skip "linux-image-$kver can't be downloaded: $(tail -1 "$out/apt.log")"
  rm -rf "$out/kernel"
  mkdir -p "$out/kernel"
  m="./lib/modules/$kver"
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$out/kernel" --wildcards \
    "./boot/vmlinuz-$kver" "$m/modules.order" "$m/modules.builtin*" \
    "$m/kernel/drivers/vfio/*" "$m/kernel/virt/lib/*" "$m/kernel/drivers/virtio/*" \
    "$m/kernel/drivers/net/virtio_net.ko" "$m/kernel/drivers/net/net_failover.ko" \
    "$m/kernel/net/core/failover.ko" "$m/kernel/net/9p/*" "$m/kernel/fs/9p/*" \
    "$m/kernel/fs/netfs/*" "$m/kernel/fs/fscache/*" "$m/kernel/drivers/gpu/drm/drm.ko" \
    "$m/kernel/drivers/gpu/drm/drm_*helper.ko" "$m/kernel/drivers/gpu/drm/vgem/*"
  rm -rf "$out/debs"
  echo "$kernel_stamp" >"$out/kernel/stamp"
fi

if [ "$(cat "$out/samples/stamp" 2>/dev/null || true)" != "$deb_version" ]; then
  say "fetching the source of the sample drivers"
  deb=$(fetch linux-source-6.1 "$deb_version") ||
    skip "linux-source-6.1 can't be downloaded: $(tail -1 "$out/apt.log")"
  rm -rf "$out/samples"
  mkdir -p "$out/samples"
  dpkg-deb --fsys-tarfile "$deb" | tar -xO ./usr/src/linux-source-6.1.tar.xz |
    tar -xJ -C "$out/samples" --strip-components=3 --wildcards 'linux-source-6.1/samples/vfio-mdev/m*'
  rm -rf "$out/debs"
  echo "$deb_version" >"$out/samples/stamp"
fi

say "building the sample drivers mbochs, mdpy and mbochs_fixed"
rm -rf "$out/modules"
mkdir -p "$out/modules"
cp "$out"/samples/{mbochs.c,mdpy.c,mdpy-defs.h} "$out/modules/"
# Both mbochs are loaded at once: the repaired one has names of its own.
sed 's/"mbochs"/"mbochs_fixed"/' "$out/samples/mbochs.c" >"$out/modules/mbochs_fixed.c"
patch -s -d "$out/modules" mbochs_fixed.c <"$here/patches/mbochs_fixed.patch"
echo 'obj-m := mbochs.o mdpy.o mbochs_fixed.o' >"$out/modules/Makefile"
make -s -C "$headers" M="$out/modules" modules >"$out/modules.log" 2>&1 ||
  { tail -20 "$out/modules.log"; exit 1; }

install -D -t "$out/kernel/lib/modules/$kver/extra" "$out"/modules/{mbochs,mdpy,mbochs_fixed}.ko
depmod -b "$out/kernel" "$kver"

say "packing the initramfs"
root=$out/root
rm -rf "$root"
mkdir -p "$root"/{bin,lib/modules,proc,sys,dev,run,tmp,payload}
install -m 755 "$busybox" "$root/bin/busybox"
install -m 755 "$here/init" "$root/init"
# In the order in which they must be loaded, each once.
for module in virtio_pci virtio_net 9pnet_virtio 9p vfio vfio_iommu_type1 mdev mbochs mdpy \
  mbochs_fixed vgem; do
  modprobe -d "$out/kernel" -S "$kver" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r path; do
  cp "$path" "$root/lib/modules/"
  basename "$path"
done >"$root/lib/modules/order"
(cd "$root" && find . | cpio -o -H newc --quiet -R 0:0 | gzip -1) >"$out/initramfs.gz"
cp "$out/kernel/boot/vmlinuz-$kver" "$out/vmlinuz"
rm -rf "$root"
echo "$stamp" >"$out/stamp"
