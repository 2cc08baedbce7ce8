"""Disk images from folders."""

from __future__ import annotations

import os
from pathlib import Path

from testbed.progress import run_tool

MIB = 1 << 20


def make_ext4(tree: Path, image: Path, *, free_mib: int = 64, what: str = "") -> None:
    """An ext4 image with the contents of a folder, owned by root, with some free space; the file is sparse.

    Whoever builds it, the files belong to root; inside fakeroot they keep the owners that it remembers.
    """
    used = 0
    for path, _folders, files in os.walk(tree):
        used += 4096 + sum((os.lstat(Path(path, name)).st_size + 4095) // 4096 * 4096 for name in files)
    inodes = 2048 + 2 * sum(1 + len(files) for _path, _folders, files in os.walk(tree))
    size_mib = used * 11 // 10 // MIB + free_mib + 32
    options = "root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    flags = ["-q", "-F", "-m", "0", "-N", str(inodes), "-O", "^resize_inode", "-E", options]
    fakeroot = [] if os.geteuid() == 0 else ["fakeroot"]
    run_tool([*fakeroot, "mke2fs", "-t", "ext4", *flags, "-d", tree, image, f"{size_mib}M"], what)
