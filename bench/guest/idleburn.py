"""Attaches bench/load/idleburn.bpf.c: cpus of constant speed under the virtual clock (its header says why).

ctypes on libbpf, which the guest has for the product. Everything is undone when the process ends.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from pathlib import Path

PERF_EVENT_OPEN = 298  # x86_64
PERF_TYPE_SOFTWARE = 1
PERF_COUNT_SW_BPF_OUTPUT = 10
PERF_SAMPLE_RAW = 1 << 10
# struct perf_event_attr up to `wakeup_events`: type, size, config, sample_period, sample_type, read_format, flags.
ATTR = struct.Struct("=IIQQQQQII")
ATTR_BYTES = 128


class IdleBurnError(Exception):
    """The idle program could not be loaded or attached; cpu speeds would differ between phases."""


class IdleBurn:
    """The attached program; keep the object alive as long as idle cpus shall use up their turns."""

    def __init__(self, program: Path) -> None:
        self._libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._buffers: list[mmap.mmap] = []
        self._object = self._open(program)
        self._fill_wakeups()
        self._attach()

    def _call(self, name: str, *arguments: object, pointer: bool = False) -> int:
        function = getattr(self._libbpf, name)
        function.restype = ctypes.c_void_p if pointer else ctypes.c_int
        result = function(*arguments)
        if (pointer and not result) or (not pointer and result < 0):
            raise IdleBurnError(f"{name}: {os.strerror(ctypes.get_errno() or -(result or 0))}")
        return int(result)

    def _open(self, program: Path) -> ctypes.c_void_p:
        path = ctypes.c_char_p(os.fsencode(program))
        opened = ctypes.c_void_p(self._call("bpf_object__open", path, pointer=True))
        self._call("bpf_object__load", opened)
        return opened

    def _fill_wakeups(self) -> None:
        wakeups = self._call("bpf_object__find_map_fd_by_name", self._object, ctypes.c_char_p(b"wakeups"))
        for cpu in range(os.cpu_count() or 1):
            event = self._open_event(cpu)
            # Mapped read-only: the kernel overwrites old records, so it never fills up without a reader.
            self._buffers.append(mmap.mmap(event, 2 * mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ))
            key, value = ctypes.c_uint32(cpu), ctypes.c_uint32(event)
            self._call("bpf_map_update_elem", wakeups, ctypes.byref(key), ctypes.byref(value), ctypes.c_uint64(0))

    def _open_event(self, cpu: int) -> int:
        attr = ATTR.pack(PERF_TYPE_SOFTWARE, ATTR_BYTES, PERF_COUNT_SW_BPF_OUTPUT, 1, PERF_SAMPLE_RAW, 0, 0, 1, 0)
        padded = ctypes.create_string_buffer(attr, ATTR_BYTES)
        event = self._libc.syscall(PERF_EVENT_OPEN, padded, -1, cpu, -1, 0)
        if event < 0:
            raise IdleBurnError(f"perf_event_open on cpu {cpu}: {os.strerror(ctypes.get_errno())}")
        return int(event)

    def _attach(self) -> None:
        name = ctypes.c_char_p(b"burn_turn")
        program = ctypes.c_void_p(self._call("bpf_object__find_program_by_name", self._object, name, pointer=True))
        self._link = self._call("bpf_program__attach", program, pointer=True)
