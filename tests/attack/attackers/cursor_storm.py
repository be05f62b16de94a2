"""Viewers of a display whose cursor moves 240 times a second and changes its shape."""

import wire
from target import Storm

WAYS = ("plain",)
ROLE = "viewer"
FLOOR = {"messages": 100}
# The only fake with a cursor of its own; small, so that it is about the cursor.
DISPLAYS = {"storm": ("--fake", "ideal:desktop", "--size", "320x200", "--rate", "240")}


def attack(target):
    Storm(target, wire.WATCH_DISPLAY, wire.named("storm"), connections=8,
          calls=6).run()
