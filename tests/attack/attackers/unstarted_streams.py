"""Streams that choose no display, as many as there may be, and more for each that ends."""

import wire
from target import Storm

WAYS = ("patient", "plain", "tls")
ROLE = "viewer"
FLOOR = {"calls": 100}


def attack(target):
    Storm(target, wire.STREAM_DISPLAY, None, connections=8).run()
