"""A settings tree as a YAML file: read into (key, text, place), with the line of each, and written back.

YAML because a ConfigMap holds the file and a chart renders it: people write YAML around it already, and PyYAML comes
with the API client anyway. YAML's guesses at types (`off`, `010` and `1:30` are no texts to it) are not used: a scalar
stays the text that was written, and the key's own type decides, as for an environment variable or a flag.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from temper.errors import Finding, InvalidInput
from temper.settings.keys import Keys
from temper.settings.quoting import printable, quoted
from temper.settings.reading import read_text

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 1 << 15  # every key with a comment takes a tenth of it; the parser takes a second for a mebibyte
_UNSET = frozenset(("", "~", "null"))  # a key without a value, which is also what a chart renders for a null


class Scalar(NamedTuple):
    """One key of the file. place: `temper.yaml:3: commit.quiet_ms`."""

    key: str
    text: str
    place: str


def read(path: Path, keys: Keys, findings: list[Finding]) -> list[Scalar]:
    """The file's scalars. What is wrong with it, even that there is none, is added to the findings."""
    source = printable(str(path))
    try:
        root = _compose(read_text(path, source, MAX_BYTES), source)
    except InvalidInput as invalid:
        findings.extend(invalid.findings)
        return []
    reader = _Reader(source, keys, findings)
    return [] if root is None else list(reader.section(root, "", source))


def _compose(text: str, source: str) -> yaml.Node | None:
    """The file as nodes, which keep their lines. None for an empty file."""
    import yaml  # 13 ms that only a process with a file spends

    try:
        # libyaml's composer recurses in C without a limit: the one in Python meets Python's.
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        raise InvalidInput([_syntax_finding(error, source)]) from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        # PyYAML lets Python's own errors through for an escape such as "\\UFFFFFFFF", a huge number, deep nesting.
        reason = str(error).partition("\n")[0]
        raise InvalidInput([Finding(source, f"is not usable YAML: {printable(reason)}")]) from error
    return node


def _syntax_finding(error: yaml.MarkedYAMLError, source: str) -> Finding:
    mark = error.problem_mark or error.context_mark
    place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
    what = " ".join(part for part in (error.context, error.problem) if part)
    return Finding(place, f"is not YAML: {printable(what)}")


class _Reader:
    """Walks the nodes of one file along the keys of the tree, and no deeper."""

    def __init__(self, source: str, keys: Keys, findings: list[Finding]) -> None:
        self._source = source
        self._keys = keys
        self._findings = findings
        self._seen: dict[str, int] = {}  # the line of each key and section

    def section(self, node: Any, section: str, place: str) -> Iterator[Scalar]:
        """The scalars of a section (empty: the whole file), in the file's order."""
        if node.id == "scalar" and _is_unset(node):
            return
        if node.id != "mapping":
            allowed = ", ".join(self._keys.below(section))
            self._findings.append(Finding(place, f"{_shown(node)} is not a section with keys; allowed are {allowed}"))
            return
        for name, value in node.value:
            yield from self._entry(name, value, section)

    def _entry(self, name: Any, value: Any, section: str) -> Iterator[Scalar]:
        line = name.start_mark.line + 1
        key = f"{section}{'.' if section else ''}{name.value if name.id == 'scalar' else '?'}"
        place = f"{self._source}:{line}: {printable(key)}"
        if (problem := self._problem(name, key, section, line)) is not None:
            self._findings.append(Finding(place, problem))
        elif key not in self._keys:
            yield from self.section(value, key, place)
        elif value.id != "scalar":
            self._findings.append(Finding(place, f"{_shown(value)} is not {self._keys[key].allowed}"))
        elif not _is_unset(value):
            yield Scalar(key, value.value, place)

    def _problem(self, name: Any, key: str, section: str, line: int) -> str | None:
        """What is wrong with the key itself."""
        if name.id != "scalar":
            return f"{_shown(name)} is not a key"
        if name.value not in self._keys.below(section):
            return self._keys.unknown(key) if "." not in name.value else "a dot is no key; nest the sections"
        if key in self._seen:
            return f"is already set in line {self._seen[key]}"
        self._seen[key] = line
        return None


def _is_unset(node: Any) -> bool:
    plain = node.style is None
    return plain and node.value.lower() in _UNSET


def _shown(node: Any) -> str:
    """A node as a message shows it."""
    return quoted(node.value) if node.id == "scalar" else f"a {node.id}"


def dump(values: Mapping[str, Any]) -> str:
    """Values by path (`keys.flatten`) as a file that reads back as them."""
    import yaml

    nested: dict[str, Any] = {}
    for path, value in values.items():
        *sections, name = path.split(".")
        inner = nested
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[name] = str(value) if isinstance(value, str) else value  # an enum is a text here
    text: str = yaml.safe_dump(nested, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text
