"""Watches of all displays: some are held, the others end and begin anew as fast as they are answered."""

import wire
from target import Storm

WAYS = ("patient", "plain")
ROLE = "viewer"
FLOOR = {"calls": 200}


class Watches(Storm):
    def on_message(self, connection, stream, message):
        return stream % 8 != 1


def attack(target):
    Watches(target, wire.WATCH_DISPLAYS, b"", connections=8).run()
