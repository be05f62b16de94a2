#!/usr/bin/env python3
"""Runs the bench programs, prints a table, writes JSON. `./dev bench` builds and calls this.

--quick takes about 2 minutes instead of 10; --only REGEX runs the cases whose names match;
--json FILE writes {"machine": {...}, "results": [...]}. A result has name, value (the median of the
rounds), unit, target, met, spread ([least, most]); a missed target has a why; one that could not be
measured has no value and says why in not_measured.

--against COMMIT compares with that commit's programs, built here, instead; see against.py.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

import against
import programs
from programs import shown

# Where a target is known to be out of reach or close: why. For what else is missed there is no reason
# but the machine, or a step back.
REASONS = [
    (r"pipeline\.static\.", "each frame is looked at before it is compared: 12 to 26 us of the fake device's and the "
                            "display's own, where the comparison takes 130 to 330"),
    (r"pipeline\.", "beside the encoder there is a write and an acknowledgement per frame, some 0.1 to 0.2 ms of "
                    "CPU, which counts where a frame is coded in 2 ms; the spread tells how much is noise"),
    (r"fanout\.acknowledged\.", "each acknowledgement is a read, a message and a completion of gRPC's, where the "
                                 "loop has one recv"),
    (r"slot\.static_event\.", "in case that the guest paints without flipping, some lines are read four times a "
                               "second, and all of them once in eight"),
    (r"slot\.typing\.video_bitrate", "changes of a few macroblocks are coded by ourselves, in an eighth of x264's "
                                     "time and with up to a fifth more bits"),
]


def first_line(path, key):
    try:
        for line in pathlib.Path(path).read_text().splitlines():
            if line.startswith(key):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return ""


def commit():
    here = pathlib.Path(__file__).parent
    found = subprocess.run(["git", "-C", here, "describe", "--always", "--dirty"],
                           capture_output=True, text=True)
    return found.stdout.strip()


def describe_machine():
    return {
        "cpu": first_line("/proc/cpuinfo", "model name"),
        "cpus": os.cpu_count(),
        "memory_mb": int((first_line("/proc/meminfo", "MemTotal").split() or ["0"])[0]) // 1024,
        "kernel": platform.release(),
        "hypervisor": "hypervisor" in first_line("/proc/cpuinfo", "flags"),
        # Over 1 means that something else runs, and that numbers are worse than they would be.
        "load_before": round(os.getloadavg()[0], 2),
        "commit": commit(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def run_program(program, effort, cases, results):
    """True if the program did what it should."""
    ran = programs.run(program, effort, cases)
    for wrong in ran.wrong:
        print(f"{program.name}: {wrong}", file=sys.stderr)
    for result in ran.results:
        if result["met"] is False:
            result["why"] = reason_of(result)
    results += ran.results
    return not ran.wrong


def reason_of(result):
    """Why a target is missed, as far as that is known."""
    for pattern, reason in REASONS:
        if re.match(pattern, result["name"]):
            return reason
    return "not known: a busy machine, or a step back"


def missed_by(result):
    limit = float(result["target"].split()[-1])
    return f"{abs(result['value'] - limit) / limit:.0%}" if limit else shown(result["value"])


def print_table(machine, results):
    print(", ".join(f"{key} {value}" for key, value in machine.items() if value != ""))
    width = max((len(result["name"]) for result in results), default=0)
    print(f"\n{'name':{width}}  {'median':>8}  {'unit':6}  {'spread':>15}  target")
    for result in results:
        if result["value"] is None:
            print(f"{result['name']:{width}}  not measured: {result['not_measured']}")
            continue
        low, high = (shown(value) for value in result["spread"])
        verdict = ""
        if result["target"]:
            verdict = f"{result['target']} {'met' if result['met'] else 'MISSED'}"
        print(f"{result['name']:{width}}  {shown(result['value']):>8}  {result['unit']:6}  "
              f"{low + ' .. ' + high:>15}  {verdict}".rstrip())
    for result in results:
        if result["met"] is False:
            print(f"\nmissed by {missed_by(result)}: {result['name']}\n  {result['why']}")
    targets = [result for result in results if result["target"]]
    met = sum(1 for result in targets if result["met"])
    skipped = sum(1 for result in results if result["value"] is None)
    print(f"\n{len(results)} results, {met} of {len(targets)} targets met, {skipped} not measured")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n")[0])
    parser.add_argument("--bin", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--program", help=argparse.SUPPRESS)
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="about 2 minutes instead of 10")
    parser.add_argument("--only", metavar="REGEX", default="", help="cases whose names match")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="write results there")
    parser.add_argument("--list", action="store_true", help="only name the cases")
    parser.add_argument("--against", metavar="COMMIT",
                        help="compare with that commit's programs, in turn; see tests/bench/README.md")
    parser.add_argument("--rounds", metavar="N", type=int,
                        help=f"with --against: most rounds of a case ({against.ROUNDS}, "
                             f"quick {against.FIRST_LOOK})")
    options = parser.parse_args()
    if options.rounds is not None and (options.against is None or options.rounds < against.FIRST_LOOK):
        parser.error(f"--rounds needs --against, and at least {against.FIRST_LOOK}: fewer decide nothing")
    effort = ["--tiny"] if options.smoke else ["--quick"] if options.quick else []
    wanted = re.compile(options.only)

    machine = describe_machine()
    if options.against is not None:
        return against.run(options, machine, wanted)
    results = []
    ok = True
    for name in programs.PROGRAMS:
        program = options.bin / f"{name}_bench"
        if options.program not in (None, program.name):
            continue
        if not program.exists():
            results.append({"name": name, "value": None, "unit": "", "target": None, "met": None,
                            "spread": None, "not_measured": f"{program.name} was not built"})
            continue
        cases = [case for case in programs.cases_of(program) if wanted.search(case)]
        if options.list:
            print("\n".join(cases))
            continue
        if not cases:
            continue
        ok = run_program(program, effort, cases[:1] if options.smoke else cases, results) and ok
    if options.list:
        return 0
    machine["load_after"] = round(os.getloadavg()[0], 2)
    print_table(machine, results)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")
    # Missed targets are results, not failures.
    return 0 if ok and results else 1


if __name__ == "__main__":
    sys.exit(main())
