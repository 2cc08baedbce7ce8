"""Small kernel files, read with three system calls: a sampler reads hundreds at a time, and pathlib would cost more."""

from __future__ import annotations

import os

_SIZE = 65_536


def read_bytes(path: str) -> bytes:
    """A file of the kernel's, whole but for its 64 KiB bound; empty when it is gone, unreadable or not there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, _SIZE)
    except OSError:  # a thread that ended in between: ESRCH
        return b""
    finally:
        os.close(fd)


def read_numbers(path: str) -> dict[str, int]:
    """A file of `name number` lines, such as cpu.stat; lines that are none are left out."""
    words = (line.split() for line in read_bytes(path).decode(errors="replace").splitlines())
    return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and pair[1].isdecimal()}
