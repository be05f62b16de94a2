#!/usr/bin/python3
"""What systemd says of the units' security, against the limits that they keep. Run by CTest.

Usage: units_test.py FOLDER    FOLDER has the units; exit: 0 all within, 1 one is over, 77 no systemd-analyze
"""

import pathlib
import re
import shutil
import subprocess
import sys

# 0 is nothing that could be taken away any more, 10 a unit without a line on security.
LIMITS = {"planecastd.service": 1.8, "planecast-broker.service": 3.0}
# What would lower the figure and break the service: it hides the uids of who connects.
FORBIDDEN = ("PrivateUsers=",)


# Of these a unit may have more than one line; of others the last one would win.
LISTS = ("SystemCallFilter", "DeviceAllow")


def repeated(lines):
    keys = [line.split("=")[0] for line in lines if "=" in line and not line.startswith("#")]
    return sorted({key for key in keys if keys.count(key) > 1 and key not in LISTS})


def exposure(path):
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)],
        capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
    return (float(found.group(1)), "") if found else (None, result.stdout + result.stderr)


def main():
    folder = pathlib.Path(sys.argv[1])
    if shutil.which("systemd-analyze") is None:
        print("skipped: there is no systemd-analyze here (package systemd)")
        return 77
    failed = 0
    for name, limit in LIMITS.items():
        lines = (folder / name).read_text().splitlines()
        for word in FORBIDDEN:
            if any(line.startswith(word) for line in lines):
                print(f"{name}: has {word}")
                failed += 1
        for key in repeated(lines):
            print(f"{name}: has {key}= more than once")
            failed += 1
        figure, problem = exposure(folder / name)
        if figure is None:
            print(f"{name}: systemd-analyze gives no figure: {problem}")
            failed += 1
            continue
        print(f"{name}: {figure}, at most {limit}")
        failed += figure > limit
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
