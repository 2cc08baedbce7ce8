"""Which texts a setting takes, and what a file of workloads may name. Bounds of numbers are at their keys."""

from __future__ import annotations

import re

from temper.plan.tiers import LEAST_CEILING_MILLICPU
from temper.plan.units import format_millicpu, parse_millicpu

MAX_GLOB = 4096  # the kernel's longest path

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_MAX_SUBDOMAIN = 253
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_MAX_PORT = 65_535
_MAGIC = frozenset("*?[")


def is_node_name(text: str) -> bool:
    """An RFC 1123 subdomain, as the API server checks it, or empty."""
    return not text or (len(text) <= _MAX_SUBDOMAIN and _SUBDOMAIN.fullmatch(text) is not None)


def is_path(text: str) -> bool:
    """An absolute path."""
    return text.startswith("/")


def is_path_or_empty(text: str) -> bool:
    """An absolute path, or empty."""
    return not text or is_path(text)


def is_cgroup(text: str) -> bool:
    """The path of one cgroup below the cgroup root."""
    return bool(text) and not (glob_problem(text) or _MAGIC & set(text))


def is_ceiling_or_empty(text: str) -> bool:
    """What `parse_ceiling_millicpu` takes, or empty."""
    try:
        return not text or parse_ceiling_millicpu(text) > 0
    except ValueError:
        return False


def parse_ceiling_millicpu(value: object) -> int:
    """Thousandths of a cpu that a tier may use; ValueError says what is allowed."""
    millicpu = parse_millicpu(value)
    if millicpu < LEAST_CEILING_MILLICPU:
        least = format_millicpu(LEAST_CEILING_MILLICPU)
        raise ValueError(f"{format_millicpu(millicpu)} is less than the least number of cpus, {least}")
    return millicpu


def is_listen(text: str) -> bool:
    """What `parse_listen` takes."""
    try:
        parse_listen(text)
    except ValueError:
        return False
    return True


def parse_listen(text: str) -> tuple[str, int] | None:
    """The address and port of `:9100`, `127.0.0.1:9100` or `[::1]:9100`; an empty address means all of them.

    None for an empty text: off. ValueError when it is none of these.
    """
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not _PORT.fullmatch(port) or not 0 < int(port) <= _MAX_PORT or not text.endswith(f":{port}"):
        raise ValueError(f"no port from 1 to {_MAX_PORT}")
    if host:
        import ipaddress

        bracketed = host.startswith("[") and host.endswith("]")
        host = str(ipaddress.IPv6Address(host[1:-1]) if bracketed else ipaddress.IPv4Address(host))
    return host, int(port)


def glob_problem(glob: str) -> str:
    """What is wrong with a cgroup glob, as the rest of a sentence; empty when it is fine."""
    parts = glob.split("/")
    checks = (
        ("\0" in glob, "has a NUL in it"),
        (len(glob) > MAX_GLOB, f"is longer than {MAX_GLOB} characters"),
        (glob.startswith("/"), "is not relative: leave the first slash out, it counts from the cgroup root"),
        ("" in parts, "has an empty component (two slashes, or one at the end)"),
        ("." in parts or ".." in parts, "has a . or .. in it"),
        (
            any("**" in part and part != "**" for part in parts),
            "has ** beside other characters: ** stands alone",
        ),
    )
    return next((message for wrong, message in checks if wrong), "")
