"""Viewers that acknowledge, ask for key frames and change their limits as fast as they are read."""

import wire
from target import Storm

WAYS = ("patient", "plain")
ROLE = "viewer"
FLOOR = {"requests": 500}
SEQUENCE = 0
# Of each stream's window, so that it is never empty.
CHUNK = 8


class Flood(Storm):
    # A viewer may send more than somebody unknown.
    PATIENT_RATE = 250 << 10

    def __init__(self, target):
        super().__init__(target, wire.STREAM_DISPLAY, wire.stream_start(target.display), ends=False,
                         connections=2, calls=8)
        self._turn_number = 0

    def on_tick(self, connection, streams):
        self._turn_number += 1
        requests = [wire.acknowledge(SEQUENCE, 64), wire.KEY_FRAME_REQUEST,
                    wire.viewer_limits(1_000_000 + self._turn_number % 100 * 10_000,
                                       30 + self._turn_number % 30)]
        size = sum(len(request) + 5 for request in requests)
        for stream in streams:
            for _ in range(CHUNK):
                if connection.room(stream) < size:
                    break
                for request in requests:
                    connection.send_message(stream, request)
                connection.count("requests", len(requests))


def attack(target):
    Flood(target).run()
