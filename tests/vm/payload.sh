#!/usr/bin/env bash
# Collects programs and all that they are linked with, so that they run in the VM.
#
#   tests/vm/payload.sh DIR PROGRAM...
set -euo pipefail
dir=$1
shift
rm -rf "$dir"
mkdir -p "$dir"/{bin,lib,lib64}
cp "$@" "$dir/bin/"
ldd "$@" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u | xargs -r cp -L -t "$dir/lib"
cp -L /lib64/ld-linux-x86-64.so.2 "$dir/lib64/"
