"""Thousands of messages of 64 KB that lack their last byte: what comes of them has to be kept."""

import struct

import wire
from target import Storm

WAYS = ("tls",)
FLOOR = {"calls": 200}
SIZE = 64 << 10


class Halves(Storm):
    def __init__(self, target):
        super().__init__(target, wire.LIST_DISPLAYS, None, connections=48, calls=200)
        self._left = {}

    def on_tick(self, connection, streams):
        left = self._left.setdefault(connection, {})
        for stream in left.keys() - streams:
            del left[stream]
        for stream in streams:
            head = b""
            if stream not in left:
                left[stream] = SIZE - 1
                head = struct.pack(">BI", 0, SIZE)
            size = min(left[stream], connection.room(stream) - len(head), wire.FRAME_MAX - 5)
            if size <= 0 or connection.queued > 1 << 18:
                continue
            left[stream] -= size
            size += len(head)
            connection.window -= size
            connection.stream_windows[stream] -= size
            connection.queue(wire.frame(wire.DATA, 0, stream, head + bytes(size - len(head))))


def attack(target):
    Halves(target).run()
