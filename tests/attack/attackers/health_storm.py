"""Health checks, which are open to everybody: asked without end, and watched as often as one may."""

import wire
from target import Storm

WAYS = ("plain",)
FLOOR = {"calls": 300}


class Checks(Storm):
    def __init__(self, target):
        super().__init__(target, wire.HEALTH_CHECK, b"", connections=8, calls=200)
        self._watched = set()

    def on_tick(self, connection, streams):
        if connection in self._watched:
            return
        self._watched.add(connection)
        for _ in range(50):
            connection.open_call(wire.HEALTH_WATCH, b"")
            connection.count("watches")


def attack(target):
    Checks(target).run()
