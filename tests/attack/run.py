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
import dataclasses
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import threading
import time

import attack
from house import DISPLAY_RATE_HZ, House, HouseError

HERE = pathlib.Path(__file__).resolve().parent
# Of its own pictures in peace, what the viewer keeps.
PICTURES_KEPT_MIN = 0.9
# In peace fewer than this share of what the display shows: the machine is too slow to tell anything.
PEACE_MIN = 0.5
LISTS, LISTS_IN_PEACE = 10, 3
LIST_MAX_S = 1.0
RESIDENT_GROWTH_MAX_MB = 64
OPEN_FILES_MORE_MAX = 16
AFTERMATH_S = 10
# Until an attacker's process is ready, and how long it may take to end.
PATIENCE_S = 20
STRANGER_UID = STRANGER_GID = 65534
BURNER = "while True: pass"


@dataclasses.dataclass
class Pair:
    """What was seen in peace and under attack."""
    pictures_before: int = 0
    pictures_during: int = 0
    list_before_s: float = 0.0
    list_worst_s: float = 0.0
    list_error: str = ""
    resident_before_mb: float = 0.0
    resident_most_mb: float = 0.0
    resident_after_mb: float = 0.0
    files_before: int = 0
    files_most: int = 0
    files_after: int = 0
    seconds: float = 0.0
    done: dict = dataclasses.field(default_factory=dict)
    # What ended that should not have: the daemon, the viewer, the attacker's own process.
    broken: str = ""

    @property
    def kept(self):
        return self.pictures_during / self.pictures_before if self.pictures_before else 0.0


def weakness(floor, pair):
    """Why the attack was none; empty if it was one, or was cut off."""
    kept_down = ("cut off", "closed by the daemon", "refused")
    if any(pair.done.get(what) for what in kept_down):
        return ""
    for what, per_second in floor.items():
        rate = pair.done.get(what, 0) / max(pair.seconds, 0.1)
        if rate < per_second:
            return f"too weak to tell: {rate:.0f} {what}/s, not {per_second}"
    return ""


def judge(floor, pairs):
    """What is wrong, one sentence each; empty if the attacker lost."""
    def median(of):
        return statistics.median(of(pair) for pair in pairs)

    wrong = [pair.broken for pair in pairs if pair.broken][:1]
    if median(lambda pair: pair.pictures_before / max(pair.seconds, 0.1)) < \
            PEACE_MIN * DISPLAY_RATE_HZ:
        wrong.append("the viewer has too few pictures in peace: the machine is busy")
    if median(lambda pair: pair.kept) < PICTURES_KEPT_MIN:
        wrong.append(f"the viewer kept {median(lambda pair: pair.kept):.0%} of its pictures")
    worst = median(lambda pair: pair.list_worst_s)
    if worst > LIST_MAX_S:
        wrong.append(f"`planecast list` took {worst:.1f} s")
    error = [pair.list_error for pair in pairs if pair.list_error]
    if len(error) * 2 > len(pairs):
        wrong.append(f"`planecast list` failed: {error[0]}")
    growth = median(lambda pair: pair.resident_after_mb - pair.resident_before_mb)
    if growth > RESIDENT_GROWTH_MAX_MB:
        wrong.append(f"{growth:.0f} MB more {AFTERMATH_S} s after")
    more = median(lambda pair: pair.files_after - pair.files_before)
    if more > OPEN_FILES_MORE_MAX:
        wrong.append(f"{more:.0f} more open files {AFTERMATH_S} s after")
    weak = [weakness(floor, pair) for pair in pairs]
    if all(weak):
        wrong.append(weak[0])
    return wrong


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
    """The most memory and files that the daemon has, while it runs."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self._daemon = daemon
        self._finished = threading.Event()
        self.resident_mb, self.files = 0.0, 0

    def run(self):
        while not self._finished.wait(0.1):
            self.resident_mb = max(self.resident_mb, self._daemon.resident_mb)
            self.files = max(self.files, self._daemon.open_files)

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
    house.make_ready()
    daemon = house.daemon
    pair = Pair()
    names = house.attach(getattr(module, "DISPLAYS", {}))
    role = getattr(module, "ROLE", "")
    secret = daemon.ticket(house.DISPLAY, *names.values(), "--role", role) if role else ""
    facts = {"way": way, "path": f"{daemon.folder}/viewers.sock", "ports": daemon.ports,
             "seconds": seconds, "core": core, "secret": secret, "display": house.DISPLAY,
             "displays": names, "uid": STRANGER_UID, "gid": STRANGER_GID}
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

    meter = Meter(daemon)
    meter.start()
    begin = time.monotonic()
    attacker.go()
    pair.list_worst_s, pair.list_error = list_often(daemon, begin, seconds, LISTS)
    report, pair.broken = attacker.end(max(0.0, begin + seconds - time.monotonic()) + PATIENCE_S)
    meter.stop()
    # The viewer's last lines are on their way.
    time.sleep(0.2)
    pair.pictures_during = house.viewer.pictures(begin, begin + seconds)
    pair.seconds, pair.done = report.get("seconds", seconds), report.get("done", {})
    look_after(house, pair)
    pair.resident_most_mb, pair.files_most = meter.resident_mb, meter.files
    house.detach(names.values())
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
        f"  {'files':>12}  what it did")


def row(title, pair):
    done = ", ".join(f"{what} {number / max(pair.seconds, 0.1):,.0f}/s"
                     for what, number in sorted(pair.done.items(), key=lambda item: -item[1])
                     if "bytes" not in what)
    sent = pair.done.get("bytes", 0) / max(pair.seconds, 0.1) / 1e6
    return (f"{title:28} {pair.pictures_before:>5} -> {pair.pictures_during:>4} {pair.kept:>5.0%}"
            f"  {pair.list_before_s:>4.2f} -> {pair.list_worst_s:>4.2f}s"
            f"  {pair.resident_before_mb:>6.0f}/{pair.resident_most_mb:>6.0f}/"
            f"{pair.resident_after_mb:>6.0f}"
            f"  {pair.files_before:>3}/{pair.files_most:>4}/{pair.files_after:>3}"
            f"  {done}; {sent:,.1f} MB/s")


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


def attack_with(house, name, way, options, core):
    """True if the house holds."""
    title = f"{name}/{way}"
    floor = attack.load(name).FLOOR
    pairs = []
    while True:
        pairs.append(measure(house, name, way, options.seconds, core))
        print(row(title, pairs[-1]), flush=True)
        if judge(floor, pairs[-1:]):
            # The next look is at a daemon that nobody has attacked.
            house.close()
        if len(pairs) < options.pairs:
            continue
        wrong = judge(floor, pairs)
        # One look can be bad luck; what broke something was none.
        if not wrong or pairs[-1].broken or len(pairs) >= max(options.tries, options.pairs):
            break
    for sentence in wrong:
        print(f"    FAILED {title}: {sentence}", flush=True)
    return not wrong


def run(options):
    core = max(os.sched_getaffinity(0))
    house = House(options.bin)
    begun = time.monotonic()
    passed, failed = 0, []
    print(HEAD, flush=True)
    try:
        for name, way in chosen(options.only, options.brief):
            if attack_with(house, name, way, options, core):
                passed += 1
            else:
                failed.append(f"{name}/{way}")
    finally:
        house.close()
    print(f"{time.monotonic() - begun:.0f} s")
    for title in failed:
        print(f"wins: {title}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


# --- can each criterion fail


def self_test():
    good = Pair(150, 148, 0.05, 0.2, "", 80, 120, 100, 40, 90, 44, 5, {"streams": 50_000})
    floor = {"streams": 2000}
    cases = [
        ("a good one", {}, ""),
        ("pictures lost", {"pictures_during": 134}, "kept 89%"),
        ("no peace", {"pictures_before": 20, "pictures_during": 20}, "machine is busy"),
        ("a slow list", {"list_worst_s": 1.1}, "took 1.1 s"),
        ("a failed list", {"list_error": "UNAVAILABLE"}, "failed: UNAVAILABLE"),
        ("memory kept", {"resident_after_mb": 145}, "65 MB more"),
        ("files kept", {"files_after": 57}, "17 more open files"),
        ("a crash", {"broken": "the daemon ended"}, "the daemon ended"),
        ("a weak attack", {"done": {"streams": 9000}}, "too weak"),
        ("no attack", {"done": {}}, "too weak"),
        ("cut off", {"done": {"streams": 9000, "cut off": 1}}, ""),
        ("refused", {"done": {"refused": 1}}, ""),
    ]
    failed = 0
    for what, change, expected in cases:
        wrong = "; ".join(judge(floor, [dataclasses.replace(good, **change)]))
        holds = expected in wrong if expected else not wrong
        if not holds:
            print(f"{what}: wanted {expected!r}, have {wrong!r}")
            failed += 1
    # One bad look of three is bad luck, two are not.
    bad = dataclasses.replace(good, pictures_during=0, list_worst_s=5)
    for pairs, holds in (([good, bad, good], True), ([bad, good, bad], False)):
        if (not judge(floor, pairs)) != holds:
            print(f"{len(pairs)} pairs: judged wrongly")
            failed += 1
    total = len(cases) + 2
    print(f"{total - failed} passed, {failed} failed")
    return 1 if failed else 0


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
