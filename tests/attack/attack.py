"""An attacker's own process: run.py starts it with the attacker's name and feeds it on its input."""

import importlib
import json
import os
import pathlib
import resource
import sys

FOLDER = pathlib.Path(__file__).resolve().parent / "attackers"


def names():
    return sorted(path.stem for path in FOLDER.glob("*.py"))


def load(name):
    """The module of an attacker."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    return importlib.import_module(name)


def confine(facts):
    """One core, and nobody's rights."""
    os.sched_setaffinity(0, {facts["core"]})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(facts["gid"])
        os.setuid(facts["uid"])


def main():
    facts = json.loads(sys.stdin.readline())
    attacker = load(sys.argv[1])
    from target import Over, Target
    # Loaded while that is allowed.
    "localhost".encode("idna")
    confine(facts)
    target = Target(facts)
    print("ready", flush=True)
    sys.stdin.readline()
    target.start()
    try:
        attacker.attack(target)
    except Over:
        pass
    print(target.report(), flush=True)
    # What is open ends with the process.
    os._exit(0)


if __name__ == "__main__":
    main()
