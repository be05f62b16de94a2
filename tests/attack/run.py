#!/usr/bin/python3
"""Attacks a planecastd, one attacker at a time, and tells which of them win.

Usage: run.py [BIN]              the folder of planecastd and planecast; default build/release/bin
         --seconds N             how long each attacks, and how long peace is looked at before (5)
         --pairs N               peace and attack so many times, judged by the medians (1)
         --tries N               pairs at most, for who fails (3)
         --brief                 each attacker on one of its ways alone, or on those that it names
         --only NAME[/WAY]       this attacker alone; may be repeated
         --list                  says who there is
         --self-test             proves that each criterion can fail, without a daemon

Exits with 1 if an attacker wins, or is too weak to tell. README.md says what is judged.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import attack
from house import House, HouseError
from judge import (AFTERMATH_S, AGAIN, HOLDS, NOT_TOLD, OPEN_FILES_MORE_MAX,
                   RESIDENT_GROWTH_MAX_MB, WINS, Attack, Pair, decide, judge, self_test)
from machine import Others

HERE = pathlib.Path(__file__).resolve().parent
LISTS, LISTS_IN_PEACE = 10, 3
# Until an attacker's process has ended.
PATIENCE_S = 20
STRANGER_UID = STRANGER_GID = 65534
BURNER = "while True: pass"
# The daemon's own count of its connections is asked for so often meanwhile.
COUNT_EVERY_S = 0.5


# --- one attack


class Attacker:
    """Its process, ready to go."""

    def __init__(self, name, facts):
        self._process = subprocess.Popen([sys.executable, HERE / "attack.py", name],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, text=True)
        self._say(json.dumps(facts))
        if self._process.stdout.readline() != "ready\n":
            raise HouseError(f"{name} did not start: {self._process.communicate()[1]}")

    @property
    def pid(self):
        return self._process.pid

    def go(self):
        self._say("go")

    def end(self, seconds):
        """Its report, and what was wrong with it."""
        try:
            out, errors = self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return {}, "the attacker did not end"
        if self._process.returncode != 0 or not out:
            return {}, f"the attacker failed: {errors.strip().splitlines()[-1:]}"
        return json.loads(out), ""

    def _say(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


class Meter(threading.Thread):
    """The most memory, files and connections that the daemon has, while it runs."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self._daemon = daemon
        self._finished = threading.Event()
        self.resident_mb, self.files, self.connections = 0.0, 0, 0

    def run(self):
        next_count = time.monotonic()
        while not self._finished.wait(0.1):
            self.resident_mb = max(self.resident_mb, self._daemon.resident_mb)
            self.files = max(self.files, self._daemon.open_files)
            if time.monotonic() < next_count:
                continue
            counted = self._daemon.connections()
            self.connections = max(self.connections, counted[0] if counted else 0)
            next_count = time.monotonic() + COUNT_EVERY_S

    def stop(self):
        self._finished.set()
        self.join()


def list_often(daemon, begin, seconds, times):
    """The longest that an operator waited, and what went wrong."""
    worst, error = 0.0, ""
    for number in range(times):
        wait = begin + seconds * (number + 0.3) / times - time.monotonic()
        if wait < -seconds:
            break
        time.sleep(max(0.0, wait))
        took, wrong = daemon.seconds_to_list()
        worst, error = max(worst, took), error or wrong
    return worst, error


def measure(house, name, way, seconds, core):
    """A few seconds of peace and a few of attack."""
    module = attack.load(name)
    daemon = house.daemon
    pair = Pair()
    names = house.attach(getattr(module, "DISPLAYS", {}))
    role = getattr(module, "ROLE", "")
    secret = daemon.ticket(house.DISPLAY, *names, "--role", role) if role else ""
    facts = {"way": way, "path": f"{daemon.folder}/viewers.sock", "ports": daemon.ports,
             "seconds": seconds, "core": core, "secret": secret, "display": house.DISPLAY,
             "uid": STRANGER_UID, "gid": STRANGER_GID}
    attacker = Attacker(name, facts)
    # The attacker takes a core from everybody. Somebody harmless does so in peace.
    burner = subprocess.Popen([sys.executable, "-c", BURNER])
    os.sched_setaffinity(burner.pid, {core})
    begin = time.monotonic()
    pair.list_before_s, _ = list_often(daemon, begin, seconds, LISTS_IN_PEACE)
    time.sleep(max(0.0, begin + seconds - time.monotonic()))
    pair.pictures_before = house.viewer.pictures(begin, begin + seconds)
    burner.kill()
    burner.wait()
    pair.resident_before_mb, pair.files_before = daemon.resident_mb, daemon.open_files
    connections_before, _ = daemon.connections() or (0, {})

    others = Others([daemon.pid, house.viewer.pid, attacker.pid])
    meter = Meter(daemon)
    meter.start()
    begin = time.monotonic()
    attacker.go()
    pair.list_worst_s, pair.list_error = list_often(daemon, begin, seconds, LISTS)
    report, pair.broken = attacker.end(max(0.0, begin + seconds - time.monotonic()) + PATIENCE_S)
    pair.others_cores = others.cores(time.monotonic() - begin)
    meter.stop()
    pair.seconds, pair.done = report.get("seconds", seconds), report.get("done", {})
    look_after(house, pair)
    pair.pictures_during = house.viewer.pictures(begin, begin + seconds)
    pair.resident_most_mb, pair.files_most = meter.resident_mb, meter.files
    pair.held = max(meter.connections - connections_before, 0)
    _, pair.refused = daemon.connections() or (0, {})
    return pair


def look_after(house, pair):
    """Waits until the daemon has given back what the attack took, for at most ten seconds."""
    deadline = time.monotonic() + AFTERMATH_S
    while True:
        pair.resident_after_mb = house.daemon.resident_mb
        pair.files_after = house.daemon.open_files
        calm = (pair.resident_after_mb <= pair.resident_before_mb + RESIDENT_GROWTH_MAX_MB and
                pair.files_after <= pair.files_before + OPEN_FILES_MORE_MAX)
        if not house.daemon.alive:
            pair.broken = (f"the daemon ended with {house.daemon.exit_code}:\n"
                           f"{house.daemon.log_text(1500)}")
        elif not house.viewer.alive:
            pair.broken = f"the viewer lost its stream: {house.viewer.ended}"
        if calm or pair.broken or time.monotonic() >= deadline:
            return
        time.sleep(0.2)


# --- all of them


HEAD = (f"{'attacker':28} {'pictures':>13} {'kept':>5}  {'list, worst':>13}  {'MB before/most/after':>20}"
        f"  {'files':>12}  {'else':>4}  what it did a second; whom the daemon refused in all")


def row(title, pair):
    def rate(number):
        a_second = number / max(pair.seconds, 0.1)
        return f"{a_second:,.0f}/s" if a_second >= 10 else f"{a_second:.1f}/s"

    done = ", ".join(f"{what} {rate(number)}"
                     for what, number in sorted(pair.done.items(), key=lambda item: -item[1])
                     if "bytes" not in what)
    sent = pair.done.get("bytes", 0) / max(pair.seconds, 0.1) / 1e6
    words = ", ".join(f"{why} {number:,}" for why, number in sorted(pair.refused.items()))
    return (f"{title:28} {pair.pictures_before:>5} -> {pair.pictures_during:>4} {pair.kept:>5.0%}"
            f"  {pair.list_before_s:>4.2f} -> {pair.list_worst_s:>4.2f}s"
            f"  {pair.resident_before_mb:>6.0f}/{pair.resident_most_mb:>6.0f}/"
            f"{pair.resident_after_mb:>6.0f}"
            f"  {pair.files_before:>3}/{pair.files_most:>4}/{pair.files_after:>3}"
            f"  {pair.others_cores:>4.2f}"
            f"  {done or 'nothing'}; {sent:,.1f} MB/s; {words or 'none'}")


def ways(name, brief=False):
    module = attack.load(name)
    return getattr(module, "BRIEF_WAYS", module.WAYS[:1]) if brief else module.WAYS


def chosen(only, brief):
    """(name, way) of those that the arguments name, each by itself or all."""
    everyone = [(name, way) for name in attack.names() for way in ways(name, brief)]
    if not only:
        return everyone
    found = [(name, way) for name, way in everyone if name in only or f"{name}/{way}" in only]
    unknown = [wish for wish in only
               if not any(wish in (name, f"{name}/{way}") for name, way in everyone)]
    if unknown:
        sys.exit(f"no such attacker: {', '.join(unknown)}; --list says who there is")
    return found


def attack_with(name, way, options, core):
    """How it ended: one of what `decide` says."""
    title = f"{name}/{way}"
    module = attack.load(name)
    facts = Attack(module.FLOOR, getattr(module, "SILENT", False))
    pairs = []
    state = AGAIN
    while state == AGAIN:
        with House(options.bin) as house:
            pairs.append(measure(house, name, way, options.seconds, core))
        print(row(title, pairs[-1]), flush=True)
        state, why = decide(facts, pairs, options.pairs, options.tries)
        # What makes another look needed, or worse.
        for sentence in why or judge(facts, pairs[-1:]):
            print(f"    {state.upper() if state != HOLDS else 'bad luck'}: {sentence}", flush=True)
    return state


def run(options):
    core = max(os.sched_getaffinity(0))
    begun = time.monotonic()
    ended = {HOLDS: [], WINS: [], NOT_TOLD: []}
    print(HEAD, flush=True)
    for name, way in chosen(options.only, options.brief):
        ended[attack_with(name, way, options, core)].append(f"{name}/{way}")
    print(f"{time.monotonic() - begun:.0f} s")
    for state in (WINS, NOT_TOLD):
        for title in ended[state]:
            print(f"{state}: {title}")
    print(f"{len(ended[HOLDS])} passed, {len(ended[WINS])} failed, {len(ended[NOT_TOLD])} skipped")
    return 1 if ended[WINS] else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", nargs="?", type=pathlib.Path,
                        default=HERE.parent.parent / "build/release/bin")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--brief", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    # What it has started ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if options.list:
        for name in attack.names():
            module = attack.load(name)
            print(f"{name:24} {', '.join(ways(name)):24} {module.__doc__.splitlines()[0]}")
        return 0
    if options.self_test:
        return self_test()
    if options.seconds < 1 or options.pairs < 1:
        parser.error("--seconds and --pairs take whole numbers above 0")
    try:
        return run(options)
    except HouseError as error:
        print(f"can't tell: {error}", file=sys.stderr)
        print("0 passed, 1 failed")
        return 1


if __name__ == "__main__":
    sys.exit(main())
