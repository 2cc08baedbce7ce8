"""`make demo`: build what the guest needs, play in the guest, then tell what happened."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import guests, programs, workloads
from bench.demo import picture, records, summary
from bench.demo.scene import PHASES, TITLES, Scene
from bench.settings import changed
from bench.workloads import Rule
from rich.console import Console
from rich.table import Table

REPO = Path(__file__).resolve().parents[2]
PROGRAMS = ("mcopen", "spin", "statewatch", "turns")
# The guest's kernel uses fewer cpus than its machine declares, which evens their speeds: bench/load/turns.c.
MACHINE_CPUS = 8
TIMEOUT_S = 900

console = Console(highlight=False, width=None if sys.stdout.isatty() else 130)


def build(share: Path, scene: Scene) -> None:
    """Everything the guest finds at /share."""
    shutil.rmtree(share, ignore_errors=True)
    (share / "raw").mkdir(parents=True)
    programs.build(PROGRAMS, share / "bin")
    programs.build_bpf("idleburn", share / "bin")
    (share / "scene.json").write_text(json.dumps(scene.as_dict()))
    rules = [
        Rule("memcached", "critical", "pods/memcached", scene.memcached_cpus),
        Rule("background", "background", "pods/background"),
    ]
    (share / "workloads.toml").write_text(workloads.text(rules))


def play(share: Path, scene: Scene, kernel: str | None) -> int:
    """Run the player in the guest and show its progress; its exit status."""
    shape = guests.Shape(scene.cpus + 1, MACHINE_CPUS)
    command = guests.command(shape, share, kernel=kernel, timeout_s=TIMEOUT_S)
    return guests.follow(command, "bench.demo.guest.player", show)


def show(line: str, elapsed_s: float) -> None:
    """One line of the player's, as a person reads it."""
    try:
        told: dict[str, Any] = json.loads(line)
    except ValueError:
        console.print(line.rstrip())
        return
    if "phase" in told:
        text = f"phase {told['number']} of {told['of']}: {told['title']}"
    else:
        text = told.get("error") or told.get("stage") or line.strip()
    console.print(f"[{elapsed_s:5.1f} s] {text}", markup=False)


def report(body: dict[str, Any]) -> None:
    """The tables on the terminal."""
    table = Table(title="memcached, latency from the planned send", title_justify="left")
    for title in (
        "phase",
        "who decided",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "requests",
        "rate /s",
        "memcached busy",
        "valid",
    ):
        table.add_column(title, justify="left" if title in ("phase", "who decided", "valid") else "right")
    for name in PHASES:
        row = body[name]
        cells = [f"{row[key]:.2f}" for key in ("p50_ms", "p99_ms", "p999_ms")]
        cells += [str(row["requests"]), f"{row['rate']:.0f}", f"{row['memcached_busy']:.0%}"]
        table.add_row(TITLES[name], row["ops"], *cells, "yes" if row["valid"] else row["reason"])
    console.print(table)
    away, safe = body["failover"], body["safe_mode"]
    console.print(f"agent killed: stock after {away['time_to_stock_ms']:.1f} ms, attached again "
                  f"{away['time_to_reattach_ms']:.0f} ms after its restart")  # fmt: skip
    console.print(f"  made of, ms: {', '.join(f'{k} {v:.0f}' for k, v in away['reattach_breakdown_ms'].items())}")
    console.print(f"safe mode: stock {safe['time_to_stock_ms']:.1f} ms after the command was typed, attached again "
                  f"{safe['time_to_reattach_ms']:.0f} ms after `off`")  # fmt: skip
    for check in body["checks"]:
        console.print(
            f"{'holds ' if check['holds'] else 'FAILS '} {check['claim']}: {check['value']} ({check['bound']})"
        )


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(
        prog="bench/demo/run",
        description="Stock against Temper: real memcached on a real kernel, in one guest with a virtual clock.",
        epilog="exit status: 0 every claim holds, 1 one does not, 2 wrong arguments, other: the test bed's",
    )
    parser.add_argument("--out", type=Path, default=REPO / "build/demo", help="where results go (default: build/demo)")
    parser.add_argument("--kernel", help="as for testbed/run")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change the scene")
    parser.add_argument("--replay", action="store_true", help="only tell again what the last run recorded")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Play and tell."""
    options = parse(argv)
    try:
        scene = changed(Scene(), options.set)
    except ValueError as error:
        console.print(f"bench/demo/run: {error}")
        return 2
    share = options.out / "share"
    if not options.replay:
        console.print("building the load")
        build(share, scene)
        status = play(share, scene, options.kernel)
        if status:
            return status
    scene = Scene(**json.loads((share / "scene.json").read_text()))
    found = records.read(share / "raw")
    body = summary.summarize(found, scene)
    (options.out / "summary.json").write_text(json.dumps(body, indent=1) + "\n")
    picture.draw(found, options.out / "demo.svg")
    report(body)
    console.print(f"{options.out / 'summary.json'}\n{options.out / 'demo.svg'}")
    return 0 if all(check["holds"] for check in body["checks"]) else 1
