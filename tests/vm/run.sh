#!/usr/bin/env bash
# The whole VM test: builds the VM if need be, boots it and runs every check.
#
#   tests/vm/run.sh build/PRESET       exit: 0 passed, 1 failed, 77 skipped (says why)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ -d "${1:-}/bin" ] || { echo "usage: $0 build/PRESET, built" >&2; exit 2; }
bin=$(cd "$1/bin" && pwd)
vm=$(dirname "$(dirname "$bin")")/vm

"$here/build.sh" "$vm"
"$here/payload.sh" "$vm/payload" "$bin"/{vm_guest_role,vm_contract,planecastd,planecast-broker,planecast-va-check} \
  "$bin/../lib/dri/planecast_sw_drv_video.so"
mkdir -p "$vm/out"
started=$SECONDS
status=0
# The variables are boot.sh's to set.
# shellcheck disable=SC2016
"$here/boot.sh" "$vm" "$vm/payload" "$vm/out" bash -c '
  exec "$0/vm_e2e" --control "$PLANECAST_VM_CONTROL" --server "$PLANECAST_VM_SERVER" \
    --cli "$0/planecast" --scratch "$1"' "$bin" "$vm/out" | tee "$vm/out/report.txt" |
  sed -u -E '/^[0-9]+ passed, [0-9]+ failed/d' || status=$?
echo "vm-test: $((SECONDS - started)) s; logs, snapshot and recording are in $vm/out"
# The count is the last line.
grep -E '^[0-9]+ passed, ' "$vm/out/report.txt" | tail -1 || echo "0 passed, 1 failed, 0 skipped"
[ $status -eq 0 ] || status=1
exit $status
