"""build/demo/demo.svg: latency over time, who was really attached, and what happened when."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

from bench.demo.records import Records
from bench.percentiles import percentile
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

BIN_NS = 100_000_000
INK, TEMPER, STOCK = "#1b1f24", "#cfe8d5", "#f3f3f1"
P50, P99 = "#3b7dbd", "#c2410c"

LABELS = {
    "background_start": "background\nstarts",
    "kill": "agent\nkilled",
    "agent_start": "agent\nstarted",
    "safe_mode_on": "safe mode\non",
    "safe_mode_off": "safe mode\noff",
}


def draw(records: Records, path: Path) -> None:
    """Write the picture. Seconds count from the first measured window."""
    mpl.rcParams.update({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "temper", "axes.edgecolor": INK})
    zero_ns = records.event("phase").t_ns
    end_ns = records.event("end").t_ns
    figure, axes = plt.subplots(figsize=(11, 4.6), layout="constrained")
    shade(axes, records, zero_ns, end_ns)
    lines(axes, records, zero_ns, end_ns)
    mark(axes, records, zero_ns)
    axes.set(
        xlim=(0, (end_ns - zero_ns) / 1e9), yscale="log", xlabel="seconds of the guest's clock", ylabel="latency, ms"
    )
    axes.set_title("memcached under load: what each request waited, and who decided", loc="left", pad=50, color=INK)
    axes.grid(axis="y", which="major", color="#d9d9d6", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(top=axes.get_ylim()[1] * 4)  # room for the legend
    axes.legend(loc="upper left", ncols=4, frameon=True, framealpha=0.9, fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def shade(axes: Axes, records: Records, zero_ns: int, end_ns: int) -> None:
    """Green while our scheduler was attached, as the kernel said; plain under the stock one."""
    labels = {True: "Temper attached", False: "stock scheduler"}
    for span in records.spans_between(zero_ns, end_ns):
        left, right = (span.start_ns - zero_ns) / 1e9, (span.end_ns - zero_ns) / 1e9
        axes.axvspan(left, right, color=TEMPER if span.ours else STOCK, linewidth=0, label=labels.pop(span.ours, None))


def lines(axes: Axes, records: Records, zero_ns: int, end_ns: int) -> None:
    """p50 and p99 of each tenth of a second, by the planned instant; every slow request as a dot."""
    bins: dict[int, list[int]] = {}
    for request in records.between(zero_ns, end_ns):
        bins.setdefault((request.scheduled_ns - zero_ns) // BIN_NS, []).append(request.latency_ns)
    times = [(number + 0.5) * BIN_NS / 1e9 for number in sorted(bins)]
    waits = [sorted(bins[number]) for number in sorted(bins)]
    for share, color, label in ((0.5, P50, "p50 of 0.1 s"), (0.99, P99, "p99 of 0.1 s")):
        axes.plot(times, [percentile(w, share) / 1e6 for w in waits], color=color, linewidth=1.3, label=label)


def mark(axes: Axes, records: Records, zero_ns: int) -> None:
    """The events, named above the plot; names that would touch go one row up."""
    last_s, raised = float("-inf"), False
    width_s = (records.event("end").t_ns - zero_ns) / 1e9
    for event in records.events:
        if event.name not in LABELS or event.t_ns < zero_ns:
            continue
        at_s = (event.t_ns - zero_ns) / 1e9
        raised = not raised if at_s - last_s < 0.06 * width_s else False
        axes.axvline(at_s, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        axes.annotate(
            LABELS[event.name], (at_s, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=7,
            xytext=(0, 20 if raised else 2), textcoords="offset points", color=INK,
        )  # fmt: skip
        last_s = at_s
