"""Connects, says hello and is gone, again and again."""

from target import Cut

WAYS = ("plain", "tls", "unix")
SILENT = True
FLOOR = {"connections": 50}


def attack(target):
    number = 0
    while True:
        target.left()
        try:
            connection = target.connect(number)
            connection.flush()
            connection.abort()
        except Cut as cut:
            target.cut(cut)
        number += 1
