"""Settings that a command line may change: the fields of a frozen dataclass, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Settings = TypeVar("Settings", bound=DataclassInstance)
else:
    Settings = TypeVar("Settings")


def changed(settings: Settings, words: Sequence[str]) -> Settings:
    """The settings with `name=value` words applied; ValueError names what is wrong."""
    kinds = {field.name: type(getattr(settings, field.name)) for field in fields(settings)}
    values: dict[str, object] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in kinds:
            raise ValueError(f"{name!r} is no setting; they are {', '.join(kinds)}")
        try:
            values[name] = kinds[name](text)
        except ValueError:
            raise ValueError(f"{name}={text}: {text!r} is no {kinds[name].__name__}") from None
    return replace(settings, **values)
