#!/usr/bin/env python3
"""Puts a run's numbers into docs/performance.md: tables between its markers, and a plot each.

  ./dev bench --json run.json && ./dev bench-report run.json

A table stands between `<!-- table NAME -->` and `<!-- end -->`; its rows are the results whose
names begin with NAME. Plots go to docs/images/performance/. Needs matplotlib.
"""

import json
import pathlib
import re
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "performance.md"
IMAGES = DOCS / "images" / "performance"
# From the palette of Okabe and Ito, which most eyes can tell apart.
COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"]
OURS = "planecast"


class Run:
    """The results of one run, by name."""

    def __init__(self, document):
        self.machine = document["machine"]
        self.results = {result["name"]: result for result in document["results"]}

    def value(self, name):
        return self.results.get(name, {}).get("value")

    def error(self, name):
        """How far the spread reaches below and above the median."""
        result = self.results.get(name, {})
        if result.get("value") is None:
            return 0, 0
        low, high = result["spread"]
        return result["value"] - low, high - result["value"]

    def beginning(self, prefix):
        return [result for name, result in self.results.items() if name.startswith(prefix)]


def shown(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(run, prefix):
    rows = ["| | median | unit | spread | target | |", "|---|---|---|---|---|---|"]
    for result in run.beginning(prefix):
        name = result["name"]
        if result["value"] is None:
            rows.append(f"| {name} | not measured: {result['not_measured']} | | | | |")
            continue
        low, high = map(shown, result["spread"])
        verdict = {True: "met", False: "**missed**", None: ""}[result["met"]]
        rows.append(f"| {name} | {shown(result['value'])} | {result['unit']} | {low} – {high} | "
                    f"{result['target'] or ''} | {verdict} |")
    return "\n".join(rows)


def machine_line(run):
    m = run.machine
    return (f"{m['cpus']} CPUs ({m['cpu']}{', virtual' if m['hypervisor'] else ''}), "
            f"{m['memory_mb'] / 1024:.0f} GB, Linux {m['kernel'].split('-')[0]}; load before the run "
            f"{m['load_before']}, after it {m['load_after']}; commit {m['commit']}, "
            f"{m['started'][:10]}.")


def missed_list(run):
    missed = [result for result in run.results.values() if result["met"] is False]
    targets = sum(1 for result in run.results.values() if result["target"])
    lines = [f"{targets - len(missed)} of {targets} targets were met. Missed:", ""]
    for result in missed:
        lines.append(f"- {result['name']}: {shown(result['value'])} {result['unit']}, "
                     f"target {result['target']}: {result['why']}")
    return "\n".join(lines) if missed else f"All {targets} targets were met."


def legend_above(axes):
    axes.legend(frameon=False, fontsize=8, ncol=5, loc="lower left", bbox_to_anchor=(0, 1))


def bars(axes, run, groups, series, name_of, target=None):
    """Grouped bars with spreads: one group per entry of `groups`, one bar in it per `series`."""
    width = 0.8 / len(series)
    for index, one in enumerate(series):
        names = [name_of(group, one) for group in groups]
        places = [place - 0.4 + width * (index + 0.5) for place in range(len(groups))]
        heights = [run.value(name) or 0 for name in names]
        errors = list(zip(*(run.error(name) for name in names)))
        axes.bar(places, heights, width * 0.92, yerr=errors, label=one, capsize=2,
                 color=COLOURS[index % len(COLOURS)], error_kw={"linewidth": 0.8})
    axes.set_xticks(range(len(groups)), groups)
    if target is not None:
        axes.axhline(target, color="black", linewidth=0.9, linestyle="--")
        axes.annotate("target", (1, target), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    if len(series) > 1:
        legend_above(axes)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure, name):
    figure.tight_layout()
    # No date, so that the same numbers make the same file.
    figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})
    pyplot.close(figure)


def plot_pipeline(run):
    figure, (speed, rate) = pyplot.subplots(1, 2, figsize=(9, 3.2))
    scenes, sizes = ["desktop", "video", "static"], ["720p", "1080p", "4k"]
    bars(speed, run, scenes, sizes,
         lambda scene, size: f"pipeline.{scene}.{size}.frames_per_s_of_encoder", 0.95)
    speed.set_ylabel("frames/s of the bare encoder's")
    bars(rate, run, scenes, sizes, lambda scene, size: f"pipeline.{scene}.{size}.frames_per_s")
    rate.set_ylabel("frames/s")
    rate.set_yscale("log")
    save(figure, "pipeline")


def plot_slots(run):
    figure, axes = pyplot.subplots(figsize=(9, 3.2))
    names = [result["name"].split(".")[1] for result in run.beginning("slot.")
             if result["name"].endswith(".cpu_per_slot")]
    bars(axes, run, names, ["ms"], lambda name, _: f"slot.{name}.cpu_per_slot")
    for place, name in enumerate(names):
        target = run.results[f"slot.{name}.cpu_per_slot"]["target"]
        if target:
            limit = float(target.split()[-1])
            axes.plot([place - 0.45, place + 0.45], [limit, limit], "k--", linewidth=0.9)
    axes.set_yscale("log")
    axes.set_ylabel("CPU ms per 1/60 s")
    axes.tick_params(axis="x", labelsize=8, rotation=20)
    save(figure, "slots")


def plot_latency(run):
    figure, (whole, age) = pyplot.subplots(1, 2, figsize=(9, 3.2))
    cases = ["desktop.event", "desktop.polling", "scroll.event", "scroll.polling"]
    quantiles = ["p50", "p95", "p99"]
    bars(whole, run, cases, quantiles, lambda case, q: f"latency.{case}.flip_to_received_{q}")
    encode = [run.value(f"latency.{case}.encode_p50") or 0 for case in cases]
    whole.plot(range(len(cases)), encode, "k_", markersize=22, label="encode, p50")
    legend_above(whole)
    whole.set_ylabel("ms from flip to receipt")
    bars(age, run, cases, quantiles, lambda case, q: f"latency.{case}.capture_age_{q}")
    age.set_ylabel("ms from flip to capture")
    for axes in (whole, age):
        axes.tick_params(axis="x", labelsize=7)
    save(figure, "latency")


def plot_fanout(run):
    figure, (ratio, cost) = pyplot.subplots(1, 2, figsize=(9, 3.2))
    counts, kinds = ["1", "10", "32", "100"], ["plain", "acknowledged"]
    bars(ratio, run, counts, kinds, lambda n, kind: f"fanout.{kind}.{n}.cpu_of_loop", 3)
    ratio.set_ylabel("CPU of epoll + writev")
    bars(cost, run, counts, kinds, lambda n, kind: f"fanout.{kind}.{n}.cpu_per_unit")
    cost.set_ylabel("µs CPU per delivered unit")
    for axes in (ratio, cost):
        axes.set_xlabel("viewers")
    save(figure, "fanout")


def peers_in(run, scene):
    names = (result["name"].split(".") for result in run.beginning(f"peers.{scene}."))
    return sorted({name[2] for name in names if "_to_" not in name[2]}, key=lambda n: (n != OURS, n))


def plot_peers(run):
    measures = [("flip_to_decoded_p50", "ms from flip to decoded"), ("cpu_per_frame", "CPU ms per frame"),
                ("bitrate", "kbit/s")]
    scenes = ["desktop", "video"]
    figure, grid = pyplot.subplots(len(scenes), len(measures), figsize=(10, 5.5))
    for row, scene in zip(grid, scenes):
        peers = peers_in(run, scene)
        for axes, (measure, label) in zip(row, measures):
            names = [f"peers.{scene}.{peer}.{measure}" for peer in peers]
            axes.barh(peers, [run.value(name) or 0 for name in names],
                      xerr=list(zip(*(run.error(name) for name in names))) or None, capsize=2,
                      color=[COLOURS[0 if peer == OURS else 4] for peer in peers])
            axes.invert_yaxis()
            if measure == "bitrate":
                axes.set_xscale("log")
            axes.set_xlabel(f"{scene}: {label}", fontsize=8)
            axes.tick_params(labelsize=8)
            axes.spines[["top", "right"]].set_visible(False)
    save(figure, "peers")


def plot_footprint(run):
    found = [re.fullmatch(r"growth\.(\d+)_displays\.(\d+)_viewers\.(\w+)", name) for name in run.results]
    points = [(int(m[1]), int(m[2]), m[3]) for m in found if m]
    displays = sorted({point[0] for point in points})
    viewers = sorted({point[1] for point in points})
    figure, grid = pyplot.subplots(1, 3, figsize=(10, 3.2))
    for axes, (measure, label) in zip(grid, [("idle_cpu_per_s", "idle CPU ms per s, all displays"),
                                             ("memory_per_display", "KB per display"),
                                             ("join_p50", "ms to join, p50")]):
        for index, count in enumerate(viewers):
            line = [(d, run.value(f"growth.{d}_displays.{count}_viewers.{measure}")) for d in displays]
            line = [(d, value) for d, value in line if value is not None]
            if line:
                axes.plot(*zip(*line), "o-", markersize=3, color=COLOURS[index % len(COLOURS)],
                          label=f"{count} viewers each")
        axes.set_xscale("log", base=2)
        axes.set_xticks(displays, displays)
        if measure == "join_p50":
            axes.set_ylim(bottom=0)
        else:
            axes.set_yscale("log")
        axes.set_xlabel("displays")
        axes.set_ylabel(label, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0].legend(frameon=False, fontsize=7)
    save(figure, "footprint")


def plot_parts(run):
    figure, (micro, va) = pyplot.subplots(1, 2, figsize=(9, 3.2))
    bars(micro, run, ["720p", "1080p", "4k"], ["memcpy", "compare_equal", "compare_changed", "convert"],
         lambda size, part: f"micro.{part}.{size}.cpu")
    micro.set_ylabel("µs per frame")
    micro.set_yscale("log")
    bars(va, run, ["360p", "1080p"], ["ihd", "radeonsi"],
         lambda size, driver: f"va_path.{driver}.{size}.own_cpu_per_frame")
    va.set_ylabel("µs of our own per frame, VA-API")
    save(figure, "parts")


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    run = Run(json.loads(pathlib.Path(sys.argv[1]).read_text()))
    IMAGES.mkdir(parents=True, exist_ok=True)
    matplotlib.rcParams.update({"svg.hashsalt": "planecast", "font.size": 9})
    for plot in (plot_pipeline, plot_slots, plot_latency, plot_fanout, plot_peers, plot_footprint,
                 plot_parts):
        plot(run)
    page = PAGE.read_text()
    fillers = {"machine": machine_line, "missed": missed_list}

    def fill(match):
        kind, _, prefix = match[1].partition(" ")
        body = table(run, prefix) if kind == "table" else fillers[kind](run)
        return f"<!-- {match[1]} -->\n{body}\n<!-- end -->"

    PAGE.write_text(re.sub(r"<!-- ((?:table \S+)|machine|missed) -->\n.*?<!-- end -->", fill, page,
                           flags=re.DOTALL))
    return 0


if __name__ == "__main__":
    sys.exit(main())
