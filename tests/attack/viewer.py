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


# Fields of an AccessUnit.
SEQUENCE, KEY_FRAME, FLIP_TIME_NS, REFINEMENT = 1, 2, 3, 9
# How much of what a flip is off its slot is believed to be the slot's.
PHASE_GAIN = 0.1


class Home(Target):
    """Everything comes from an address that no attacker has, for as long as it takes."""

    HANDSHAKE_MAX_S = 30.0

    def left(self):
        return 3600.0

    def _source(self, number):
        return "127.0.0.1"


def unit_of(message):
    """The access unit in a StreamDisplayResponse, by field number; empty if it is another event."""
    event = wire.fields(message).get(1, b"")
    unit = wire.fields(event).get(2)
    return wire.fields(unit) if unit else {}


class Flips:
    """Tells the display's pictures apart. It flips at a known rate; who joins makes a key frame between
    two flips, and a picture can come twice: each slot of the display counts once."""

    def __init__(self, rate_hz):
        self._period_ns = 1e9 / rate_hz
        # Of the last picture's slot.
        self._slot_ns = None

    def is_new(self, unit):
        flip_ns = unit.get(FLIP_TIME_NS, 0)
        if unit.get(REFINEMENT) or not flip_ns:
            return False
        if self._slot_ns is None:
            self._slot_ns = flip_ns
            return True
        slots = round((flip_ns - self._slot_ns) / self._period_ns)
        if slots < 0:
            return False
        self._slot_ns += slots * self._period_ns
        if not unit.get(KEY_FRAME):
            self._slot_ns += PHASE_GAIN * (flip_ns - self._slot_ns)
        return slots > 0


def watch(target, rate_hz):
    connection = target.connect()
    stream = connection.open_call(wire.STREAM_DISPLAY, wire.stream_start(target.display), False,
                                  target.credentials())
    connection.flush()
    flips = Flips(rate_hz)
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
            if flips.is_new(unit):
                print(f"{time.monotonic():.4f}", flush=True)
            connection.send_message(stream, wire.acknowledge(unit.get(SEQUENCE, 0)))
        while not connection.flush():
            select.select([], [connection], [], 0.1)


def main():
    try:
        facts = json.loads(sys.stdin.readline())
        why = watch(Home(facts), facts["rate_hz"])
    except Cut:
        why = "its connection was closed"
    try:
        print(f"ended: {why}", flush=True)
    except BrokenPipeError:
        # Nobody listens any more.
        os._exit(1)


if __name__ == "__main__":
    main()
