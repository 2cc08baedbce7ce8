"""A 6.12 kernel with sched_ext on, built from Debian's source: Debian's own 6.12 has it off."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from testbed import apt, cache, host
from testbed.progress import TestbedError, run_tool, say

SERIES = "6.12"
FORMAT = "1"  # of how it is built, and of an entry's folder; part of its key
SUITE = "trixie"
PACKAGE = f"linux-source-{SERIES}"
FRAGMENT = Path(__file__).with_name(f"kernel-{SERIES}.config")
IMAGE = "arch/x86/boot/bzImage"
# Half a gigabyte of the source, and nothing of it is used here.
LEFT_OUT = ("Documentation/*/*", "drivers/gpu/drm/amd/include", "tools/testing", "tools/perf")
# The same inputs give the same kernel, whoever builds it and when.
VARIABLES = {"KBUILD_BUILD_TIMESTAMP": "2026-01-01", "KBUILD_BUILD_USER": "temper", "KBUILD_BUILD_HOST": "testbed"}

# Puts an image and its config into an entry of the cache.
Assemble = Callable[[Path, Path, Path], None]


def entry(assemble: Assemble) -> Path:
    """The kernel's folder in the cache, built when it is missing."""
    host.ensure_kernel_tools()
    index = _index()
    version = index.candidate(PACKAGE)
    tools = [run_tool([tool, "--version"]).splitlines()[0] for tool in ("gcc", "ld", "pahole")]
    name = f"{version.partition('-')[0]}-{cache.key(FORMAT, version, FRAGMENT.read_text(), *tools)}"
    return cache.entry("built-kernels", name, lambda folder: _build(folder, index, assemble), keep=2)


def lost_lines(fragment: str, config: str) -> list[str]:
    """The fragment's lines that the finished config does not have: an option whose condition is not met, or gone."""
    wanted = [line for line in fragment.splitlines() if re.match(r"CONFIG_|# CONFIG_\w+ is not set$", line)]
    have = set(config.splitlines())
    names = {line.partition("=")[0] for line in have if line.startswith("CONFIG_")}
    return [
        line
        for line in wanted
        # one that cannot be chosen is not mentioned at all
        if line not in have and (line.startswith("CONFIG_") or line.split()[1] in names)
    ]


def _index() -> apt.Index:
    archive = apt.debian_archive(apt.machine_sources())
    index = apt.Index(archive.line(SUITE) + "\n", cache.folder() / "apt" / SUITE)
    with cache.locked(f"apt-{SUITE}"):
        index.refresh()
    return index


def _build(folder: Path, index: apt.Index, assemble: Assemble) -> None:
    started = time.monotonic()
    package, tree = folder / "package", folder / "tree"
    index.unpack([PACKAGE], package, f"kernel {SERIES}: fetching its source")
    tree.mkdir()
    tarball = package / f"usr/src/{PACKAGE}.tar.xz"
    left_out = [f"--exclude={PACKAGE}/{name}" for name in LEFT_OUT]
    what = f"kernel {SERIES}: unpacking its source"
    run_tool(["tar", "-C", tree, "--strip-components=1", *left_out, "-xf", tarball], what)
    shutil.rmtree(package)
    make: list[str | os.PathLike[str]] = ["nice", "-n", "19", "make", "-C", tree, f"-j{os.cpu_count()}"]
    environment = {**os.environ, **VARIABLES, "KCONFIG_ALLCONFIG": str(FRAGMENT)}
    run_tool([*make, "allnoconfig"], env=environment)
    if lost := lost_lines(FRAGMENT.read_text(), (tree / ".config").read_text()):
        raise TestbedError(f"{FRAGMENT.name}: {SERIES} does not take {', '.join(lost)}")
    run_tool([*make, "bzImage"], f"kernel {SERIES}: building it (about a quarter of an hour)", env=environment)
    assemble(folder, tree / IMAGE, tree / ".config")
    shutil.rmtree(tree)
    say(f"kernel {SERIES}: built in {time.monotonic() - started:.0f} s")
