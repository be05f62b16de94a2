"""Viewers who take everything and read nothing."""

import socket
import time

import wire
from target import Cut

WAYS = ("plain", "tls")
ROLE = "viewer"
FLOOR = {"viewers": 5}
CONNECTIONS = 32
VIEWERS_EACH = 8


def attack(target):
    stuck = []
    while True:
        target.left()
        if len(stuck) < CONNECTIONS:
            open_viewers(target, stuck)
        for connection in list(stuck):
            if not still_open(connection):
                stuck.remove(connection)
                connection.close()
                target.count("cut off")
        time.sleep(min(target.left(), 0.05))


def open_viewers(target, stuck):
    try:
        connection = target.connect(len(stuck))
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(VIEWERS_EACH):
            connection.open_call(wire.WATCH_DISPLAY, wire.named(target.display), True,
                                 target.credentials())
        while not connection.flush():
            target.left()
        connection.await_served()
        connection.count("viewers", VIEWERS_EACH)
        stuck.append(connection)
    except Cut as cut:
        target.cut(cut)


def still_open(connection):
    try:
        # A write tells of an end, and reads nothing.
        connection.queue(wire.frame(wire.PRIORITY, 0, 1, bytes(4) + b"\x10"))
        connection.flush()
        return True
    except Cut:
        return False
