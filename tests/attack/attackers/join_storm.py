"""Viewers of what everybody watches, who leave as soon as they are in: each wants a key frame."""

import wire
from target import Storm

WAYS = ("patient", "plain")
ROLE = "viewer"
FLOOR = {"calls": 50}


class Joins(Storm):
    def on_message(self, connection, stream, message):
        return True


def attack(target):
    Joins(target, wire.WATCH_DISPLAY, wire.named(target.display), connections=4, calls=8).run()
