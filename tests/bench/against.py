#!/usr/bin/env python3
"""Compares this tree's bench programs with another commit's, as `./dev bench --against COMMIT`.

The commit is checked out and built under build/against/, where the last few stay. Then each case
that both have runs in short portions, now theirs, now ours: before, after, after, before, ... so
that whatever else the machine does hits both alike. Each pair gives one ratio per row, and what is
judged is the median of the ratios: the interval that holds it with 99 % certainty, by nothing but
how many of them lie on each side, which asks nothing of how they are spread.

  WORSE      all of the interval is more than 3 % worse
  unclear    it reaches over that limit, so more rounds may tell
  not worse  it lies below that limit, but too wide to say more
  same       all of it is within 3 %
  better     all of it is more than 3 % better
  -          not judged: see NOT_JUDGED in programs.py

Cases stop after 8 rounds, 16, 32, ... when none of their rows is unclear any more.

  against.py --self-test    proves on made-up numbers that each verdict can come about
"""

import contextlib
import dataclasses
import io
import json
import math
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

import programs

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "against"
KEPT_COMMITS = 3
TARGET = "planecast_benches"

LIMIT = 1.03
CERTAINTY = 0.99
FIRST_LOOK = 8
ROUNDS = 32
# Many short portions are worth more than a few long ones: what drifts, drifts less within a pair.
EFFORT = ["--quick"]
BEFORE, AFTER = "before", "after"
VERDICTS = ("WORSE", "unclear", "not worse", "same", "better")


# --- Verdicts

def ratio_of(before, after):
    """None if there is none to be had."""
    if before < 0 or after < 0:
        return None
    if before == 0:
        return 1.0 if after == 0 else math.inf
    return after / before


def interval_of(values):
    """What holds the median of where these come from with CERTAINTY, or None if they are too few."""
    count = len(values)
    ordered = sorted(values)
    # The median lies below the k-th least if fewer than k values do, which is a matter of coins.
    k, tail = 0, 0.5 ** count
    while tail <= (1 - CERTAINTY) / 2:
        k += 1
        tail += math.comb(count, k) * 0.5 ** count
    return (ordered[k - 1], ordered[count - k]) if k else None


@dataclasses.dataclass
class Row:
    name: str
    unit: str
    better: str | None
    before: list = dataclasses.field(default_factory=list)
    after: list = dataclasses.field(default_factory=list)
    # Why it has no verdict.
    failure: str | None = None

    @property
    def ratios(self):
        """After to before, pair by pair; empty if one of them is no ratio."""
        ratios = [ratio_of(*pair) for pair in zip(self.before, self.after)]
        return [] if None in ratios else ratios

    @property
    def verdict(self):
        if self.failure:
            return "FAILED"
        if not programs.judged(self.name):
            return "-"
        interval = interval_of(self.ratios)
        if interval is None:
            return "unclear"
        # Over 1 is worse.
        low, high = interval
        if self.better == programs.HIGHER:
            low, high = (1 / end if end else math.inf for end in (high, low))
        if low > LIMIT:
            return "WORSE"
        if high < 1 / LIMIT:
            return "better"
        if high > LIMIT:
            return "unclear"
        return "same" if low >= 1 / LIMIT else "not worse"


class Case:
    """A case that both have: its rows, pair by pair."""

    def __init__(self, program, name):
        self.program = program
        self.name = name
        self.rows = {}
        # Rows that only one has, by side.
        self.lonely = {BEFORE: set(), AFTER: set()}
        # A program that failed is not asked again.
        self.broken = False

    def add(self, ran):
        """One pair: what each side's program said."""
        for side, one in ran.items():
            if one.wrong:
                self.break_off(side, "; ".join(one.wrong))
                return
        found = {side: {result["name"]: result for result in one.results} for side, one in ran.items()}
        for name in [*found[BEFORE], *(name for name in found[AFTER] if name not in found[BEFORE])]:
            missing = [(side, found[side][name]["not_measured"]) for side in (BEFORE, AFTER)
                       if name in found[side] and found[side][name]["value"] is None]
            if missing:
                self.row(name, "", None).failure = "; ".join(f"{side}: {why}" for side, why in missing)
                continue
            sides = [side for side in (BEFORE, AFTER) if name in found[side]]
            if len(sides) == 1:
                self.lonely[sides[0]].add(name)
                continue
            before, after = found[BEFORE][name], found[AFTER][name]
            if before["unit"] != after["unit"]:
                self.lonely[BEFORE].add(f"{name} in {before['unit']}")
                self.lonely[AFTER].add(f"{name} in {after['unit']}")
                continue
            row = self.row(name, after["unit"], programs.better_of(after))
            row.before.append(before["value"])
            row.after.append(after["value"])

    def row(self, name, unit, better):
        return self.rows.setdefault(name, Row(name, unit, better))

    def break_off(self, side, why):
        self.broken = True
        if not self.rows:
            self.row(self.name, "", None)
        for row in self.rows.values():
            row.failure = f"{side}: {why}"

    def is_unclear(self):
        return not self.broken and any(row.verdict == "unclear" for row in self.rows.values())


def looks_of(rounds):
    """After how many rounds to look whether more are needed."""
    looks = []
    look = FIRST_LOOK
    while look < rounds:
        looks.append(look)
        look *= 2
    return [*looks, rounds]


def compare(cases, measure, rounds, say=lambda text: None):
    """`measure(side, case)` runs one portion."""
    under_way = list(cases)
    done = 0
    for look in looks_of(rounds):
        while done < look:
            order = (BEFORE, AFTER) if done % 2 == 0 else (AFTER, BEFORE)
            for case in under_way:
                if case.broken:
                    continue
                say(f"round {done + 1} of at most {rounds}: {case.name}")
                case.add({side: measure(side, case) for side in order})
            done += 1
        under_way = [case for case in under_way if case.is_unclear()]


# --- The other commit

def git(*words, tree=ROOT):
    ran = subprocess.run(["git", "-C", str(tree), *words], capture_output=True, text=True)
    if ran.returncode != 0:
        raise SystemExit(f"bench: git {' '.join(words)}: {ran.stderr.strip()}")
    return ran.stdout.strip()


def check_out(commit):
    """A work tree of the commit. Returns it and the commit's full name."""
    sha = git("rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}")
    tree = CACHE / sha[:12]
    if not (tree / ".git").exists():
        shutil.rmtree(tree, ignore_errors=True)
        # Forced in case that build/ was removed, which git has not noticed.
        git("worktree", "add", "--force", "--detach", str(tree), sha)
    if git("rev-parse", "HEAD", tree=tree) != sha or git("status", "--porcelain", tree=tree):
        raise SystemExit(f"bench: {tree} was changed; remove it")
    os.utime(tree)
    others = sorted((path.parent for path in CACHE.glob("*/.git")), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in others[KEPT_COMMITS:]:
        git("worktree", "remove", "--force", str(old))
    return tree, sha


def build(tree):
    """Its bench programs, by its own presets. Returns the folder that they are in."""
    env = {**os.environ, "CCACHE_BASEDIR": str(tree)}
    for command, stdout in ((["cmake", "--preset", "release"], subprocess.DEVNULL),
                            (["cmake", "--build", "--preset", "release", "-j", str(os.cpu_count()),
                              "--target", TARGET], sys.stderr)):
        if subprocess.run(command, cwd=tree, env=env, stdout=stdout).returncode != 0:
            raise SystemExit(f"bench: {tree.name} can't be built: {' '.join(command)}")
    return tree / "build" / "release" / "bin"


def common_cases(folders, wanted):
    """The cases that both have, and by side the names of what only that side has."""
    cases = []
    lonely = {BEFORE: [], AFTER: []}
    for name in programs.PROGRAMS:
        found = {}
        for side, folder in folders.items():
            program = folder / f"{name}_bench"
            listed = programs.cases_of(program) if program.exists() else []
            found[side] = [case for case in listed if wanted.search(case)]
        cases += [Case(name, case) for case in found[AFTER] if case in found[BEFORE]]
        lonely[BEFORE] += [case for case in found[BEFORE] if case not in found[AFTER]]
        lonely[AFTER] += [case for case in found[AFTER] if case not in found[BEFORE]]
    return cases, lonely


# --- What comes of it

def span(ends):
    return " .. ".join(f"{end:.3f}" for end in ends) if ends else "-"


def print_rows(rows):
    width = max((len(row.name) for row in rows), default=0)
    print(f"\n{'name':{width}}  {'unit':6}  {'before':>8}  {'after':>8}  {'ratio':>6}  {'99 % sure':>14}  "
          f"{'spread':>14}  pairs  verdict")
    for row in rows:
        ratios = row.ratios
        if row.failure or not ratios:
            print(f"{row.name:{width}}  {'FAILED, see below' if row.failure else 'no ratio: not above 0'}")
            continue
        before, after = (programs.shown(statistics.median(side)) for side in (row.before, row.after))
        print(f"{row.name:{width}}  {row.unit:6}  {before:>8}  {after:>8}  {statistics.median(ratios):6.3f}  "
              f"{span(interval_of(ratios)):>14}  {span((min(ratios), max(ratios))):>14}  {len(ratios):5}  "
              f"{row.verdict}")


def report(cases, lonely, names, rounds):
    """Prints all there is to say. The exit code."""
    rows = [row for case in cases for row in case.rows.values()]
    print_rows(rows)
    for side in (BEFORE, AFTER):
        alone = lonely[side] + sorted(name for case in cases for name in case.lonely[side])
        if alone:
            print(f"\nonly {side} ({names[side]}), so not compared: {', '.join(alone)}")
    failed = [row for row in rows if row.verdict == "FAILED"]
    for row in failed:
        print(f"\nnot measured: {row.name}: {row.failure}")
    worse = [row for row in rows if row.verdict == "WORSE"]
    for row in worse:
        print(f"\nWORSE: {row.name}: {statistics.median(row.ratios):.3f} of {names[BEFORE]}, {row.better} is better")
    unclear = [case.name for case in cases if case.is_unclear()]
    if unclear:
        print("\nunclear; more rounds on a quieter machine may tell: "
              f"--only '^({'|'.join(unclear)})$' --rounds {2 * rounds}")
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in VERDICTS}
    print(f"\n{len(rows)} rows: {', '.join(f'{count} {verdict}' for verdict, count in counts.items())}, "
          f"{len(failed)} failed, {sum(row.verdict == '-' for row in rows)} not judged")
    return 1 if failed or worse or not rows else 0


def finite(values):
    return [value if math.isfinite(value) else None for value in values]


def document(machine, against, cases, lonely):
    rows = []
    for case in cases:
        for row in case.rows.values():
            interval = interval_of(row.ratios)
            rows.append({"name": row.name, "unit": row.unit, "better": row.better, "before": row.before,
                         "after": row.after, "ratios": finite(row.ratios),
                         "interval": interval and finite(interval), "verdict": row.verdict,
                         "failure": row.failure})
    alone = {side: lonely[side] + sorted(name for case in cases for name in case.lonely[side])
             for side in (BEFORE, AFTER)}
    return {"machine": machine, "against": against, "rows": rows, "only": alone}


def run(options, machine, wanted):
    """`./dev bench --against`. The exit code."""
    tree, sha = check_out(options.against)
    print(f"bench: building the programs of {sha[:12]}", file=sys.stderr, flush=True)
    folders = {BEFORE: build(tree), AFTER: options.bin.resolve()}
    cases, lonely = common_cases(folders, wanted)
    names = {BEFORE: sha[:12], AFTER: machine["commit"]}
    if options.list:
        print("\n".join(case.name for case in cases))
        return 0
    said = {}

    def measure(side, case):
        ran = programs.run(folders[side] / f"{case.program}_bench", EFFORT, [case.name], capture=True)
        if ran.said:
            said.setdefault(side, []).append(f"{case.name}: {ran.said.splitlines()[0]}")
        return ran

    rounds = options.rounds or (FIRST_LOOK if options.quick else ROUNDS)
    compare(cases, measure, rounds, lambda text: print(f"bench: {text}", file=sys.stderr, flush=True))
    machine["load_after"] = round(os.getloadavg()[0], 2)
    print(", ".join(f"{key} {value}" for key, value in machine.items() if value != ""))
    print(f"before: {sha[:12]}, {git('log', '-1', '--format=%s', sha)}")
    code = report(cases, lonely, names, rounds)
    for side, lines in said.items():
        print(f"\n{side} complained {len(lines)} times, first in {lines[0]}")
    if options.json:
        found = document(machine, {"commit": options.against, "sha": sha}, cases, lonely)
        options.json.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    return code


# --- Self-test

def result(name, value, unit="us", target=None, why=None):
    return {"name": name, "value": value, "unit": unit, "target": target, "met": None,
            "spread": None if value is None else [value, value], **({"not_measured": why} if why else {})}


def verdict_of(factor, noise, name="latency.x", unit="ms", rounds=ROUNDS, seed=1, drift=None):
    """Of a row whose after is `factor` times its before, give or take `noise`; `drift` says how slow
    the machine is at each portion."""
    dice = random.Random(seed)
    case = Case("fake", "case")
    portion = 0

    def measure(side, _):
        nonlocal portion
        portion += 1
        value = 100 * (factor if side == AFTER else 1) * math.exp(dice.gauss(0, noise))
        return programs.Ran([result(name, value * (drift(portion) if drift else 1), unit)], [])

    compare([case], measure, rounds)
    return case.rows[name].verdict, len(case.rows[name].before)


# A bench program in a few lines, for how ends of processes are seen.
STUB = """#!{python}
import os, signal, sys
if "--list" in sys.argv:
    print("stub.case")
    sys.exit(0)
print("stub.case", file=sys.stderr)
{body}
"""
GOOD = ('print(\'{"name": "stub.case.time", "value": 1, "unit": "ms", "target": null, "met": null, '
        '"spread": [1, 1]}\', flush=True)')
LOST_HELPER = ('print(\'{"name": "stub.case.time", "value": null, "unit": "", "target": null, "met": null, '
               '"spread": null, "not_measured": "bench_viewers ended badly: killed by signal 6"}\', flush=True)\n'
               "sys.exit(1)")


def stubs_verdict(bodies):
    """The case of a stub for each side."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for side, body in bodies.items():
            paths[side] = pathlib.Path(folder) / side
            paths[side].write_text(STUB.format(python=sys.executable, body=body))
            paths[side].chmod(0o755)
        case = Case("stub", programs.cases_of(paths[BEFORE])[0])
        compare([case], lambda side, case: programs.run(paths[side], EFFORT, [case.name], True), FIRST_LOOK)
    return case


def self_test():
    failures = []

    def expect(what, found, wanted):
        if found != wanted:
            failures.append(f"{what}: {found}, not {wanted}")

    expect("equal", verdict_of(1, 0.01)[0], "same")
    expect("equal, decided at the first look", verdict_of(1, 0.005)[1], FIRST_LOOK)
    expect("5 % slower", verdict_of(1.05, 0.01)[0], "WORSE")
    expect("5 % slower, some noise", verdict_of(1.05, 0.02)[0], "WORSE")
    expect("5 % fewer per second", verdict_of(0.95, 0.01, "slot.x", "1/s")[0], "WORSE")
    expect("10 % more per second", verdict_of(1.1, 0.01, "slot.x", "1/s")[0], "better")
    expect("10 % faster", verdict_of(0.9, 0.01)[0], "better")
    expect("3 % faster, give or take", verdict_of(0.97, 0.01)[0], "not worse")
    expect("2 % slower", verdict_of(1.02, 0.002)[0], "same")
    expect("noise", verdict_of(1, 0.5)[0], "unclear")
    expect("noise gets all rounds", verdict_of(1, 0.5)[1], ROUNDS)
    expect("too few rounds", verdict_of(2, 0, rounds=7)[0], "unclear")
    expect("half as fast, but not ours", verdict_of(2, 0, "fanout.plain.1.loop_cpu_per_unit")[0], "-")
    expect("a machine that gets slower and slower",
           verdict_of(1, 0.002, drift=lambda portion: 1 + portion / 50)[0], "same")
    expect("a machine that gets slower and slower, and so do we",
           verdict_of(1.06, 0.002, drift=lambda portion: 1 + portion / 50)[0], "WORSE")
    alarms = [seed for seed in range(200) if verdict_of(1, 0.1, seed=seed)[0] in ("WORSE", "better")]
    expect("alarms in 200 equal rows with 10 % noise", len(alarms) <= 1, True)
    missed = [seed for seed in range(100) if verdict_of(1.1, 0.05, seed=seed)[0] != "WORSE"]
    expect("misses of 100 that are 10 % slower with 5 % noise", len(missed) <= 5, True)

    expect("0 and 0", ratio_of(0, 0), 1.0)
    expect("something of nothing", ratio_of(0, 1), math.inf)
    expect("below 0", ratio_of(-1, 1), None)
    expect("7 values", interval_of([1.0] * 7), None)
    expect("8 values", interval_of([1, 2, 3, 4, 5, 6, 7, 8]), (1, 8))
    # Tabled: at 99 %, 20 values reach from the 4th to the 17th.
    expect("20 values", interval_of(list(range(1, 21))), (4, 17))
    expect("looks", (looks_of(8), looks_of(20), looks_of(32)), ([8], [8, 16, 20], [8, 16, 32]))
    for what, found, wanted in (
            ("a target tells", result("x.cpu_of_y", 1, "ratio", ">= 0.95"), programs.HIGHER),
            ("a name tells", result("fanout.plain.1.cpu_of_loop", 1, "ratio"), programs.LOWER),
            ("a unit tells", result("x.y", 1, "1/s"), programs.HIGHER),
            ("nothing tells", result("x.y", 1, "ratio"), None)):
        expect(what, programs.better_of(found), wanted)
    expect("nothing tells, and that is wrong", bool(programs.check(result("x.y", 1, "ratio"))), True)

    case = Case("fake", "case")
    case.add({BEFORE: programs.Ran([result("a", 1), result("old", 1), result("u", 1, "ms")], []),
              AFTER: programs.Ran([result("a", 1), result("new", 1), result("u", 1, "us"),
                                   result("gone", None, why="not installed")], [])})
    expect("rows that both have", [row.name for row in case.rows.values() if not row.failure], ["a"])
    expect("rows that one has", case.lonely, {BEFORE: {"old", "u in ms"}, AFTER: {"new", "u in us"}})
    expect("a row without value", case.rows["gone"].verdict, "FAILED")
    expect("a row without value stops nobody", case.broken, False)

    def code_of(*cases):
        names = {BEFORE: "before", AFTER: "after"}
        with contextlib.redirect_stdout(io.StringIO()):
            return report(cases, {BEFORE: [], AFTER: []}, names, ROUNDS)

    expect("exit code of a row without value", code_of(case), 1)
    expect("exit code of nothing", code_of(), 1)
    case = Case("fake", "case")
    for _ in range(FIRST_LOOK):
        case.add({BEFORE: programs.Ran([result("a", 1)], []), AFTER: programs.Ran([result("a", 2)], [])})
    expect("exit code of a worse row", code_of(case), 1)

    case = stubs_verdict({BEFORE: GOOD, AFTER: GOOD})
    expect("exit code of a row that is the same", code_of(case), 0)
    expect("two good programs", case.rows["stub.case.time"].verdict, "same")
    for what, body in (("a lost helper", LOST_HELPER), ("an exit code", GOOD + "\nsys.exit(3)"),
                       ("an abort", GOOD + "\nos.kill(os.getpid(), signal.SIGABRT)")):
        for side in (BEFORE, AFTER):
            case = stubs_verdict({**{BEFORE: GOOD, AFTER: GOOD}, side: body})
            expect(f"{what} in {side}", {row.verdict for row in case.rows.values()}, {"FAILED"})
            expect(f"{what} in {side} is told", side in next(iter(case.rows.values())).failure, True)
    for failure in failures:
        print(failure)
    print("self-test failed" if failures else "each verdict can come about")
    return 1 if failures else 0


if __name__ == "__main__":
    if sys.argv[1:] != ["--self-test"]:
        raise SystemExit(__doc__)
    sys.exit(self_test())
