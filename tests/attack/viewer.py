"""The honest viewer: streams a display over TLS with a ticket, acknowledges each picture, and says
when each came.

Reads its facts as one JSON line; prints a line for each picture that it had not seen before: seconds
on the monotonic clock. Ends with its input, or with one line that says why.
"""

import json
import os
import select
import sys
import time

import wire
from target import Cut, Target


class Home(Target):
    """Everything comes from an address that no attacker has, for as long as it takes."""

    def left(self):
        return 3600.0

    def _source(self, number):
        return "127.0.0.1"


def unit_of(message):
    """The access unit in a StreamDisplayResponse, by field number; empty if it is another event."""
    event = wire.fields(message).get(1, b"")
    unit = wire.fields(event).get(2)
    return wire.fields(unit) if unit else {}


def watch(target):
    connection = target.connect()
    stream = connection.open_call(wire.STREAM_DISPLAY, wire.stream_start(target.display), False,
                                  target.credentials())
    connection.flush()
    while True:
        readable, _, _ = select.select([connection, sys.stdin], [], [])
        if sys.stdin in readable:
            return "told to"
        for _, what, value in connection.events():
            if what == "end":
                return f"the stream ended with status {value}"
            unit = unit_of(value)
            if not unit:
                continue
            # A refinement shows the same picture again.
            if not unit.get(9):
                print(f"{time.monotonic():.4f}", flush=True)
            connection.send_message(stream, wire.acknowledge(unit.get(1, 0)))
        while not connection.flush():
            select.select([], [connection], [], 0.1)


def main():
    try:
        why = watch(Home(json.loads(sys.stdin.readline())))
    except Cut:
        why = "its connection was closed"
    try:
        print(f"ended: {why}", flush=True)
    except BrokenPipeError:
        # Nobody listens any more.
        os._exit(1)


if __name__ == "__main__":
    main()
