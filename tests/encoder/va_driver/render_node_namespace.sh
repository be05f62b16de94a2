#!/bin/sh
# Runs a command in a mount namespace of its own whose only GPU is /dev/dri/renderD128, which is /dev/null. For
# programs that look for render nodes through udev, as GStreamer does. Changes nothing outside.
#
#   render_node_namespace.sh COMMAND...    the exit status is the command's; 77: the kernel does not permit it
set -eu
if [ "${1:-}" != --inside ]; then
  # As another user root's rights exist only in a user namespace.
  if [ "$(id -u)" = 0 ]; then options=-m; else options=-Urm; fi
  unshare "$options" true 2> /dev/null || exit 77
  private=$(mktemp -d)
  status=0
  unshare "$options" sh "$0" --inside "$private" "$@" || status=$?
  rmdir "$private"
  exit "$status"
fi
dev=$2
shift 2
permitted() { "$@" || exit 77; }
permitted mount -t tmpfs none "$dev"
mkdir "$dev/dri" "$dev/shm"
for node in null zero full random urandom; do
  : > "$dev/$node"
  permitted mount --bind "/dev/$node" "$dev/$node"
done
: > "$dev/dri/renderD128"
permitted mount --bind /dev/null "$dev/dri/renderD128"
ln -s /proc/self/fd "$dev/fd"
permitted mount --rbind "$dev" /dev
permitted mount -t tmpfs none /sys
device=/sys/devices/planecast/drm/renderD128
mkdir -p "$device" /sys/class/drm /sys/dev/char
printf 'MAJOR=226\nMINOR=128\nDEVNAME=dri/renderD128\nDEVTYPE=drm_minor\n' > "$device/uevent"
echo 226:128 > "$device/dev"
ln -s /sys/class/drm "$device/subsystem"
ln -s "$device" /sys/class/drm/renderD128
ln -s "$device" /sys/dev/char/226:128
# This /sys is no sysfs, and libudev would mind.
export SYSTEMD_DEVICE_VERIFY_SYSFS=0
exec "$@"
