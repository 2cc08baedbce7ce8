"""Where settings come from, lowest precedence first: defaults, a YAML file, the environment, flags.

Every source gives texts, and the same key parses them all. What any source says is checked, also where a later one
overrides it: a mistake that a flag hides today is in force when the flag goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from temper.errors import Finding
from temper.settings import yaml_file
from temper.settings.keys import Keys
from temper.settings.quoting import printable
from temper.settings.reading import did_you_mean

PREFIX = "TEMPER_"
CONFIG_VARIABLE = "TEMPER_CONFIG"  # names the file, so that a person in the agent's container sees what it reads
SET = "--set"
_LIKENESS = 0.8  # the prefix alone makes every two variables alike

# Variables with our prefix that others own: the test bed, the cluster's processes.
_OTHERS = ("TEMPER_TESTBED_", "TEMPER_CONTROLLER_", "TEMPER_DASHBOARD_")
# The kubelet describes each service of the namespace to every container: a service `temper-http` is TEMPER_HTTP_PORT.
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")


class Origin(StrEnum):
    """Which source a value came from."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Sources:
    """What a command was given, kept to read it anew.

    file: None for none. environ: the process's variables. flags: (flag, argument): `("--set", "commit.quiet_ms=5")`, or
    a flag that is named for a key, `("--node-name", "a")`.
    """

    file: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    flags: Sequence[tuple[str, str]] = ()


class Value(NamedTuple):
    """A value with where it came from. place: as a finding names it; empty for a default."""

    value: Any
    origin: Origin
    place: str


class _Given(NamedTuple):
    key: str
    text: str
    origin: Origin
    place: str


def read(
    sources: Sources, keys: Keys, findings: list[Finding], aliases: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Value]:
    """Each key's value of the highest precedence. A key with a wrong text has findings, and no value.

    aliases: key -> a variable that others set for us; our own variable wins over it.
    """
    values = {path: Value(key.default, Origin.DEFAULT, "") for path, key in keys.items()}
    wrong: set[str] = set()
    for given in _all(sources, keys, findings, aliases):
        try:
            values[given.key] = Value(keys[given.key].parse(given.text), given.origin, given.place)
        except ValueError as error:
            findings.append(Finding(given.place, str(error)))
            wrong.add(given.key)
    return {path: value for path, value in values.items() if path not in wrong}


def _all(sources: Sources, keys: Keys, findings: list[Finding], aliases: Mapping[str, str]) -> Iterator[_Given]:
    """Lowest precedence first."""
    yield from _file(sources, keys, findings)
    yield from _variables(sources.environ, keys, findings, aliases)
    yield from _flags(sources.flags, keys, findings)


def _file(sources: Sources, keys: Keys, findings: list[Finding]) -> list[_Given]:
    if sources.file is None:
        return []
    scalars = yaml_file.read(sources.file, keys, findings)
    return [_Given(scalar.key, scalar.text, Origin.FILE, scalar.place) for scalar in scalars]


def variable(path: str) -> str:
    """A key's environment variable: `commit.quiet_ms` -> `TEMPER_COMMIT_QUIET_MS`."""
    return f"{PREFIX}{path.replace('.', '_').upper()}"


def _variables(
    environ: Mapping[str, str], keys: Keys, findings: list[Finding], aliases: Mapping[str, str]
) -> Iterator[_Given]:
    for path, alias in aliases.items():
        if alias in environ:
            yield _Given(path, environ[alias], Origin.ENVIRONMENT, f"env {alias}")
    known = {variable(path): path for path in keys}
    for name in sorted(environ):
        if name in known:
            yield _Given(known[name], environ[name], Origin.ENVIRONMENT, f"env {name}")
        elif _is_meant_for_us(name):
            hint = did_you_mean(name, known, _LIKENESS)
            findings.append(Finding(f"env {printable(name)}", f"unknown setting{hint}"))


def _is_meant_for_us(name: str) -> bool:
    others = name == CONFIG_VARIABLE or name.startswith(_OTHERS) or _SERVICE_LINK.fullmatch(name)
    return name.startswith(PREFIX) and not others


def _flags(flags: Sequence[tuple[str, str]], keys: Keys, findings: list[Finding]) -> Iterator[_Given]:
    seen: set[str] = set()
    for flag, argument in flags:
        key, equals, text = argument.partition("=") if flag == SET else (_named(flag), "=", argument)
        place = f"{flag} {printable(key)}" if flag == SET else flag
        if not equals:
            findings.append(Finding(place, "has no value; write --set section.key=value"))
        elif key not in keys:
            findings.append(Finding(place, keys.unknown(key)))
        elif key in seen:
            findings.append(Finding(place, f"{key} is already set by another flag"))
        else:
            seen.add(key)
            yield _Given(key, text, Origin.FLAG, place)


def _named(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")
