"""Kernels with sched_ext: Debian's cloud kernels by version, or one of your own by path."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed import apt, btf, cache, disks, initramfs, kernel_build
from testbed.progress import TestbedError, run_tool

SUITE = "trixie-backports"
FLAVOUR = "+deb13-cloud-amd64"
FORMAT = "1"  # of an entry's folder; part of its key
_NAME = re.compile(rf"linux-(binary|modules|base|image)-(\d+(?:\.\d+)+){re.escape(FLAVOUR)}")

# What the guest needs to find its disks and to talk to `run`; most kernels have them built in.
GUEST_MODULES = ("nvme", "ext4", "virtio_pci", "virtio_console", "virtiofs", "unix")

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel ready to boot.

    disk: an ext4 image with `<release>/`: the modules, and the kernel's config as `config`.
    modules: the same as a folder, for the initramfs.
    """

    release: str
    image: Path
    disk: Path
    modules: Path


def version_key(text: str) -> Version:
    """`7.3.4` as numbers, so that 7.10 comes after 7.9."""
    return tuple(int(number) for number in text.split("."))


def offered(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Version -> kind of package -> its name, for each version with a kernel image among these packages.

    The image is in linux-binary-V; before 6.19, linux-image-V held everything.
    """
    found: dict[str, dict[str, str]] = {}
    for name in names:
        if match := _NAME.fullmatch(name):
            found.setdefault(match[2], {})[match[1]] = name
    for packages in found.values():
        if "binary" in packages:
            packages.pop("image", None)  # then it is an empty package that depends on the others
    return {version: packages for version, packages in found.items() if packages.keys() & {"binary", "image"}}


def newest(versions: Iterable[str], prefix: str = "") -> str:
    """The newest of these versions that starts with `prefix`, by whole numbers (6.1 does not match 6.19)."""
    wanted = version_key(prefix) if prefix else ()
    known = sorted(versions, key=version_key)
    matching = [version for version in known if version_key(version)[: len(wanted)] == wanted]
    if not matching:
        raise TestbedError(f"no kernel {prefix} in {SUITE}; there are: {', '.join(known) or 'none'}")
    return matching[-1]


def get(wanted: str) -> Kernel:
    """A kernel by version prefix ("" is the newest one), or by the path of a bzImage or an extracted package."""
    if "/" in wanted or Path(wanted).is_file():
        return _own(Path(wanted))
    if wanted and not re.fullmatch(r"\d+(\.\d+)*", wanted):
        raise TestbedError(f"--kernel {wanted}: neither a version such as 7.3 nor a path (with a /)")
    if wanted == kernel_build.SERIES:
        return _ready(kernel_build.entry(lambda folder, image, config: _assemble(folder, image, None, config, "")))
    kept = cache.folder() / "kernels" / _entry_name(wanted)
    if not kept.is_dir():
        index = _index()
        packages = offered(index.names("linux-"))
        wanted = newest(packages, wanted)
        kept = cache.entry(
            "kernels", _entry_name(wanted), lambda folder: _fetch(folder, index, packages, wanted), keep=8
        )
    return _ready(kept)


def require(kernel: Kernel, module: str, config: str, option: str) -> None:
    """Raise TestbedError unless this kernel has a driver, as a module or built in."""
    if initramfs.with_dependencies(kernel.modules, (module,)):
        return
    known = kernel.modules / "config"
    if not (known.is_file() and f"\n{config}=y\n" in known.read_text()):
        raise TestbedError(
            f"{option} needs {module}, which kernel {kernel.release} has neither as a module nor built in ({config}): "
            "take another kernel, the newest for instance"
        )


def _entry_name(version: str) -> str:
    return f"{version}-{cache.key(FORMAT, FLAVOUR, version)}"


def _index() -> apt.Index:
    archive = apt.debian_archive(apt.machine_sources())
    folder = cache.folder() / "apt" / SUITE
    index = apt.Index(archive.line(SUITE) + "\n", folder)
    with cache.locked(f"apt-{SUITE}"):
        index.refresh()
    return index


def _fetch(folder: Path, index: apt.Index, offer: Mapping[str, Mapping[str, str]], version: str) -> None:
    root = folder / "root"
    packages = list(offer[version].values())
    index.unpack(packages, root, f"kernel {version}: fetching {', '.join(sorted(offer[version]))}")
    config = _find_config(root)
    note = ""
    if config is None:  # the archive has dropped this version's linux-base package
        later = [v for v in offer if "base" in offer[v] and version_key(v) > version_key(version)]
        if later:
            source = min(later, key=version_key)
            index.unpack([offer[source]["base"]], folder / "other", f"kernel {version}: fetching {source}'s config")
            config = _find_config(folder / "other")
            note = f"# The archive no longer has the config of {version}: this is the one of {source}.\n"
    _assemble(folder, _find_image(root), _find_modules(root), config, note)
    shutil.rmtree(root)
    shutil.rmtree(folder / "other", ignore_errors=True)


def _own(path: Path) -> Kernel:
    """A kernel of the user's: an extracted package, or a bzImage with its modules and config near it."""
    if path.is_dir():
        image, modules, config = _find_image(path), _find_modules(path), _find_config(path)
    elif path.is_file():
        image, config = path, None
        near = path.resolve().parent
        release = btf.release(path.read_bytes())
        modules = next((d for d in (near / release, near / "lib/modules" / release) if d.is_dir()), None)
        # beside the image, or three up from a build tree's arch/x86/boot/bzImage
        for candidate in (near / f"config-{release}", near / ".config", near.parents[2] / ".config"):
            if config is None and candidate.is_file():
                config = candidate
    else:
        raise TestbedError(f"--kernel {path}: no such file or folder")
    stats = [(p / "modules.order" if p.is_dir() else p) for p in (image, modules, config) if p]
    stamps = [f"{p.resolve()} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in stats if p.exists()]
    name = f"own-{cache.key(FORMAT, *stamps)}"
    return _ready(cache.entry("kernels", name, lambda folder: _assemble(folder, image, modules, config, "")))


def _find_image(root: Path) -> Path:
    found = [*root.glob("boot/vmlinuz-*"), *root.glob("usr/lib/modules/*/vmlinuz")]
    found += [path for path in root.glob("lib/modules/*/vmlinuz") if not (root / "lib").is_symlink()]
    if len(found) != 1:
        names = ", ".join(str(path) for path in found) or "none"
        raise TestbedError(f"{root}: one kernel image is wanted (boot/vmlinuz-*, lib/modules/*/vmlinuz): {names}")
    return found[0]


def _find_modules(root: Path) -> Path | None:
    found = [*root.glob("usr/lib/modules/*/kernel"), *root.glob("lib/modules/*/kernel")]
    return found[0].parent if found else None


def _find_config(root: Path) -> Path | None:
    patterns = ("boot/config-*", "usr/lib/modules/*/config", "lib/modules/*/config")
    return next((path for pattern in patterns for path in root.glob(pattern)), None)


def _assemble(folder: Path, image: Path, modules: Path | None, config: Path | None, note: str) -> None:
    shutil.copyfile(image, folder / "vmlinuz")
    release = btf.release(image.read_bytes())
    (folder / "release").write_text(release)
    tree = folder / "modules" / release
    if modules:
        shutil.copytree(modules, tree, symlinks=True, ignore=shutil.ignore_patterns("vmlinuz", "build", "source"))
        run_tool(["depmod", "-b", _usr_merged(folder), release], f"kernel {release}: indexing its modules")
    else:
        tree.mkdir(parents=True)
    if config:
        (tree / "config").write_text(note + config.read_text())
    disks.make_ext4(folder / "modules", folder / "modules.ext4")


def _usr_merged(folder: Path) -> Path:
    """A folder where depmod finds `lib/modules/` (and `usr/lib/modules/`, which newer ones look at)."""
    base = folder / "depmod"
    for lib in (base / "lib", base / "usr/lib"):
        lib.mkdir(parents=True)
        (lib / "modules").symlink_to(folder / "modules")
    return base


def _ready(folder: Path) -> Kernel:
    release = (folder / "release").read_text()
    return Kernel(release, folder / "vmlinuz", folder / "modules.ext4", folder / "modules" / release)
