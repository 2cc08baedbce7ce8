"""Quantities that people and kernels write: cpu amounts (kept as millicpu) and cpu lists (`0-3,8`)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import ROUND_CEILING, Context, Decimal

MILLI = 1000

# Bounds of sanity, far above any machine: a slip of the keyboard must not become a gigabyte of integers.
MAX_CPUS = 1_000_000
MAX_CPU_ID = 65_535

_SHOWN = 40  # characters of a wrong quantity that the message repeats
_ALLOWED = 'a number of cpus such as 2, 1.5, "0.5" or "1500m"'
_QUANTITY = re.compile(r"([0-9]{1,12})(?:\.([0-9]{0,12}))?(m?)", re.ASCII)
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", re.ASCII)

# The grammar of apimachinery's pkg/api/resource/quantity.go: a signed number, then an exponent or a suffix.
_KUBERNETES_QUANTITY = re.compile(
    r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:[eE]([+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII
)
_POWERS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_MILLI_BY_SUFFIX = {suffix: Decimal(MILLI).scaleb(power) for suffix, power in _POWERS.items()} | {
    f"{letter}i": Decimal(MILLI * 1024**power) for power, letter in enumerate("KMGTPE", start=1)
}
# Rounds up where digits are dropped, so that the last rounding is right as well. 100 digits hold every quantity
# below the bound exactly whose millicpu are a whole number. Without traps an overflow is infinity, and is clamped.
_UPWARDS = Context(prec=100, rounding=ROUND_CEILING, traps=[])


def parse_millicpu(value: object) -> int:
    """Thousandths of a cpu from an int or float (cpus) or a Kubernetes quantity (`"1500m"`, `"0.5"`).

    Rounded up to the next millicpu, as the API server does. ValueError says what is allowed.
    """
    return _from_text(value) if isinstance(value, str) else _from_number(value)


def _from_number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a {type(value).__name__} is not {_ALLOWED}")
    if not 0 <= value <= MAX_CPUS:  # nor nan; the value isn't repeated, it may have thousands of digits
        raise ValueError(f"the number of cpus is not from 0 to {MAX_CPUS}")
    # 1.005 * 1000 is 1004.9999999999999: take the noise of binary fractions off before rounding up.
    return math.ceil(round(value * MILLI, 6))


def _from_text(text: str) -> int:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text[:_SHOWN]}" is not {_ALLOWED}')
    whole, fraction, suffix = match[1], match[2] or "", match[3]
    scale = 1 if suffix else MILLI
    denominator: int = 10 ** len(fraction)
    millicpu = -(-int(whole + fraction) * scale // denominator)
    if millicpu > MAX_CPUS * MILLI:
        raise ValueError(f'"{text}" is not from 0 to {MAX_CPUS} cpus')
    return millicpu


def parse_quantity_millicpu(text: str) -> int:
    """Thousandths of a cpu from any Kubernetes quantity: `"100u"`, `"1e3"`, `"+.5k"`, `"1Ki"`; at most MAX_CPUS.

    Wider than `parse_millicpu`, which refuses what a person must have mistyped: here an API server has let the text
    pass, and what it lets pass a node has to live with. Rounded up to the next millicpu, as the API server does.
    ValueError when the text is no quantity, or is negative.
    """
    match = _KUBERNETES_QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text[:_SHOWN]}" is not a Kubernetes quantity such as 2, 1.5, 1500m, 1e3 or 2k')
    number, exponent, suffix = match[1], match[2] or "0", match[3] or ""
    millicpu = _UPWARDS.multiply(_UPWARDS.create_decimal(f"{number}e{exponent}"), _MILLI_BY_SUFFIX[suffix])
    if millicpu < 0:
        raise ValueError(f'"{text[:_SHOWN]}" is negative')
    return math.ceil(min(millicpu, Decimal(MAX_CPUS * MILLI)))


def format_millicpu(millicpu: int) -> str:
    """Cpus as people write them: 1500 -> `1.5`, 2000 -> `2`."""
    whole, rest = divmod(millicpu, MILLI)
    return f"{whole}.{rest:03d}".rstrip("0") if rest else str(whole)


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Ascending unique cpu ids of a kernel list (`0-3,8`); an empty text is an empty list.

    ValueError says what is allowed.
    """
    text = text.strip()
    cpus: set[int] = set()
    for part in text.split(",") if text else ():
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f'"{part}" is not a cpu or a range of cpus such as 8 or 0-3')
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last <= MAX_CPU_ID:
            raise ValueError(f'"{part}" does not ascend, or passes cpu {MAX_CPU_ID}')
        cpus.update(range(first, last + 1))
    return tuple(sorted(cpus))


def format_cpu_list(cpus: Iterable[int]) -> str:
    """The kernel's list of these cpu ids: (0, 1, 2, 3, 8) -> `0-3,8`; empty for none."""
    ranges: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if ranges and cpu == ranges[-1][1] + 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def counted(count: int, noun: str) -> str:
    """A count with its noun: `1 cpu`, `2 cpus`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
