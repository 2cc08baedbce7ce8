"""The load programs of bench/load, built on the host for the guest: static, so that they need nothing there."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LOAD = Path(__file__).resolve().parent / "load"
GCC = ("gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-pthread")
CLANG = ("clang-19", "-g", "-O2", "-target", "bpf", "-mcpu=v3")


def build(names: Sequence[str], into: Path) -> None:
    """Compile these programs into a folder. CalledProcessError when one does not compile."""
    into.mkdir(parents=True, exist_ok=True)
    commands = [[*GCC, "-o", str(into / name), str(LOAD / f"{name}.c"), "-lm"] for name in names]
    with ThreadPoolExecutor() as together:
        list(together.map(lambda command: subprocess.run(command, check=True), commands))


def build_bpf(name: str, into: Path) -> None:
    """Compile one BPF program to `<name>.bpf.o`."""
    into.mkdir(parents=True, exist_ok=True)
    multiarch = subprocess.run(["gcc", "-print-multiarch"], check=True, capture_output=True, text=True).stdout.strip()
    source, target = LOAD / f"{name}.bpf.c", into / f"{name}.bpf.o"
    subprocess.run([*CLANG, f"-I/usr/include/{multiarch}", "-c", str(source), "-o", str(target)], check=True)
