"""The disks at /opt/temper: what the product imports, and the product with its tests and load generators."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from testbed import cache, disks
from testbed.image import Image
from testbed.progress import TestbedError, run_tool, say

REPOSITORY = Path(__file__).resolve().parent.parent
PARTS = ("src", "tests", "bench", "pyproject.toml")
REQUIREMENTS = REPOSITORY / "requirements"
GUEST_PYTHON = "3.13"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*_cache", "*.egg-info")
GUEST_FOLDER = "/opt/temper"


def packages_disk(image: Image) -> Path:
    """The Python packages of requirements/guest.txt, installed for the guest's Python and compiled."""
    locked = REQUIREMENTS / "guest.txt"
    text = locked.read_text() if locked.is_file() else _unlocked(REQUIREMENTS / "guest.in")
    name = cache.key(Path(__file__).read_text(), text, image.tree.parent.name)

    def build(folder: Path) -> None:
        requirements = folder / "requirements.txt"
        requirements.write_text(text)
        tree = folder / "site-packages"
        say("packages: installing what the product imports")
        run_tool([*_installer(), "--target", tree, "-r", requirements, *_hashes(text)])
        _compile(image, tree, f"{GUEST_FOLDER}/site-packages", "packages: compiling them")
        disks.make_ext4(tree, folder / "packages.ext4")
        shutil.rmtree(tree)

    return cache.entry("packages", name, build, keep=3) / "packages.ext4"


def product_disk(image: Image) -> Path:
    """The product's source with what `make build` generated, its tests and its load generators, compiled."""
    if not (REPOSITORY / "src/temper/engine/_bpf").is_dir():
        say("src/temper/engine/_bpf is missing (make build): the product in the guest has no scheduler")
    parts: list[str | bytes] = [Path(__file__).read_text(), image.tree.parent.name]
    for path in _files():
        parts += [str(path.relative_to(REPOSITORY)), str(path.stat().st_mode), path.read_bytes()]
    name = cache.key(*parts)

    def build(folder: Path) -> None:
        tree = folder / "product"
        for part in PARTS:
            source = REPOSITORY / part
            if source.is_dir():
                shutil.copytree(source, tree / part, ignore=IGNORED)
            elif source.is_file():
                shutil.copy2(source, tree / part)
        (tree / "site-packages").mkdir()
        _compile(image, tree, GUEST_FOLDER, "product: compiling it for the guest")
        disks.make_ext4(tree, folder / "product.ext4")
        shutil.rmtree(tree)

    return cache.entry("products", name, build, keep=6) / "product.ext4"


def _files() -> Iterator[Path]:
    for part in PARTS:
        top = REPOSITORY / part
        if top.is_file():
            yield top
        for folder, folders, files in os.walk(top):
            folders[:] = sorted(set(folders) - IGNORED(folder, folders))
            yield from (Path(folder, name) for name in sorted(set(files) - IGNORED(folder, files)))


def _unlocked(path: Path) -> str:
    """Requirements without a lock file: the names alone, whatever version comes."""
    if not path.is_file():
        return ""
    say(f"{path.with_suffix('.txt').name} is missing (make lock): taking the newest versions")
    lines = []
    for line in path.read_text().splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["-r"]:
            lines += _unlocked_names(path.parent / words[1])
        elif words and not words[0].startswith("-"):
            lines.append(words[0])
    return "\n".join(lines) + "\n"


def _unlocked_names(path: Path) -> list[str]:
    return [line.split()[0] for line in path.read_text().splitlines() if line.strip() and line[0] not in "#-"]


def _hashes(text: str) -> list[str]:
    return ["--require-hashes"] if "--hash=" in text else []


def _installer() -> list[str]:
    """uv when there is one, else pip; both install for another Python than the one that runs them."""
    uv = next((path for path in (str(REPOSITORY / ".venv/bin/uv"), shutil.which("uv")) if _runs(path)), None)
    if uv:
        only = ["--python-version", GUEST_PYTHON, "--python-platform", f"x86_64-{PLATFORMS[0][:14]}"]
        return [uv, "pip", "install", "--quiet", "--only-binary", ":all:", "--no-deps", *only]
    python = cache.folder() / "tools/bin/python"
    with cache.locked("tools"):
        if not python.exists():
            try:
                run_tool([sys.executable, "-m", "venv", "--clear", python.parent.parent], "packages: a pip to use")
            except TestbedError as error:
                raise TestbedError(f"python3 -m venv failed: run testbed/setup\n{error}") from error
    only = ["--python-version", GUEST_PYTHON, "--implementation", "cp", "--only-binary", ":all:"]
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    return [str(python), "-m", "pip", "install", "--quiet", "--no-compile", *only, *platforms]


def _runs(path: str | None) -> bool:
    return bool(path) and os.access(path or "", os.X_OK)


def _compile(image: Image, tree: Path, place: str, what: str) -> None:
    """Byte code for the guest's Python, which never checks it against the source: a guest's cpu is slow."""
    words, variables = image.python()
    options = ["-q", "-q", "-f", "-s", str(tree), "-p", place, "--invalidation-mode", "unchecked-hash"]
    environment = {**os.environ, **variables}
    try:
        run_tool([*words, "-s", "-m", "compileall", *options, str(tree)], what, env=environment)
    except TestbedError as error:
        say(f"some sources did not compile; the guest will say so when it imports them\n{error}")
