"""The command line of `bench/run`."""

from __future__ import annotations

import argparse
import inspect
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from bench import lines, medians, scenario
from bench.medians import Condition, Row
from bench.runner import Runner, wall_failure
from bench.scenario import Order, Scenario, Unfit
from bench.settings import changed
from rich.console import Console
from rich.table import Table
from testbed.progress import TestbedError

REPO = Path(__file__).resolve().parents[1]
NOT_ALL_VALID, WRONG, FAILED = 1, 2, 125

EPILOG = """\
examples:
  bench/run list
  bench/run ladder --out build/ladder.jsonl                        both arms, every point, once
  bench/run ladder --points 0,2 --repeat 5 --out build/ladder.jsonl
  bench/run switch-cost --kernel 6.19 --out build/switch.jsonl
  bench/run reconfigure --points 0,40 --out build/try.jsonl        a short one
  bench/run throughput --points compile --set files=48 --out build/throughput.jsonl
  bench/run summary build/ladder.jsonl
  bench/run ladder --help                                          what it measures, and when a figure is not valid

Each figure is one JSON object on a line of its own, appended to the file as soon as it is there. A figure that can't be
trusted stays in it, with "valid": false and the reason.

exit status: 0 every figure is valid, 1 one is not or is missing, 2 wrong arguments, 125 the test bed failed
docs/measuring.md says more.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments. `job` is `list`, `summary`, or a scenario's name."""
    parser = argparse.ArgumentParser(
        prog="bench/run",
        description="Measure: stock against Temper, in a guest with a virtual clock.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    jobs = parser.add_subparsers(dest="job", required=True, metavar="SCENARIO|list|summary")
    jobs.add_parser("list", help="every scenario with its points")
    summary = jobs.add_parser("summary", help="medians of records, and each arm's ratio to stock")
    summary.add_argument("files", nargs="+", type=Path, metavar="FILE", help="records of bench/run")
    for name in scenario.names():
        add_scenario(jobs, scenario.find(name))
    return parser.parse_args(argv)


def add_scenario(jobs: Any, kind: type[Scenario[Any]]) -> None:
    """A scenario's own arguments and help."""
    module = inspect.getmodule(kind)
    parser = jobs.add_parser(
        kind.name,
        help=kind.about,
        description=(module.__doc__ if module else "") or kind.about,
        epilog=f"settings (--set NAME=VALUE), with what holds unless given:\n{settings_help(kind)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FILE", help="the record; lines are appended")
    add("--arms", default=",".join(kind.arms), metavar="A,B", help="(default: %(default)s)")
    points = ",".join(kind.default_points)
    add("--points", default=points, metavar="P,Q", help=f"{kind.points_are} (default: {points})")
    add("--repeat", type=int, default=1, metavar="N", help="how often, each time in a new guest (default: 1)")
    cpus = "the scenario says how many" if kind.default_cpus is None else f"default: {kind.default_cpus}"
    add("--cpus", type=int, metavar="N", help=f"of the node ({cpus})")
    add("--kernel", metavar="VERSION|PATH", help="as for testbed/run")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting; may be repeated")
    add("--timeout", type=float, metavar="S", help=f"wall time for one guest (default: {kind.timeout_s:g})")


def settings_help(kind: type[Scenario[Any]]) -> str:
    """What may be set, in the words of the settings' own docstring."""
    settings = kind.make_settings({})
    defaults = ", ".join(f"{name}={value}" for name, value in asdict(settings).items())
    return f"  {defaults}\n\n{inspect.cleandoc(type(settings).__doc__ or '')}"


def order(kind: type[Scenario[Any]], options: argparse.Namespace) -> Order:
    """What these arguments ask for. Unfit when it can't be."""
    arms = words(options.arms, "--arms")
    for arm in arms:
        if arm not in kind.arms:
            raise Unfit(f"{kind.name} has no arm {arm!r}; it has {', '.join(kind.arms)}")
    if options.repeat < 1:
        raise Unfit(f"--repeat {options.repeat}: 1 or more is wanted")
    found = Order(
        scenario=kind.name,
        cpus=cpus_of(kind, options.cpus),
        arms=tuple(arm for arm in kind.arms if arm in arms),
        points=points_of(kind, options.points),
        settings=settings_of(kind, options.set),
    )
    kind(found)  # checks the points
    return found


def words(text: str, option: str) -> list[str]:
    """`a,b`, each once. Unfit when one is empty."""
    found = list(dict.fromkeys(text.split(",")))
    if "" in found:
        raise Unfit(f"{option} {text!r}: names with commas between them are wanted")
    return found


def points_of(kind: type[Scenario[Any]], text: str) -> tuple[str, ...]:
    """Those that are named; `all` of a scenario whose points are a table."""
    return kind.all_points if text == "all" and kind.all_points else tuple(words(text, "--points"))


def cpus_of(kind: type[Scenario[Any]], asked: int | None) -> int:
    """The node's cpus; 0 where the points say how many."""
    if kind.default_cpus is None:
        if asked is not None:
            raise Unfit(f"--cpus: {kind.name} says itself how many cpus there are")
        return 0
    if asked is not None and asked < kind.least_cpus:
        raise Unfit(f"--cpus {asked}: {kind.name} needs {kind.least_cpus} or more")
    return asked or kind.default_cpus


def settings_of(kind: type[Scenario[Any]], assignments: Sequence[str]) -> dict[str, Any]:
    """The settings that differ from what holds unless given."""
    defaults = kind.make_settings({})
    try:
        wanted = asdict(changed(defaults, assignments))
    except ValueError as error:
        raise Unfit(f"--set: {error}") from None
    return {name: value for name, value in wanted.items() if value != getattr(defaults, name)}


def measure(options: argparse.Namespace) -> int:
    """Play a scenario and append to its record; progress on stderr."""
    kind = scenario.find(options.job)
    wanted = order(kind, options)
    make_record(options.out)
    runner = Runner(
        kind,
        wanted,
        out=options.out,
        share=REPO / "build/bench" / kind.name / "share",
        kernel=options.kernel,
        timeout_s=options.timeout,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    try:
        runner.run(options.repeat)
    except (TestbedError, subprocess.CalledProcessError, OSError) as error:
        print(f"bench/run: {wall_failure(error)}", file=sys.stderr)
        return FAILED
    print(f"{options.out}: {runner.nr_valid} figures are valid, {runner.nr_invalid} are not", file=sys.stderr)
    return NOT_ALL_VALID if runner.nr_invalid else 0


def make_record(path: Path) -> None:
    """The file and its folder, now rather than after minutes of measuring. Unfit when that can't be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise Unfit(f"--out {path}: {error.strerror}") from None


def console() -> Console:
    """For tables: the terminal's width, or wide enough for one in a pipe. Text is text, never markup."""
    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 140)


def list_scenarios() -> int:
    """What there is."""
    table = Table(title="scenarios", title_justify="left")
    for title in ("scenario", "what", "points", "unless given", "arms"):
        table.add_column(title, overflow="fold")
    for kind in map(scenario.find, scenario.names()):
        table.add_row(kind.name, kind.about, kind.points_are, ",".join(kind.default_points), ",".join(kind.arms))
    console().print(table)
    return 0


def summarize(files: Sequence[Path]) -> int:
    """Medians of all records together; the lines stay the record."""
    try:
        found = [line for file in files for line in lines.read(file)]
    except (OSError, ValueError) as error:
        print(f"bench/run: {error}", file=sys.stderr)
        return WRONG
    for condition, rows in medians.tables(found).items():
        console().print(table_of(condition, rows))
    return 0


def table_of(condition: Condition, rows: Sequence[Row]) -> Table:
    """One condition's medians."""
    settings = json.loads(condition.settings)
    changes = "".join(f", {name}={value}" for name, value in settings.items())
    title = f"{condition.scenario}: kernel {condition.kernel}, clock {condition.clock}, {condition.cpus} cpus{changes}"
    table = Table(title=title, title_justify="left")
    for name in ("point", "metric", "arm", "median", "unit", "to stock", "valid", "why not"):
        right = name in ("median", "to stock", "valid")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        middle = "-" if row.median is None else f"{row.median:,.6g}"
        ratio = "" if row.ratio is None or row.arm == scenario.STOCK else f"{row.ratio:.3f}"
        valid, reasons = f"{row.valid}/{row.repeats}", "; ".join(row.reasons)
        table.add_row(row.point, row.metric, row.arm, middle, row.unit, ratio, valid, reasons)
    return table


def main(argv: Sequence[str]) -> int:
    """Entry of bench/run."""
    options = parse(argv)
    try:
        if options.job == "list":
            return list_scenarios()
        if options.job == "summary":
            return summarize(options.files)
        return measure(options)
    except Unfit as unfit:
        fail(str(unfit))


def fail(text: str) -> NoReturn:
    """One line for a person, and the exit status for wrong arguments."""
    print(f"bench/run: {text}", file=sys.stderr)
    sys.exit(WRONG)
