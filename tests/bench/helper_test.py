#!/usr/bin/env python3
"""A helper process that ends badly takes the values of its case with it. Run by CTest.

Usage: helper_test.py FOLDER      of the bench programs
"""

import os
import pathlib
import shutil
import sys
import tempfile

import programs

PROGRAM, CASE = "fanout_bench", "fanout.plain.1"
# What stands for bench_viewers, around the real one; and what its case should have come to.
HELPERS = [
    ("ends well", '"{real}"', None),
    ("aborts when it should end", '"{real}"; kill -ABRT $$', "killed by signal 6"),
    ("ends with an error", '"{real}"; exit 3', "exit code 3"),
    ("dies at once", "kill -KILL $$", "killed by signal 9"),
    ("ends before it is asked to", "read -r line; echo ok 1", "ended early: exit code 0"),
]


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    failed = 0
    for what, script, wanted in HELPERS:
        with tempfile.TemporaryDirectory() as own:
            # Programs look for their helpers where they are themselves.
            program, helper = pathlib.Path(own) / PROGRAM, pathlib.Path(own) / "bench_viewers"
            try:
                os.link(folder / PROGRAM, program)
            except OSError:
                shutil.copy(folder / PROGRAM, program)
            helper.write_text(f"#!/bin/sh\n{script.format(real=folder / 'bench_viewers')}\n")
            helper.chmod(0o755)
            ran = programs.run(program, ["--tiny"], [CASE], capture=True)
        values = [result["name"] for result in ran.results if result["value"] is not None]
        good = bool(values) and not ran.wrong if wanted is None \
            else not values and any(wanted in wrong for wrong in ran.wrong)
        print(f"{'ok' if good else 'NOT OK'}: a helper that {what}: {len(values)} values, {ran.wrong}")
        failed += not good
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
