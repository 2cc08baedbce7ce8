"""The text of a file that a person wrote, and what a misspelt word was meant to be."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from temper.errors import Finding, InvalidInput


def read_text(path: Path, source: str, max_bytes: int) -> str:
    """The file's text; findings name `source`. InvalidInput when it is missing, unreadable, too large or not UTF-8."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise InvalidInput([Finding(source, "there is no such file")]) from error
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput([Finding(source, f"can't be read: {reason}")]) from error
    if len(data) > max_bytes:
        raise InvalidInput([Finding(source, f"is larger than {max_bytes} bytes")])
    return _decode(data, source)


def _decode(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")  # some editors write a byte-order mark
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise InvalidInput([Finding(f"{source}:{line}", f"byte 0x{byte:02x} is not valid UTF-8")]) from error


def did_you_mean(word: str, known: Collection[str], likeness: float = 0.6) -> str:
    """`, did you mean "..."?` with the known word that is this alike (of 1); empty when none is."""
    import difflib

    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=likeness)
    return f', did you mean "{by_lower[close[0]]}"?' if close else ""
