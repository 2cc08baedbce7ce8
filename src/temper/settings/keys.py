"""A settings tree as a flat list of keys, read off its frozen structs.

A struct's field is the one home of a key: its type and bounds, default, unit (in the name), words for people, and
whether a running agent can adopt a change. Validation, `temper config` and the reference page all read them here.

msgspec converts and checks, one key at a time: on a whole tree it would stop at the first finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import Meta

from temper.settings.quoting import quoted
from temper.settings.reading import did_you_mean

_Tree = TypeVar("_Tree", bound=msgspec.Struct)


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every part of a settings tree: each field is a section or an annotated key, and has a default."""


def live(about: str, **rules: Any) -> Meta:
    """A key that a running agent adopts. See `restart` for the rules."""
    return _meta(about, live=True, **rules)


def restart(about: str, **rules: Any) -> Meta:
    """A key that a new process adopts. about: sentences for people.

    Rules: ge and le, the bounds of a number; for a text is_valid, a predicate, and allowed, its meaning in words that
    complete "... is not".
    """
    return _meta(about, live=False, **rules)


def _meta(
    about: str,
    *,
    live: bool,
    ge: int | None = None,
    le: int | None = None,
    allowed: str = "",
    is_valid: Callable[[str], bool] | None = None,
) -> Meta:
    return Meta(description=about, ge=ge, le=le, extra={"live": live, "allowed": allowed, "is_valid": is_valid})


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. path: `section.name`; live: adopted without a restart; allowed: completes "... is not"."""

    path: str
    type: Any
    default: Any
    about: str
    live: bool
    allowed: str
    is_valid: Callable[[str], bool] | None

    def parse(self, text: str) -> Any:
        """The value that a person wrote as text. ValueError says what was seen and what is allowed."""
        try:
            value = msgspec.convert(text, self.type, strict=False)
        except msgspec.ValidationError:
            value = None
        # No setting has a use for an unprintable character, and every one of them would reach somebody's terminal.
        if value is None or not text.isprintable() or (self.is_valid is not None and not self.is_valid(text)):
            raise ValueError(f"{quoted(text)} is not {self.allowed}")
        return value


class Keys(Mapping[str, Key]):
    """The keys of a tree by path, in the order of its fields."""

    def __init__(self, tree: type[msgspec.Struct]) -> None:
        self._keys = {key.path: key for key in _walk(tree, "")}

    def __getitem__(self, path: str) -> Key:
        return self._keys[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def below(self, section: str) -> list[str]:
        """Names of the keys and sections directly in a section (empty: the tree); empty when it is not one."""
        prefix = f"{section}." if section else ""
        return list(dict.fromkeys(path[len(prefix) :].split(".")[0] for path in self if path.startswith(prefix)))

    def unknown(self, path: str) -> str:
        """Why a path is no key: as the rest of a sentence, with what was probably meant and what is allowed there."""
        if self.below(path):
            return f"is a section; set one of its keys: {', '.join(self.below(path))}"
        section, _, name = path.rpartition(".")
        siblings = self.below(section)
        hint = did_you_mean(name, siblings) if siblings else did_you_mean(path, self)
        hint = hint or self._meant_elsewhere(name)
        return f"unknown key{hint}; allowed are {', '.join(siblings or self.below(''))}"

    def _meant_elsewhere(self, name: str) -> str:
        """The key of this very name in another section."""
        found = next((path for path in self if path.endswith(f".{name}")), "")
        return f', did you mean "{found}"?' if found else ""


def _walk(tree: type[msgspec.Struct], prefix: str) -> Iterator[Key]:
    for field in msgspec.structs.fields(tree):
        path = f"{prefix}{field.name}"
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _walk(field.type, f"{path}.")
        else:
            yield _key(path, field)


def _key(path: str, field: msgspec.structs.FieldInfo) -> Key:
    kind, meta = get_args(field.type)
    extra = meta.extra
    allowed = extra["allowed"] or _allowed(kind, meta)
    return Key(path, field.type, field.default, meta.description, extra["live"], allowed, extra["is_valid"])


def _allowed(kind: type, meta: Meta) -> str:
    if kind is bool:
        return "true or false"
    if issubclass(kind, StrEnum):
        return f"one of {', '.join(kind)}"
    return f"a whole number from {meta.ge} to {meta.le}"


def as_text(value: Any) -> str:
    """A value as people write it in a file."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) or "''"


def flatten(tree: msgspec.Struct) -> dict[str, Any]:
    """A tree's values by path, in the order of its keys."""
    flat: dict[str, Any] = {}
    for name in tree.__struct_fields__:
        value = getattr(tree, name)
        if isinstance(value, msgspec.Struct):
            flat |= {f"{name}.{below}": deep for below, deep in flatten(value).items()}
        else:
            flat[name] = value
    return flat


def build(tree: type[_Tree], values: Mapping[str, Any]) -> _Tree:
    """The tree of these values by path, which were parsed before. ValueError when a struct refuses a combination."""
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(tree):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            prefix = f"{field.name}."
            below = {path.removeprefix(prefix): value for path, value in values.items() if path.startswith(prefix)}
            fields[field.name] = build(field.type, below)
        elif field.name in values:
            fields[field.name] = values[field.name]
    return tree(**fields)
