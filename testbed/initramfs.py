"""The initial file system: busybox, the modules that find the disks, and this run's job."""

from __future__ import annotations

import gzip
import lzma
import stat
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from testbed.progress import TestbedError

APPLETS = ("cp", "insmod", "ln", "mkdir", "mount", "poweroff", "sh", "sleep", "switch_root")


@dataclass(slots=True)
class Archive:
    """A cpio archive in the `newc` format (Documentation/driver-api/early-userspace/buffer-format.rst)."""

    data: bytearray = field(default_factory=bytearray)
    inode: int = 1

    def folder(self, name: str) -> None:
        """A folder; its parents must be there."""
        self._add(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """A file."""
        self._add(name, stat.S_IFREG | mode, content)

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def finish(self) -> bytes:
        """The whole archive."""
        self._add("TRAILER!!!", 0, b"")
        return bytes(self.data)

    def _add(self, name: str, mode: int, content: bytes) -> None:
        encoded = name.encode() + b"\0"
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        self.data += b"070701" + b"".join(b"%08x" % number for number in fields) + encoded
        self._pad()
        self.data += content
        self._pad()

    def _pad(self) -> None:
        self.data += bytes(-len(self.data) % 4)


def build(init: bytes, busybox: Path, modules: list[Path], job: dict[str, bytes]) -> bytes:
    """An initramfs whose /init is this script, with /modules in the order to load, and /job."""
    archive = Archive()
    for name in ("bin", "dev", "proc", "sys", "mnt", "modules", "job"):
        archive.folder(name)
    archive.file("bin/busybox", busybox.read_bytes(), 0o755)
    for applet in APPLETS:
        archive.link(f"bin/{applet}", "busybox")
    for number, module in enumerate(modules):
        archive.file(f"modules/{number:02}-{module.name.partition('.')[0]}.ko", _plain(module))
    for name, content in job.items():
        archive.file(f"job/{name}", content)
    archive.file("init", init, 0o755)
    return archive.finish()


def with_dependencies(tree: Path, wanted: tuple[str, ...]) -> list[Path]:
    """The files of these modules and of what they need, in the order to load; built-in ones have none."""
    index = tree / "modules.dep"
    if not index.is_file():
        return []
    needs = {}
    for line in index.read_text().splitlines():
        path, _, others = line.partition(":")
        needs[path] = others.split()
    by_name = {Path(path).name.partition(".")[0].replace("-", "_"): path for path in needs}
    ordered: dict[str, None] = {}
    for name in wanted:
        found = by_name.get(name)
        if found:
            # modules.dep lists what a module needs with the farthest last
            ordered.update(dict.fromkeys([*reversed(needs[found]), found]))
    return [tree / path for path in ordered]


def _plain(module: Path) -> bytes:
    data = module.read_bytes()
    if module.suffix == ".xz":
        return lzma.decompress(data)
    if module.suffix == ".gz":
        return gzip.decompress(data)
    if module.suffix == ".zst":
        return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout
    if module.suffix != ".ko":
        raise TestbedError(f"{module}: a kernel module with an unknown compression")
    return data
