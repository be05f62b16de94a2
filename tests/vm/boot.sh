#!/usr/bin/env bash
# Boots the VM and runs a command on the host beside it; the VM ends with the command.
#
#   tests/vm/boot.sh VM_DIR PAYLOAD_DIR LOG_DIR COMMAND...
#
# COMMAND gets PLANECAST_VM_CONTROL, the unix socket of the VM's command line (see init), and
# PLANECAST_VM_SERVER, the host's HOST:PORT that is forwarded to port 7443 of the VM. Exit: that of
# COMMAND, or 1 if the VM did not end as it was told to. PLANECAST_VM_TIMEOUT_S bounds it all.
set -euo pipefail
vm=$1 payload=$2 logs=$3
shift 3
timeout_s=${PLANECAST_VM_TIMEOUT_S:-300}

run=$(mktemp -d /tmp/planecast-vm.XXXXXX)
qemu_pid=
cleanup() {
  [ -z "$qemu_pid" ] || kill "$qemu_pid" 2>/dev/null || true
  rm -rf "$run"
}
trap cleanup EXIT
mkdir -p "$logs"
: >"$logs/console.log"

# Software emulation on purpose: the test is the same everywhere, with or without /dev/kvm.
mkfifo "$run/monitor.in" "$run/monitor.out"
timeout -k 5 "$timeout_s" qemu-system-x86_64 \
  -machine q35,accel=tcg -cpu max -smp 2 -m 1024 \
  -nodefaults -no-user-config -display none -no-reboot \
  -kernel "$vm/vmlinuz" -initrd "$vm/initramfs.gz" \
  -append "console=ttyS0 loglevel=5 panic=-1 oops=panic mitigations=off" \
  -chardev "file,id=console,path=$logs/console.log" -serial chardev:console \
  -chardev "socket,id=control,path=$run/control,server=on,wait=off" -serial chardev:control \
  -chardev "pipe,id=monitor,path=$run/monitor" -mon chardev=monitor,mode=readline \
  -virtfs "local,path=$payload,mount_tag=payload,security_model=none,readonly=on" \
  -netdev user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:7443 \
  -device virtio-net-pci,netdev=net,romfile= \
  -device isa-debug-exit,iobase=0xf4,iosize=4 >"$logs/qemu.log" 2>&1 &
qemu_pid=$!

# QEMU took a free port for the forwarding; its monitor tells which.
exec 3<>"$run/monitor.in" 4<>"$run/monitor.out"
echo "info usernet" >&3
port=
while IFS= read -r -t 30 line <&4; do
  if [[ $line =~ HOST_FORWARD\][[:space:]]+[0-9]+[[:space:]]+127\.0\.0\.1[[:space:]]+([0-9]+) ]]; then
    port=${BASH_REMATCH[1]}
    break
  fi
done
if [ -z "$port" ]; then
  echo "vm-test: QEMU did not start:"
  cat "$logs/qemu.log"
  exit 1
fi

status=0
PLANECAST_VM_CONTROL=$run/control PLANECAST_VM_SERVER=127.0.0.1:$port \
  timeout -k 5 "$timeout_s" "$@" || status=$?
[ $status -eq 0 ] || kill "$qemu_pid" 2>/dev/null || true
vm_status=0
wait "$qemu_pid" || vm_status=$?
qemu_pid=
if [ $status -ne 0 ]; then
  echo "--- the VM's console, its end"
  tail -n 15 "$logs/console.log"
fi
# 3 is the status that init writes to isa-debug-exit, by way of 2 * 1 + 1.
if [ $status -eq 0 ] && ! { [ $vm_status -eq 3 ] && grep -q '^init: exit status 0' "$logs/console.log"; }
then
  echo "vm-test: the VM ended with status $vm_status; see $logs/console.log"
  status=1
fi
exit $status
