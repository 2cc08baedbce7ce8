"""What the host needs: Debian packages, and how they get there."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from testbed import apt, cache
from testbed.progress import TestbedError, run_tool, say

# Program -> package, for what `run` itself needs.
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "depmod": "kmod",
    "zstd": "zstd",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
}
ROOTLESS_PROGRAMS = {"fakeroot": "fakeroot", "newuidmap": "uidmap"}
# What `make build`, `lint` and `demo` need beside them: a BPF compiler, libbpf 1.4 or newer, a C compiler.
BUILD_PACKAGES = ("clang-19", "clang-format-19", "libbpf-dev", "gcc", "libc6-dev", "make", "python3-venv")
OTHER_PACKAGES = ("debian-archive-keyring", "ca-certificates")
# What a kernel is built with: program -> package, and headers.
KERNEL_TOOLS = {
    "bc": "bc",
    "bison": "bison",
    "flex": "flex",
    "gcc": "gcc",
    "make": "make",
    "pahole": "pahole",
    "xz": "xz-utils",
}
KERNEL_LIBRARIES = ("libelf-dev",)
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def ensure() -> None:
    """Install what `run` needs if it is missing; raise TestbedError with the one line to type without root."""
    if platform.machine() != "x86_64":
        raise TestbedError(f"the test bed needs an x86_64 machine; this is {platform.machine()}")
    os.environ["PATH"] = f"{os.environ.get('PATH', '/usr/bin:/bin')}:{SYSTEM_PATH}"
    programs = PROGRAMS if os.geteuid() == 0 else PROGRAMS | ROOTLESS_PROGRAMS
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        say(f"missing: {', '.join(missing)}")
        install()


def codename() -> str:
    """This Debian release's name, "" on another system."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""


def packages(release: str) -> list[str]:
    """Every package that this release of Debian must have."""
    names = [*PROGRAMS.values(), *ROOTLESS_PROGRAMS.values(), *BUILD_PACKAGES, *OTHER_PACKAGES]
    if release != "bookworm":
        names.append("virtiofsd")
    return sorted(names)


def install() -> None:
    """Install the host's packages, with backports where the release's own are too old."""
    release = codename()
    if release not in {"bookworm", "trixie"}:
        raise TestbedError(
            "packages are installed on Debian 12 and 13 only; on this system install these by hand: "
            f"{' '.join(PROGRAMS)} virtiofsd clang (19 or newer) libbpf's headers (1.4 or newer)"
        )
    if os.geteuid() != 0:
        raise TestbedError(f"packages are missing: run `sudo {Path(__file__).parent / 'setup'}` once")
    _install(packages(release), release)


def ensure_openssl() -> None:
    """What the cluster's certificates are made with; ca-certificates brings it, so it is nearly always there."""
    if shutil.which("openssl") is None:
        _install_on_debian("openssl")


def install_go() -> None:
    """Go for the cluster's programs. Not among `packages`: only cluster tests need it, and many machines have one."""
    _install_on_debian("golang-go")


def ensure_kernel_tools() -> None:
    """What a kernel is built with (testbed/kernel_build.py); only `make kernel-6.12` needs it."""
    missing = [program for program in KERNEL_TOOLS if shutil.which(program) is None]
    if missing or not Path("/usr/include/libelf.h").exists():
        _install_on_debian(*KERNEL_TOOLS.values(), *KERNEL_LIBRARIES)


def _install_on_debian(*names: str) -> None:
    release = codename()
    if os.geteuid() != 0 or release not in {"bookworm", "trixie"}:
        raise TestbedError(f"missing: install {' '.join(names)} (as root)")
    _install(list(names), release)


def _install(names: list[str], release: str) -> None:
    options: list[str] = []
    target: list[str] = []
    if release == "bookworm":
        # QEMU 8.1 and libbpf 1.4 are in backports. The machine's own sources stay as they are:
        # this apt run reads them and one file more.
        options, target = _with_backports(), ["-t", "bookworm-backports"]
    run_tool(["apt-get", *options, "update"], "setup: reading the package index")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", *options, "install", "-y", "--no-install-recommends", *target, *names]
    what = f"{len(names)} packages" if len(names) > 1 else names[0]
    run_tool(command, f"setup: installing {what}", env=environment)


def _with_backports() -> list[str]:
    folder = cache.folder() / "apt/host"
    shutil.rmtree(folder, ignore_errors=True)
    parts = folder / "sources.list.d"
    for name in (parts, folder / "lists/partial"):
        name.mkdir(parents=True)
    for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        if path.is_file():
            (parts / path.name).symlink_to(path)
    archive = apt.debian_archive(apt.machine_sources())
    (parts / "backports.list").write_text(archive.line("bookworm-backports") + "\n")
    values = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": parts,
        "Dir::State::Lists": folder / "lists",
    }
    return [word for name, value in values.items() for word in ("-o", f"{name}={value}")]
