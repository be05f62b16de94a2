#!/usr/bin/env bash
# Clients of VA-API that nobody here wrote encode through the software driver. What FFmpeg decodes must be the driver's
# reconstruction, byte for byte.
#
#   third_party_test.sh BUILD_FOLDER    77: what it takes is not installed
set -euo pipefail

build=$(cd "${1:?usage: third_party_test.sh BUILD_FOLDER}" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
with_driver=$build/bin/planecast-sw-va
frames=12
size=320x192

for tool in ffmpeg ffprobe vainfo; do
  command -v "$tool" > /dev/null || { echo "skipped: there is no $tool"; exit 77; }
done
[[ $(ffmpeg -hide_banner -encoders 2> /dev/null) == *h264_vaapi* ]] || { echo "skipped: ffmpeg has no h264_vaapi"; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PLANECAST_SW_LOG=$work/log
passed=0 failed=0

pass() { printf 'ok      %s\n' "$*"; passed=$((passed + 1)); }
fail() { printf 'FAILED  %s\n' "$*"; failed=$((failed + 1)); }

# The driver's log tells why; FFmpeg's own probes are refused too.
why() { tail -n 3 "$work/log" "$work/err" 2> /dev/null || true; }

# A client that a refusal leaves hanging must not hang the test.
limited() { timeout --kill-after=5 300 "$@"; }
quiet_ffmpeg() { limited ffmpeg -nostdin -hide_banner -v error -y "$@"; }

# Compares $work/out.h264, decoded, with the driver's dump. A cropped picture is cut from the dump's coded size.
compare() {
  local name=$1 visible=$2 pictures=$3 width=${2%x*} height=${2#*x}
  local coded=$(((width + 15) / 16 * 16))x$(((height + 15) / 16 * 16)) expected=$((width * height * 3 / 2 * pictures))
  if ! quiet_ffmpeg -xerror -err_detect explode -i "$work/out.h264" -fps_mode passthrough -f rawvideo -pix_fmt yuv420p \
    "$work/decoded.yuv" 2> "$work/err"; then
    fail "$name: FFmpeg does not decode it: $(why)"
    return 1
  fi
  if [[ $coded != "$visible" ]]; then
    quiet_ffmpeg -f rawvideo -pix_fmt yuv420p -s "$coded" -i "$work/dump.yuv" \
      -vf "crop=$width:$height:0:0:exact=1" -f rawvideo "$work/cropped.yuv"
    mv "$work/cropped.yuv" "$work/dump.yuv"
  fi
  if [[ $(stat -c %s "$work/decoded.yuv") != "$expected" ]]; then
    fail "$name: $(stat -c %s "$work/decoded.yuv") bytes decoded, $expected expected"
    return 1
  fi
  if ! cmp "$work/dump.yuv" "$work/decoded.yuv"; then
    fail "$name: decoded pictures are not the reconstruction"
    return 1
  fi
}

# encode NAME PERSONA SIZE FFMPEG_OPTIONS...
encode() {
  local name=$1 persona=$2 visible=$3
  shift 3
  name="ffmpeg, $persona: $name"
  rm -f "$work"/{dump.yuv,out.h264,log,err}
  if ! PLANECAST_SW_DUMP=$work/dump.yuv limited "$with_driver" --persona "$persona" ffmpeg -nostdin -hide_banner -v error -y \
    -f lavfi -i "testsrc2=size=$visible:rate=30" -frames:v "$frames" -vaapi_device /dev/null \
    -vf format=nv12,hwupload -c:v h264_vaapi "$@" "$work/out.h264" 2> "$work/err"; then
    fail "$name: $(why)"
    return
  fi
  compare "$name" "$visible" "$frames" || return 0
  pass "$name ($(stat -c %s "$work/out.h264") bytes)"
}

# refused NAME PERSONA REASON FFMPEG_OPTIONS...: the driver's log has the reason.
refused() {
  local name="ffmpeg, $2: $1 is refused" persona=$2 reason=$3
  shift 3
  rm -f "$work"/{dump.yuv,out.h264,log,err}
  if limited "$with_driver" --persona "$persona" ffmpeg -nostdin -hide_banner -v error -y \
    -f lavfi -i "testsrc2=size=$size:rate=30" -frames:v 3 -vaapi_device /dev/null \
    -vf format=nv12,hwupload -c:v h264_vaapi "$@" "$work/out.h264" 2> "$work/err"; then
    fail "$name: it is not"
  elif [[ $(< "$work/log") != *"$reason"* ]]; then
    fail "$name: $(why)"
  else
    pass "$name"
  fi
}

# lists PERSONA PROFILE:ENTRYPOINT...: exactly these, in vainfo's words.
lists() {
  local persona=$1 expected actual
  shift
  expected=$(printf '%s\n' "$@" | sort)
  actual=$(limited "$with_driver" --persona "$persona" vainfo --display drm --device /dev/null 2> "$work/err" |
    sed -nE 's/^ *VAProfile([A-Za-z0-9]+) *:\tVAEntrypoint([A-Za-z]+)$/\1:\2/p' | sort) || true
  if [[ $actual == "$expected" ]]; then
    pass "vainfo, $persona"
  else
    fail "vainfo, $persona: lists" $actual
  fi
}

# in_share NAME BYTES TARGET: within a tenth.
in_share() {
  local bytes=$2 target=$3
  if ((bytes * 10 >= target * 9 && bytes * 10 <= target * 11)); then
    pass "$1 ($bytes bytes of $target)"
  else
    fail "$1: $bytes bytes instead of $target"
  fi
}

h264() {
  local entrypoint profile
  for profile in H264ConstrainedBaseline H264Main H264High; do
    for entrypoint in "$@"; do echo "$profile:$entrypoint"; done
  done
}

# shellcheck disable=SC2046  # words are meant
vainfo_tests() {
  lists ihd None:VideoProc $(h264 EncSlice EncSliceLP)
  lists ihd-lp None:VideoProc $(h264 EncSliceLP)
  lists radeonsi None:VideoProc $(h264 EncSlice)
  lists radeonsi-old None:VideoProc $(h264 EncSlice)
  lists minimal None:VideoProc H264ConstrainedBaseline:EncSlice H264Main:EncSlice
}

ffmpeg_tests() {
  local qp persona
  encode "constrained baseline, CAVLC" ihd $size -profile:v constrained_baseline -qp 24
  encode "main, CABAC" ihd $size -profile:v main -qp 24
  encode "main, CABAC, an IDR every other picture" ihd $size -profile:v main -qp 24 -g 2
  # FFmpeg 5.1 numbers all IDRs of such a stream 0; clause 7.4.3 forbids it.
  refused "main, IDRs only" ihd "two IDRs in a row with one idr_pic_id" -profile:v main -qp 24 -g 1
  encode "high, CABAC" ihd $size -profile:v high -qp 26
  encode "high, CAVLC" ihd $size -profile:v high -coder cavlc -qp 26
  encode "high, CABAC, 4 slices" ihd $size -profile:v high -slices 4 -qp 28
  encode "high, CAVLC, 4 slices" ihd $size -profile:v high -coder cavlc -slices 4 -qp 28
  for qp in 2 8 40 51; do
    encode "constrained baseline, QP $qp" ihd $size -profile:v constrained_baseline -qp $qp
    encode "high, QP $qp" ihd $size -profile:v high -qp $qp
  done
  encode "main, cropped" ihd 366x242 -profile:v main -qp 24
  encode "constrained baseline, cropped" radeonsi-old 366x242 -profile:v constrained_baseline -qp 24
  for persona in ihd ihd-lp; do
    encode "low power, high" $persona $size -low_power 1 -profile:v high -qp 24
    encode "low power, VBR" $persona $size -low_power 1 -profile:v main -rc_mode VBR -b:v 500k -maxrate 700k
  done
  for persona in radeonsi radeonsi-old minimal; do
    encode "constrained baseline" $persona $size -profile:v constrained_baseline -qp 24
    encode "main, CABAC" $persona $size -profile:v main -qp 24
  done
  for persona in radeonsi radeonsi-old; do
    encode "main, 2 slices" $persona $size -profile:v main -slices 2 -qp 28
    # FFmpeg's High always has the 8x8 transform.
    refused "high" $persona "transform_8x8_mode_flag gives undecodable streams here" -profile:v high -qp 24
  done
  local rate=800000
  frames=60
  for persona in ihd ihd-lp radeonsi radeonsi-old; do
    local low_power=0
    [[ $persona != ihd-lp ]] || low_power=1
    encode "CBR" $persona $size -low_power $low_power -profile:v main -rc_mode CBR -b:v $rate
    in_share "ffmpeg, $persona: CBR keeps its rate" "$(stat -c %s "$work/out.h264")" $((rate / 8 * frames / 30))
    encode "VBR" $persona $size -low_power $low_power -profile:v main -rc_mode VBR -b:v $rate -maxrate $((rate * 2))
  done
  frames=12
}

# The driver's video processor: what comes out is as close to swscale's BT.709 as the coding leaves it.
processing_test() {
  local name="ffmpeg, ihd: scale_vaapi to BT.709" psnr tags
  rm -f "$work"/{dump.yuv,out.h264,log,err}
  if ! PLANECAST_SW_DUMP=$work/dump.yuv limited "$with_driver" --persona ihd ffmpeg -nostdin -hide_banner -v error -y \
    -f lavfi -i "testsrc2=size=$size:rate=30,format=bgr0" -frames:v $frames -vaapi_device /dev/null \
    -vf 'hwupload,scale_vaapi=format=nv12:out_color_matrix=bt709:out_range=tv' -c:v h264_vaapi -qp 12 \
    "$work/out.h264" 2> "$work/err"; then
    fail "$name: $(why)"
    return
  fi
  compare "$name" $size $frames || return 0
  quiet_ffmpeg -f lavfi -i "testsrc2=size=$size:rate=30,format=bgr0" -frames:v $frames \
    -vf 'scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int+area,format=yuv420p' \
    -f rawvideo "$work/swscale.yuv"
  psnr=$(ffmpeg -nostdin -hide_banner -f rawvideo -pix_fmt yuv420p -s $size -i "$work/decoded.yuv" \
    -f rawvideo -pix_fmt yuv420p -s $size -i "$work/swscale.yuv" -lavfi psnr -f null - 2>&1 |
    sed -nE 's/.*PSNR .*average:([0-9.]+).*/\1/p')
  tags=$(ffprobe -v error -select_streams v -show_entries stream=color_space,color_range -of csv=p=0 "$work/out.h264")
  if [[ $tags != tv,bt709 ]]; then
    fail "$name: the stream says $tags"
  elif awk -v psnr="${psnr:-0}" 'BEGIN { exit !(psnr >= 45) }'; then
    pass "$name ($psnr dB)"
  else
    fail "$name: ${psnr:-no} dB from swscale's picture"
  fi
}

# gst_encode ELEMENT PERSONA PROFILE OPTIONS...
gst_encode() {
  local element=$1 persona=$2 profile=$3 name status=0
  shift 3
  name="GStreamer $element, $persona: $profile $*"
  rm -f "$work"/{dump.yuv,out.h264,log,err}
  PLANECAST_SW_DUMP=$work/dump.yuv GST_REGISTRY=$work/registry-$persona \
    limited "$here/render_node_namespace.sh" "$with_driver" --persona "$persona" gst-launch-1.0 -q \
    videotestsrc num-buffers=$frames pattern=zone-plate kx2=10 ky2=10 kt=3 ! \
    "video/x-raw,format=NV12,width=${size%x*},height=${size#*x},framerate=30/1" ! "$element" b-frames=0 "$@" ! \
    "video/x-h264,profile=$profile" ! h264parse ! video/x-h264,stream-format=byte-stream ! \
    filesink location="$work/out.h264" > "$work/err" 2>&1 || status=$?
  if [[ $status != 0 ]]; then
    fail "$name: $(why)"
    return
  fi
  compare "$name" $size $frames || return 0
  pass "$name ($(stat -c %s "$work/out.h264") bytes)"
}

gstreamer_tests() {
  if ! command -v gst-launch-1.0 > /dev/null; then
    echo "skipped: GStreamer: there is no gst-launch-1.0"
    return
  fi
  local status=0 features
  features=$(GST_REGISTRY=$work/registry-probe limited "$here/render_node_namespace.sh" "$with_driver" --persona ihd \
    gst-inspect-1.0 va 2>&1) || status=$?
  if [[ $status == 77 ]]; then
    echo "skipped: GStreamer: the kernel permits no mount namespace"
    return
  fi
  if [[ $features != *vah264enc* || $features != *vah264lpenc* ]]; then
    fail "GStreamer: the va plugin has no encoders: $features"
    return
  fi
  gst_encode vah264enc ihd main rate-control=cqp qpi=24 qpp=26
  gst_encode vah264enc ihd high rate-control=cqp qpi=24 qpp=26
  gst_encode vah264enc ihd constrained-baseline rate-control=cqp qpi=24 qpp=26
  gst_encode vah264enc ihd main rate-control=cbr bitrate=800
  gst_encode vah264lpenc ihd main rate-control=cqp qpi=24 qpp=26
  gst_encode vah264lpenc ihd-lp high rate-control=vbr bitrate=800
}

vainfo_tests
ffmpeg_tests
processing_test
gstreamer_tests
printf '%d passed, %d failed\n' "$passed" "$failed"
[[ $failed == 0 ]]
