"""Connects, says nothing, and connects anew for each that is closed."""

import itertools
import resource
import select

from target import Cut

WAYS = ("plain", "tls", "unix", "crowd")
BRIEF_WAYS = ("plain", "tls", "unix")
SILENT = True
FLOOR = {"connections": 200}
SOCKETS = 4000
EACH_TURN = 500


def attack(target):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    wanted = min(SOCKETS, limit - 50)
    poll = select.epoll()
    numbers = itertools.count()
    silent = {}
    while True:
        target.left()
        open_some(target, poll, silent, numbers, min(EACH_TURN, wanted - len(silent)))
        for descriptor, _ in poll.poll(min(target.left(), 0.02)):
            silent.pop(descriptor).close()
            target.count("closed by the daemon")


def open_some(target, poll, silent, numbers, count):
    for _ in range(count):
        try:
            sock = target.socket(next(numbers))
        except Cut as cut:
            return target.cut(cut)
        silent[sock.fileno()] = sock
        # Only its end is of interest.
        poll.register(sock, select.EPOLLRDHUP | select.EPOLLHUP)
