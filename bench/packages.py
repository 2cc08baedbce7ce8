"""Debian packages that a scenario needs in the guest, beyond those of the test bed's image.

They are chosen against the image's own list of installed packages, so libraries that it has are not fetched again; then
fetched by the test bed's apt, extracted, and kept in its cache. In the guest they lie in a folder in memory, not in the
root file system: programs find their libraries there by LD_LIBRARY_PATH.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from testbed import apt, cache, host, image
from testbed.progress import TestbedError, run_tool

FORMAT = "1"  # of an entry's folder; part of its key
# What programs need: no documents, no settings; of what is shared, what PostgreSQL makes a database from.
PARTS = ("usr/bin", "usr/lib", "usr/libexec", "usr/share/postgresql")
_INST = re.compile(r"^Inst (\S+) ", re.MULTILINE)


def fetch(names: Sequence[str]) -> Path:
    """A folder with these packages and all that they depend on; fetched when it is missing. TestbedError."""
    host.ensure()
    root = image.get()

    def build(folder: Path) -> None:
        archive = apt.debian_archive(apt.machine_sources())
        index = apt.Index(archive.line(image.SUITE) + "\n", cache.folder() / "apt" / image.SUITE)
        with cache.locked(f"apt-{image.SUITE}"):
            index.refresh()
        installed = root.tree / "var/lib/dpkg/status"
        options = [*index.options(), "-o", f"Dir::State::status={installed}", "--no-install-recommends"]
        wanted = chosen(run_tool(["apt-get", *options, "--simulate", "install", *names]))
        if not wanted:
            raise TestbedError(f"apt would install nothing for {', '.join(names)}: the image has them already")
        index.unpack(wanted, folder / "tree", f"packages: fetching {', '.join(names)} ({len(wanted)} packages)")

    name = cache.key(FORMAT, image.name(), *names)
    return cache.entry("bench-packages", name, build, keep=6) / "tree"


def chosen(simulated: str) -> list[str]:
    """The packages that `apt-get --simulate install` says it would install."""
    return _INST.findall(simulated)


def copy(tree: Path, into: Path) -> None:
    """What programs need of the packages."""
    for part in PARTS:
        if (tree / part).is_dir():
            shutil.copytree(tree / part, into / part, symlinks=True)
