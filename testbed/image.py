"""The guest's root file system: a small Debian made by mmdebstrap, the same whoever builds it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from testbed import apt, cache, disks
from testbed.progress import run_tool, say

SUITE = "trixie"
# libbpf since 1.7 finds a type by its name in a kernel that sorts them (7.0 and newer) without walking through all of
# them: the scheduler loads in three quarters of the time. The suite's own stays beside it, for tests of older ones.
NEWER_SUITE = "forky"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
OLDER_LIBBPF = f"{LIBRARIES}/libbpf-{SUITE}"
PACKAGES = (
    "bpftool",
    "busybox-static",  # the initramfs's programs
    "iproute2",
    "kmod",
    "libbpf1",
    "memcached",
    "mount",
    "procps",
    "python3",
    "rt-tests",
    "strace",
    "stress-ng",
    "util-linux",
)
# Documents and translations, and the GPU compilers that stress-ng's libraries can load but never do here.
EXCLUDED = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/lib/x86_64-linux-gnu/libLLVM*",
    "/usr/lib/x86_64-linux-gnu/libgallium*",
    "/usr/lib/x86_64-linux-gnu/libz3*",
)
FREE_MIB = 8192  # for what a job writes; it lands in a temporary file of QEMU's

TEMPER_SCRIPT = """#!/usr/bin/python3
import sys
from temper.__main__ import main
sys.exit(main())
"""
FILES = {
    "usr/local/bin/temper": TEMPER_SCRIPT,
    "usr/local/lib/python3.13/dist-packages/temper.pth": "/opt/temper/src\n/opt/temper/site-packages\n",
    "etc/hostname": "guest\n",
    "etc/hosts": "127.0.0.1 localhost guest\n",
    "etc/fstab": "",
}
FOLDERS = ("opt/temper", "share", "usr/lib/modules")


@dataclass(frozen=True, slots=True)
class Image:
    """The root file system as a disk and as a folder (for its static busybox and its Python)."""

    disk: Path
    tree: Path

    @property
    def busybox(self) -> Path:
        """A static program: shell, mount, insmod, switch_root."""
        return self.tree / "usr/bin/busybox"

    def python(self) -> tuple[list[str], dict[str, str]]:
        """How to run the guest's Python here, without a chroot: the words before its arguments, and variables."""
        library = self.tree / "usr/lib/x86_64-linux-gnu"
        loader = library / "ld-linux-x86-64.so.2"
        words = [loader, "--library-path", library, self.tree / "usr/bin/python3.13"]
        return [str(word) for word in words], {"PYTHONHOME": str(self.tree / "usr"), "LC_ALL": "C.UTF-8"}


def name() -> str:
    """The key of everything that goes into the image."""
    inputs = [Path(__file__).read_text(), SUITE, NEWER_SUITE, *PACKAGES]
    return cache.key(*inputs)


def get() -> Image:
    """The image, built when it is missing."""
    folder = cache.entry("images", name(), _build, keep=2)
    return Image(folder / "root.ext4", folder / "tree")


def _build(folder: Path) -> None:
    archive = apt.debian_archive(apt.machine_sources())
    tree = folder / "tree"
    root = os.geteuid() == 0
    target = tree if root else folder / "tree.tar"
    options = ["--variant=essential", f"--mode={'root' if root else 'unshare'}", f"--include={','.join(PACKAGES)}"]
    options += [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED]
    what = f"image: bootstrapping Debian {SUITE} with {len(PACKAGES)} packages (about half a minute)"
    run_tool(["mmdebstrap", *options, "--architectures=amd64", SUITE, target, archive.line(SUITE)], what)
    if not root:
        tree.mkdir()
        run_tool(["tar", "-xf", target, "-C", tree, "--exclude=./dev/*"])
    _newer_libbpf(archive, tree, folder / "newer")
    for folder_name in FOLDERS:
        (tree / folder_name).mkdir(parents=True, exist_ok=True)
    for file_name, text in FILES.items():
        path = tree / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    shutil.rmtree(tree / "var/cache/apt", ignore_errors=True)
    disks.make_ext4(tree, folder / "root.ext4", free_mib=FREE_MIB)
    if not root:
        target.unlink()
    say("image: done")


def _newer_libbpf(archive: apt.Source, tree: Path, unpacked: Path) -> None:
    """libbpf.so.1 is the newer suite's; OLDER_LIBBPF is a folder for LD_LIBRARY_PATH in which it isn't."""
    index = apt.Index(archive.line(NEWER_SUITE) + "\n", cache.folder() / "apt" / NEWER_SUITE)
    index.refresh()
    index.unpack(["libbpf1"], unpacked, f"image: libbpf of Debian {NEWER_SUITE}")
    link = tree / LIBRARIES / "libbpf.so.1"
    older = tree / OLDER_LIBBPF
    older.mkdir()
    (older / link.name).symlink_to(Path("..") / link.readlink())
    for found in (unpacked / LIBRARIES).iterdir():
        if not found.is_symlink():
            shutil.copy2(found, tree / LIBRARIES / found.name)
            link.unlink(missing_ok=True)
            link.symlink_to(found.name)
    shutil.rmtree(unpacked)
