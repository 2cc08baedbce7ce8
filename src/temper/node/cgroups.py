"""The cgroup v2 tree, read below a root path: which directories a rule means, and their ids.

A cgroup's id is the inode of its directory: a directory made anew under an old path has another one, so
unlike a path or a pid it names one cgroup only. Directories may vanish during a walk; those don't match.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from temper.errors import Refused
from temper.settings.quoting import printable

DEFAULT_ROOT = Path("/sys/fs/cgroup")

_DEEP = "**"
_MAGIC = frozenset("*?[")


@dataclass(frozen=True, slots=True, order=True)
class CgroupDir:
    """One cgroup. path: relative to the root, `/` between components; id: its v2 id."""

    path: str
    id: int


class Cgroups:
    """The tree below one root. Refused when the root is not cgroup v2."""

    def __init__(self, root: Path = DEFAULT_ROOT) -> None:
        self.root = root
        self._prefix = f"{root}/"  # a node's pods cost hundreds of paths per plan, and pathlib would be most of it
        _require_v2(root)

    def match(self, glob: str) -> tuple[CgroupDir, ...]:
        """The cgroups a glob means, ordered by path; the root itself never matches.

        `*`, `?` and `[..]` match inside one component. `**` stands for any number of components: none or more
        between others, one or more at the end. Symbolic links are not followed.
        """
        parts = glob.split("/")
        if any(part in ("", ".", "..") for part in parts):
            return ()
        # A repeated ** says nothing more, and would multiply the walk.
        parts = [part for part, before in zip(parts, ["", *parts], strict=False) if (part, before) != (_DEEP, _DEEP)]
        return _ordered(self._match(CgroupDir("", 0), parts))

    def match_unit(self, name: str) -> tuple[CgroupDir, ...]:
        """The cgroups of a systemd unit, anywhere below the root, ordered by path.

        systemd puts `_` before a name that looks like a file of the kernel's (`memory.service`). Who may make
        cgroups in a delegated subtree may use any name there; a rule that must not be imitated names a path.
        """
        names = (name, f"_{name}")
        return _ordered(found for found in self._below(CgroupDir("", 0)) if found.path.rpartition("/")[2] in names)

    def get(self, path: str) -> CgroupDir | None:
        """The cgroup at a path that a walk has shown ("" is the root); None when it is gone. `..` isn't looked for."""
        return self._stat(CgroupDir("", 0), path)

    def names(self, path: str) -> list[str]:
        """Names of a cgroup's children, in no order: a listing without a stat of each. Empty when it is gone."""
        return self._names(CgroupDir(path, 0), lambda name: True)

    def _match(self, base: CgroupDir, parts: Sequence[str]) -> Iterator[CgroupDir]:
        if not parts:
            yield base
            return
        part, *rest = parts
        if part != _DEEP:
            for child in self._children(base, part):
                yield from self._match(child, rest)
            return
        if rest:
            yield from self._match(base, rest)
        for below in self._below(base):
            yield from self._match(below, rest)

    def _below(self, base: CgroupDir) -> Iterator[CgroupDir]:
        """All descendants. A stack, not recursion: the depth of a tree is its owner's to choose."""
        stack = [base]
        while stack:
            for child in self._children(stack.pop(), "*"):
                yield child
                stack.append(child)

    def _children(self, base: CgroupDir, pattern: str) -> Iterator[CgroupDir]:
        """Child cgroups whose name matches; a plain name costs one stat instead of a listing."""
        if not _MAGIC.intersection(pattern):
            found = self._stat(base, pattern)
            if found is not None:
                yield found
            return
        for name in self._names(base, _matcher(pattern)):
            found = self._stat(base, name)
            if found is not None:
                yield found

    def _names(self, base: CgroupDir, matches: Callable[[str], bool]) -> list[str]:
        try:
            with os.scandir(self._prefix + base.path) as entries:
                return [entry.name for entry in entries if matches(entry.name) and entry.is_dir(follow_symlinks=False)]
        except OSError:
            return []

    def _stat(self, base: CgroupDir, name: str) -> CgroupDir | None:
        path = f"{base.path}/{name}" if base.path else name
        try:
            found = os.lstat(self._prefix + path)
        except (OSError, ValueError):  # ValueError: a NUL in the name
            return None
        return CgroupDir(path, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def _matcher(pattern: str) -> Callable[[str], bool]:
    return lambda name: fnmatch.fnmatchcase(name, pattern)


def _ordered(found: Iterator[CgroupDir]) -> tuple[CgroupDir, ...]:
    return tuple(sorted(set(found)))


def _require_v2(root: Path) -> None:
    if (root / "cgroup.controllers").is_file():
        return
    shown = printable(str(root))
    if not root.is_dir():
        raise Refused(f"there is no cgroup tree at {shown}", remedy="mount cgroup v2 there or name another root")
    hybrid = root / "unified"
    seen = f"a v1 tree beside a v2 one at {hybrid}" if (hybrid / "cgroup.controllers").is_file() else "not cgroup v2"
    raise Refused(
        f"{shown} is {seen}; Temper needs cgroup v2, not v1",
        remedy="boot with systemd.unified_cgroup_hierarchy=1",
    )
