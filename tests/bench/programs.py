"""The bench programs: which there are, how one is run, what its rows say."""

import dataclasses
import json
import os
import re
import signal
import subprocess

# In this order; each is NAME_bench in the folder of programs.
PROGRAMS = ["pipeline", "fanout", "slots", "latency", "footprint", "va_path", "peers", "micro"]
# Nothing may hang: the longest program takes about three minutes.
TIMEOUT_S = 400
FIELDS = ("name", "value", "unit", "target", "met", "spread")

LOWER, HIGHER = "lower", "higher"
# Rows that don't tell whether we got better: what others take, and ratios of two numbers of ours,
# which get worse when the wrong one of them gets better; each has a row of its own.
NOT_JUDGED = [
    r"fanout\..*\.loop_cpu_per_unit$",
    r"latency\..*\.received_of_encode$",
    r"pipeline\..*_of_encoder$",
    r"peers\.\w+\.(?!planecast)",
    r"peers\.same_bitrate\.planecast_at_that\.(bitrate|quantizer)$",
    r"micro\.memcpy\.",
    # The worst of some forty frames is the machine's; p50 and p95 are ours.
    r".*_p99$",
]
# Which way is better where neither a target nor the unit tells.
BETTER_BY_NAME = [
    (r"fanout\..*\.cpu_of_loop$", LOWER),
    (r"pipeline\..*\.cpu_of_library$", HIGHER),
    (r"peers\..*\.planecast_to_", LOWER),
]
BETTER_BY_UNIT = {"us": LOWER, "ms": LOWER, "KB": LOWER, "kbit/s": LOWER, "1": LOWER,
                  "1/s": HIGHER, "ssim": HIGHER}


def judged(name):
    return not any(re.match(pattern, name) for pattern in NOT_JUDGED)


def better_of(result):
    """LOWER or HIGHER, or None if nothing tells."""
    if result.get("target"):
        return LOWER if result["target"].startswith("<=") else HIGHER
    for pattern, better in BETTER_BY_NAME:
        if re.match(pattern, result["name"]):
            return better
    return BETTER_BY_UNIT.get(result["unit"])


def cases_of(program):
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, timeout=60)
    return listed.stdout.split()


def check(result):
    """What is wrong with a result, or nothing."""
    missing = [field for field in FIELDS if field not in result]
    if missing:
        return f"lacks {', '.join(missing)}"
    if result["value"] is None:
        return None if result.get("not_measured") else "has no value and no reason"
    if not result["spread"][0] <= result["value"] <= result["spread"][1]:
        return "its value lies outside its spread"
    if judged(result["name"]) and better_of(result) is None:
        return f"nothing tells which way is better ({result['unit']}); say so in programs.py"
    return None


@dataclasses.dataclass
class Ran:
    """What a program printed, and what was wrong with that or with its end."""
    results: list
    wrong: list
    # What it said on stderr, but for the names of its cases; only if that was captured.
    said: str = ""


def run(program, effort, cases, capture=False):
    """`capture` keeps its stderr off ours."""
    command = [str(program), *effort]
    for case in cases:
        command += ["--case", case]
    # Its helpers are those in its own folder; no other daemon is to be had by accident.
    env = {key: value for key, value in os.environ.items() if not key.startswith("PLANECAST_")}
    wrong = []
    try:
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE if capture else None,
                             text=True, errors="replace", timeout=TIMEOUT_S, env=env)
        output, said = ran.stdout, ran.stderr or ""
        if ran.returncode < 0:
            wrong.append(f"killed by {signal.Signals(-ran.returncode).name}")
    except subprocess.TimeoutExpired as late:
        output, said = ((text or b"").decode(errors="replace") for text in (late.stdout, late.stderr))
        wrong.append(f"stopped after {TIMEOUT_S} s")
        ran = None
    results = []
    for line in output.splitlines():
        try:
            result = json.loads(line)
        except ValueError:
            wrong.append(f"no JSON: {line}")
            continue
        what = check(result)
        if what:
            wrong.append(f"{result.get('name')} {what}")
        results.append(result)
    if ran is not None and ran.returncode > 0 and not wrong:
        # A helper takes many rows with it.
        reasons = dict.fromkeys(result["not_measured"] for result in results if result.get("not_measured"))
        wrong += list(reasons) or [f"exit code {ran.returncode}"]
    said = "\n".join(line for line in said.splitlines() if line not in cases)
    return Ran(results, wrong, said)


def shown(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
