#!/usr/bin/env python3
"""A bad neighbour for `./dev test --loaded`: copies memory until the process it is told of is gone."""

import os
import sys

BYTES = 64 << 20


def main():
    parent = int(sys.argv[1])
    source = bytearray(os.urandom(BYTES))
    target = bytearray(BYTES)
    while os.getppid() == parent:
        target[:] = source


if __name__ == "__main__":
    main()
