#!/usr/bin/env bash
# Collects programs and all that they are linked with, so that they run in the VM. A file that ends in
# _drv_video.so is a VA driver and goes where libva is told to look.
#
#   tests/vm/payload.sh DIR FILE...
set -euo pipefail
dir=$1
shift
rm -rf "$dir"
mkdir -p "$dir"/{bin,lib/dri,lib64}
for file in "$@"; do
  case $file in
    *_drv_video.so) cp "$file" "$dir/lib/dri/" ;;
    *) cp "$file" "$dir/bin/" ;;
  esac
done
ldd "$@" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u | xargs -r cp -L -t "$dir/lib"
cp -L /lib64/ld-linux-x86-64.so.2 "$dir/lib64/"
