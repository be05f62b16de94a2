"""Asks for pictures, 64 at a time, and for the next as soon as one is there."""

import wire
from target import Storm

WAYS = ("patient", "plain")
ROLE = "viewer"
FLOOR = {"calls": 20}
# A large picture, which the guest does not change.
DISPLAYS = {"large": ("--fake", "ideal:static", "--size", "1920x1080", "--rate", "1")}


def attack(target):
    Storm(target, wire.GET_SNAPSHOT, wire.named("large"),
          connections=4, calls=16).run()
