"""Asks for pictures, 64 at a time, and for the next as soon as one is there."""

import wire
from target import Storm

WAYS = ("plain",)
ROLE = "viewer"
FLOOR = {"calls": 20}


def attack(target):
    Storm(target, wire.GET_SNAPSHOT, wire.named(target.display), connections=4, calls=16).run()
