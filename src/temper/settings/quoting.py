"""What others wrote, made safe to print: a name with escape sequences must not drive somebody's terminal."""

from __future__ import annotations

_SHOWN = 80  # characters of a value that a message repeats; the place tells where the rest is


def printable(text: str) -> str:
    """The text with everything unprintable (controls, undecodable bytes) written as an escape."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def quoted(value: object) -> str:
    """The value as a message shows it: text in double quotes, long values shortened."""
    try:
        shown = printable(str(value)[: _SHOWN + 1])
    except ValueError:  # Python prints no integer of more than 4300 digits, but TOML reads one in hexadecimal
        shown = "a huge number"
    if len(shown) > _SHOWN:
        shown = shown[:_SHOWN] + "…"
    return f'"{shown}"' if isinstance(value, str) else shown
