"""The workloads file of standalone mode: which cgroups or units belong to which tier.

    version = 1
    [[workload]]
    name = "memcached"
    tier = "critical"
    cgroup = "demo.slice/memcached*"   # a glob below the cgroup root; or
    # unit = "memcached.service"       # a systemd unit, found anywhere below the root
    cpus = 3                           # optional: cpus wanted by all its cgroups together: 3, 1.5 or "1500m"

    [tiers]                            # optional, as are all its keys: the agent's settings of the same names
    smooth_periods = 10                # periods' worth of cpu.max that a cgroup of a smooth tier may save up
    quota.normal = "smooth"            # or "strict"
    ceiling.background = 1.5           # cpus that all workloads of the tier may take together

One pass reports every finding with its place; `workload[0]` is the first entry. Unknown keys are refused: a
misspelt key that is silently ignored is a workload in the wrong tier.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temper.errors import Finding, InvalidInput
from temper.plan.tiers import (
    LEAST_SMOOTH_PERIODS,
    MOST_SMOOTH_PERIODS,
    SMOOTH_PERIODS,
    Bandwidth,
    Quota,
    Tier,
    bandwidths,
)
from temper.plan.units import parse_millicpu
from temper.settings.quoting import printable, quoted
from temper.settings.reading import did_you_mean, read_text
from temper.settings.texts import glob_problem, parse_ceiling_millicpu

VERSION = 1
MAX_BYTES = 1 << 20  # a node has at most some hundred workloads; more is another file by mistake
MAX_NAME = 128

_FILE_KEYS = ("version", "workload", "tiers")
_TIERS_KEYS = ("smooth_periods", "quota", "ceiling")
_WORKLOAD_KEYS = ("name", "tier", "cgroup", "unit", "cpus")
_TIERS = tuple(tier.value for tier in Tier)
# Unit types that own a cgroup, and the characters systemd allows in a unit's name (systemd.unit(5)).
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(service|scope|slice|socket|mount|swap)", re.ASCII)
_MAX_UNIT = 255
_SYNTAX_AT = re.compile(
    r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class WorkloadRule:
    """One validated `[[workload]]`. Exactly one of cgroup and unit is set; millicpu is None when not stated.

    place: `workloads.toml: workload[0]`, to which a finding adds the key.
    """

    name: str
    tier: Tier
    place: str
    cgroup: str | None = None
    unit: str | None = None
    millicpu: int | None = None


@dataclass(frozen=True, slots=True)
class WorkloadsFile:
    """A validated file.

    source: its path as the user gave it. rules: in the file's order, names unique. bandwidths: of every tier.
    """

    source: str
    rules: tuple[WorkloadRule, ...]
    bandwidths: Mapping[Tier, Bandwidth] = field(default_factory=bandwidths)


def load(path: Path) -> WorkloadsFile:
    """Read and validate the file. InvalidInput with every finding when it is missing, unreadable or wrong."""
    source = printable(str(path))
    return parse(read_text(path, source, MAX_BYTES), source)


def parse(text: str, source: str) -> WorkloadsFile:
    """Validate the text of a workloads file; findings name `source`. InvalidInput with every finding."""
    findings: list[Finding] = []
    top = _Table(_toml(text, source), source, findings)
    top.refuse_unknown(_FILE_KEYS)
    _check_version(top)
    places = [(f"{source}: workload[{index}]", raw) for index, raw in enumerate(_entries(top))]
    rules = [_rule(raw, place, findings) for place, raw in places]
    _refuse_duplicates(places, findings)
    allowed = _bandwidths(top)
    if findings:
        raise InvalidInput(findings)
    return WorkloadsFile(source, tuple(rule for rule in rules if rule is not None), allowed)


def _toml(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput([_syntax_finding(str(error), text, source)]) from error
    except (ValueError, RecursionError) as error:  # a number or a nesting too large for the parser
        raise InvalidInput([Finding(source, f"is not usable TOML: {printable(str(error))}")]) from error


def _syntax_finding(message: str, text: str, source: str) -> Finding:
    """The parser gives the position in its message only (before Python 3.14)."""
    match = _SYNTAX_AT.fullmatch(message)
    if match is None:
        return Finding(source, f"is not TOML: {printable(message)}")
    lines = text.split("\n")
    line, column = match["line"] or len(lines), match["column"] or len(lines[-1]) + 1
    return Finding(f"{source}:{line}:{column}", f"is not TOML: {printable(match['what'])}")


class _Table:
    """One TOML table being read: what is wrong is collected with its place, and reading goes on."""

    def __init__(self, raw: dict[str, Any], place: str, findings: list[Finding], separator: str = ": ") -> None:
        self.raw = raw
        self._prefix = f"{place}{separator}"
        self._findings = findings

    def wrong(self, key: str, message: str) -> None:
        self._findings.append(Finding(f"{self._prefix}{printable(key)}", message))

    def refuse_unknown(self, known: Collection[str]) -> None:
        for key in self.raw:
            if key not in known:
                self.wrong(key, f"unknown key{did_you_mean(key, known)}; allowed are {', '.join(known)}")

    def is_one_of(self, key: str, words: Collection[str]) -> bool:
        """Whether the key's value is one of these words."""
        value = self.raw[key]
        if value in words:
            return True
        hint = did_you_mean(value, words) if isinstance(value, str) else ""
        self.wrong(key, f"{quoted(value)} is not one of {', '.join(words)}{hint}")
        return False

    def table(self, key: str) -> _Table:
        """The table below a key; an empty one when absent or wrong."""
        raw = self.raw.get(key, {})
        if not isinstance(raw, dict):
            self.wrong(key, f"{quoted(raw)} is not a table")
            raw = {}
        return _Table(raw, f"{self._prefix}{key}", self._findings, separator=".")

    def text(self, key: str) -> str | None:
        """A text that is not empty; None when absent or wrong."""
        value = self.raw.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            self.wrong(key, f"{quoted(value)} is not a text, or is empty")
            return None
        return value


def _check_version(top: _Table) -> None:
    version = top.raw.get("version")
    if version is None:
        top.wrong("version", f"is missing; write version = {VERSION}")
    elif type(version) is not int or version != VERSION:
        top.wrong("version", f"{quoted(version)} is not supported; this Temper reads version {VERSION}")


def _entries(top: _Table) -> list[Any]:
    entries = top.raw.get("workload", [])
    if isinstance(entries, list):
        return entries
    top.wrong("workload", "is not a list of tables; write [[workload]] with two brackets")
    return []


def _rule(raw: Any, place: str, findings: list[Finding]) -> WorkloadRule | None:
    """The rule of one entry, or None when a finding spoils it."""
    if not isinstance(raw, dict):
        findings.append(Finding(place, f"{quoted(raw)} is not a table; write [[workload]]"))
        return None
    table = _Table(raw, place, findings, separator=".")
    table.refuse_unknown(_WORKLOAD_KEYS)
    name, tier, (cgroup, unit), millicpu = _name(table), _tier(table), _target(table), _millicpu(table)
    if name is None or tier is None:
        return None
    return WorkloadRule(name, tier, place, cgroup, unit, millicpu)


def _name(table: _Table) -> str | None:
    if "name" not in table.raw:
        table.wrong("name", "is missing")
    name = table.text("name")
    if name is None:
        return None
    if len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
        table.wrong("name", f"{quoted(name)} is not 1 to {MAX_NAME} printable characters without blanks around")
        return None
    return name


def _tier(table: _Table) -> Tier | None:
    value = table.raw.get("tier")
    if value is None:
        table.wrong("tier", f"is missing; one of {', '.join(_TIERS)}")
        return None
    return Tier(value) if table.is_one_of("tier", _TIERS) else None


def _target(table: _Table) -> tuple[str | None, str | None]:
    """The cgroup glob and the unit, of which exactly one must be there."""
    cgroup, unit = table.text("cgroup"), table.text("unit")
    if ("cgroup" in table.raw) == ("unit" in table.raw):
        table.wrong("cgroup", "write exactly one of cgroup and unit")
    if cgroup is not None and (problem := glob_problem(cgroup)):
        table.wrong("cgroup", f"{quoted(cgroup)} {problem}")
    if unit is not None and not (_UNIT.fullmatch(unit) and len(unit) <= _MAX_UNIT):
        table.wrong("unit", f"{quoted(unit)} is not a unit with a cgroup, such as memcached.service or x.scope")
    return cgroup, unit


def _millicpu(table: _Table) -> int | None:
    if "cpus" not in table.raw:
        return None
    try:
        millicpu = parse_millicpu(table.raw["cpus"])
    except ValueError as error:
        table.wrong("cpus", printable(str(error)))
        return None
    if millicpu == 0:
        table.wrong("cpus", "must be more than 0; leave it out to state none")
    return millicpu


def _bandwidths(top: _Table) -> dict[Tier, Bandwidth]:
    """How much cpu time each tier may take."""
    tiers = top.table("tiers")
    tiers.refuse_unknown(_TIERS_KEYS)
    quota, ceiling = tiers.table("quota"), tiers.table("ceiling")
    quotas = {tier: Quota(quota.raw[tier]) for tier in _named_tiers(quota) if quota.is_one_of(tier, tuple(Quota))}
    ceilings = {tier: millicpu for tier in _named_tiers(ceiling) if (millicpu := _ceiling_millicpu(ceiling, tier))}
    return bandwidths(quotas, _smooth_periods(tiers), ceilings)


def _named_tiers(table: _Table) -> Iterator[Tier]:
    table.refuse_unknown(_TIERS)
    return (tier for tier in Tier if tier in table.raw)


def _ceiling_millicpu(table: _Table, tier: Tier) -> int | None:
    try:
        return parse_ceiling_millicpu(table.raw[tier])
    except ValueError as error:
        table.wrong(tier, printable(str(error)))
        return None


def _smooth_periods(tiers: _Table) -> int:
    periods = tiers.raw.get("smooth_periods", SMOOTH_PERIODS)
    if type(periods) is int and LEAST_SMOOTH_PERIODS <= periods <= MOST_SMOOTH_PERIODS:
        return periods
    allowed = f"a whole number from {LEAST_SMOOTH_PERIODS} to {MOST_SMOOTH_PERIODS}"
    tiers.wrong("smooth_periods", f"{quoted(periods)} is not {allowed}")
    return SMOOTH_PERIODS


def _refuse_duplicates(places: list[tuple[str, Any]], findings: list[Finding]) -> None:
    """A name stands for one workload; the later entry is the wrong one."""
    first: dict[str, str] = {}
    for place, raw in places:
        name = raw.get("name") if isinstance(raw, dict) else None
        if isinstance(name, str) and first.setdefault(name, place) != place:
            findings.append(Finding(f"{place}.name", f"{quoted(name)} is already the name at {first[name]}"))
