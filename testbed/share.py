"""A folder of the host, writable in the guest: virtiofs, and the daemon behind it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from testbed import apt, cache
from testbed.children import start
from testbed.progress import TestbedError, run_tool

PLACES = ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/lib/virtiofsd")
# Where the system's QEMU comes without one: the release that still had it in this package.
OLD_SUITE, OLD_PACKAGE = "bookworm", "qemu-system-common"


def daemon() -> Path:
    """The virtiofsd program: the system's, or the one of Debian 12's QEMU, fetched into the cache."""
    for place in (*PLACES, shutil.which("virtiofsd") or ""):
        if place and os.access(place, os.X_OK):
            return Path(place)
    name = f"{OLD_SUITE}-1"

    def build(folder: Path) -> None:
        archive = apt.debian_archive(apt.machine_sources())
        index = apt.Index(archive.line(OLD_SUITE) + "\n", cache.folder() / "apt" / OLD_SUITE)
        index.refresh()
        index.unpack([OLD_PACKAGE], folder / "root", "share: fetching virtiofsd")
        (folder / "root/usr/lib/qemu/virtiofsd").rename(folder / "virtiofsd")
        shutil.rmtree(folder / "root")

    return cache.entry("virtiofsd", name, build) / "virtiofsd"


def _is_rust(program: Path) -> bool:
    """Whether it is the present virtiofsd, which has other options and needs no root, or QEMU's old one."""
    try:
        return "--shared-dir" in run_tool([program, "--help"])
    except TestbedError as error:
        if os.geteuid() == 0:
            raise
        raise TestbedError("--share needs root here (sudo), or a virtiofsd such as Debian 13's") from error


def serve(folder: Path, log: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start the daemon for a folder; return it and the socket that QEMU talks to it on.

    The socket is connected here and its name removed at once, so nothing else can connect and no file stays.
    """
    program = daemon()
    rust = _is_rust(program)
    with tempfile.TemporaryDirectory(prefix="temper-testbed-") as place:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(f"{place}/share")
        listening.listen(1)
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"{place}/share")
    sandbox = "chroot" if os.geteuid() == 0 else "none"
    if rust:
        options = [f"--shared-dir={folder}", f"--sandbox={sandbox}", "--cache=auto"]
    else:
        options = ["-o", f"source={folder}", "-o", f"sandbox={sandbox}", "-o", "cache=auto"]
    process = start([str(program), f"--fd={listening.fileno()}", *options], log, keep=[listening])
    listening.close()
    return process, client
