"""The one door to libbpf and libc. Everything behind it is cffi; everything before it is Python values.

Functions that fail raise OSError with the call's name, or Refused where the reason is the library itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from temper.engine._bpf import binding
from temper.errors import Refused

ffi: Any = binding.ffi
OBJECT = Path(__file__).parent / "_bpf" / "temper.bpf.o"

# 1.4 is the first that accepts struct_ops members the kernel doesn't know when their slot is zero.
MINIMUM = (1, 4)
PR_SET_PDEATHSIG = 1  # linux/prctl.h
MCL_CURRENT, MCL_FUTURE = 1, 2  # asm-generic/mman.h

BTF_KIND_STRUCT, BTF_KIND_FUNC = 4, 12  # linux/btf.h


def open_library() -> Any:
    """The system's libbpf, or Refused with what to install."""
    remedy = "install libbpf 1.4 or newer: Debian 13's libbpf1, on Debian 12 from bookworm-backports"
    try:
        library = ffi.dlopen("libbpf.so.1")
    except OSError as error:
        raise Refused(f"libbpf is not installed: {error}", remedy=remedy) from error
    version = (library.libbpf_major_version(), library.libbpf_minor_version())
    if version < MINIMUM:
        raise Refused(f"libbpf {version[0]}.{version[1]} is too old, 1.4 is needed", remedy=remedy)
    return library


def version(library: Any) -> str:
    """`1.5` for example."""
    return f"{library.libbpf_major_version()}.{library.libbpf_minor_version()}"


def constant(name: str) -> int:
    """The value of one of the ABI header's enumerators."""
    return int(ffi.integer_const(name))


def check(result: int, call: str) -> int:
    """Pass a non-negative result on; raise OSError for a negative errno."""
    if result < 0:
        raise OSError(-result, f"{call}: {os.strerror(-result)}")
    return result


def check_pointer(pointer: Any, call: str) -> Any:
    """Pass a pointer on; raise OSError from errno for NULL, as libbpf 1.x reports."""
    if pointer == ffi.NULL:
        raise OSError(ffi.errno, f"{call}: {os.strerror(ffi.errno)}")
    return pointer


def die_with_parent(parent: int) -> bool:
    """Ask for SIGKILL when the parent dies. False when it already had: the signal will never come."""
    libc = ffi.dlopen(None)
    if libc.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0) != 0:
        raise OSError(ffi.errno, "prctl(PR_SET_PDEATHSIG)")
    return os.getppid() == parent


def lock_memory() -> bool:
    """Keep every page in memory, so that a heartbeat is never late for want of one. False when not permitted."""
    return bool(ffi.dlopen(None).mlockall(MCL_CURRENT | MCL_FUTURE) == 0)


@contextmanager
def captured_log() -> Iterator[list[str]]:
    """libbpf prints its warnings to stderr: gather them instead, so that a refusal can quote the last lines."""
    lines: list[str] = []
    saved = os.dup(2)
    with os.fdopen(os.memfd_create("libbpf-log"), "w+b") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            sink.seek(0)
            lines.extend(sink.read().decode(errors="replace").splitlines())


class Btf:
    """Types of a kernel or an object."""

    def __init__(self, library: Any, pointer: Any, *, owned: bool) -> None:
        self._library = library
        self._pointer = pointer
        self._owned = owned

    @classmethod
    def of_kernel(cls, library: Any) -> Btf:
        """The running kernel's own types."""
        return cls(library, check_pointer(library.btf__load_vmlinux_btf(), "btf__load_vmlinux_btf"), owned=True)

    def close(self) -> None:
        """Free it, if it is ours to free."""
        if self._owned:
            self._library.btf__free(self._pointer)

    def find(self, name: str, kind: int) -> int:
        """The type's id, or 0 when there is none."""
        return max(0, int(self._library.btf__find_by_name_kind(self._pointer, name.encode(), kind)))

    def members(self, struct: str) -> dict[str, int]:
        """Byte offset of each member of a structure; empty when the type is unknown."""
        found = self.find(struct, BTF_KIND_STRUCT)
        return {self._name(m.name_off): (m.offset & 0xFFFFFF) // 8 for m in self._tail(found, "struct btf_member")}

    def parameters(self, function: str) -> list[str] | None:
        """Names of a function's parameters, or None when the kernel has no such function."""
        found = self.find(function, BTF_KIND_FUNC)
        if not found:
            return None
        prototype = self._library.btf__type_by_id(self._pointer, found).size  # btf_type.type shares the field
        return [self._name(p.name_off) for p in self._tail(prototype, "struct btf_param")]

    def _name(self, offset: int) -> str:
        return str(ffi.string(self._library.btf__name_by_offset(self._pointer, offset)).decode())

    def _tail(self, type_id: int, element: str) -> list[Any]:
        """The records that follow a type in memory; their number is in the low 16 bits of `info`."""
        if not type_id:
            return []
        head = self._library.btf__type_by_id(self._pointer, type_id)
        first = ffi.cast(f"{element} *", head + 1)
        return [first[i] for i in range(head.info & 0xFFFF)]
