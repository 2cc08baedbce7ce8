"""Pod uids -> cgroup directories, whatever the kubelet's driver, the runtime and the cgroup root.

Only the few directories that hold pods are listed, and the names there are looked up among those that the
API's uids can have; so a pod costs no system call of its own, and no name on disk ever makes a pod. Where these
directories are is searched for, breadth first, from the root: once, and again when one of them is gone or a
uid is missing that wasn't missing before. The search doesn't enter
- a kubepods root: whatever calls itself kubepods further down belongs to somebody's container;
- a directory of another owner than the cgroup root's: who was given a subtree may use any name in it;
- a name that isn't printable (undecodable bytes, controls): neither the kubelet nor systemd makes one, and what
  is found here goes into messages and files.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from temper.node.cgroups import DEFAULT_ROOT, CgroupDir, Cgroups
from temper.node.pod_names import (
    Driver,
    plausible,
    pod_names,
    qos_parents,
    stray_key,
    stray_names,
)
from temper.settings.kubepods import CgroupDriver, driver_of, is_kubepods, is_of

# Components of a kubepods root's path. kind in docker, seen from its host, has four:
# system.slice/docker-<C>.scope/kubelet.slice/kubelet-kubepods.slice; two more for a guest around that.
MAX_DEPTH = 6

# Directories that one search lists, the shallow ones first: a fraction of a second. A node has a few hundred.
MAX_LISTED = 4096

_Index = Mapping[str, Collection[str]]


class PodCgroups:
    """The pods' cgroups below one root. Refused when the root is not cgroup v2.

    kubepods: the kubelet's kubepods root, relative to `root`, where the search must not choose it (two kubelets
    on one machine, a rootless one); containers outside it are still searched for.
    driver: roots of another driver than this don't count, whatever is in them; AUTO counts them all.
    """

    def __init__(
        self, root: Path = DEFAULT_ROOT, *, kubepods: str | None = None, driver: CgroupDriver = CgroupDriver.AUTO
    ) -> None:
        self.cgroups = Cgroups(root)
        self._owner = root.stat().st_uid
        self._counts = partial(is_of, driver)
        self._named = kubepods
        self._roots: tuple[str, ...] = ()
        self._stray_parents: tuple[str, ...] = ()
        self._occupied: frozenset[str] = frozenset()
        self._missing: frozenset[str] = frozenset()
        self._mismatched: frozenset[str] = frozenset()

    @property
    def driver(self) -> Driver:
        """The kubelet's cgroup driver. After a change of driver both roots stay: then it's the one with pods.

        `unknown` while no root that counts is there, and while pods are in roots of both.
        """
        drivers = {driver_of(root) for root in self._occupied or self._roots}
        return drivers.pop() if len(drivers) == 1 else "unknown"

    @property
    def mismatched(self) -> tuple[str, ...]:
        """Uids, of the last `find`, with containers outside the kubelet's tree: its driver isn't the runtime's."""
        return tuple(sorted(self._mismatched))

    def find(self, uids: Collection[str]) -> dict[str, tuple[CgroupDir, ...]]:
        """Each uid -> its pod's cgroups as they are now, ordered by path: usually one, none before it starts.

        A static pod has two uids, of which its directory has one: ask for both `metadata.uid` and the
        annotation `kubernetes.io/config.hash`. Where the drivers mismatch, a pod's containers come one by one.
        A uid that can't be in a directory's name has no cgroups.
        """
        wanted = [uid for uid in uids if plausible(uid)]
        searched = self._ensure_places()
        found = self._look(wanted)
        if not searched and not self._missing.issuperset(uid for uid in wanted if uid not in found):
            self._search()
            found = self._look(wanted)
        self._missing = frozenset(uid for uid in wanted if uid not in found)
        return {uid: tuple(sorted(found.get(uid, ()))) for uid in uids}

    def parents(self) -> tuple[Path, ...]:
        """The directories to watch, ordered: in them new pods appear, or, before the kubelet has come, its root.

        Call `find` after watching them: what appeared in between tells nobody. A root that comes more than
        two levels down is not announced; the next `find` finds it.
        """
        self._ensure_places()
        paths = [parent for root in self._roots for parent in qos_parents(root)] or self._ancestors()
        existing = (path for path in {*paths, *self._stray_parents} if self.cgroups.get(path) is not None)
        return tuple(self.cgroups.root / path for path in sorted(existing))

    def _ancestors(self) -> list[str]:
        """Where the kubepods root, or a directory above it, may come to be."""
        if self._named is None:
            return ["", *self._names("")]
        return _ancestors(self._named)

    def _look(self, uids: Collection[str]) -> dict[str, set[CgroupDir]]:
        """The cgroups in the known places, by uid."""
        found: dict[str, set[CgroupDir]] = {}
        occupied, mismatched = set(), set()
        for root in self._roots:
            for parent in qos_parents(root):
                index = _index(uids, partial(pod_names, parent))
                for uid, cgroup in self._matches(parent, index, _itself):
                    found.setdefault(uid, set()).add(cgroup)
                    occupied.add(root)
        strays = _index(uids, stray_names) if self._stray_parents else {}
        for parent in self._stray_parents:
            for uid, cgroup in self._matches(parent, strays, stray_key):
                found.setdefault(uid, set()).add(cgroup)
                mismatched.add(uid)
        self._occupied, self._mismatched = frozenset(occupied), frozenset(mismatched)
        return found

    def _matches(self, parent: str, index: _Index, key: Callable[[str], str | None]) -> Iterator[tuple[str, CgroupDir]]:
        """The children of one directory whose key is in the index, with the uids that it has there."""
        if self.cgroups.get(parent) is None:  # gone, or a link, which a listing would follow
            return
        for name in self._names(parent):
            uids = index.get(key(name) or "", ())
            cgroup = self.cgroups.get(_join(parent, name)) if uids else None
            if cgroup is not None:
                yield from ((uid, cgroup) for uid in uids)

    def _ensure_places(self) -> bool:
        """Search if the places that hold pods are unknown or have changed; True when it did."""
        if self._roots and all(self.cgroups.get(path) for path in (*self._roots, *self._stray_parents)):
            return False
        self._search()
        return True

    def _search(self) -> None:
        """Find the kubepods roots, and the directories that hold strays."""
        roots, stray_parents = set(), set()
        for path, name in self._walk():
            if not is_kubepods(name):
                stray_parents.add(path)
            elif self._counts(name):
                roots.add(_join(path, name))
        if self._named is not None:
            roots = {self._named} if self._is_there(self._named) else set()
        self._roots, self._stray_parents = tuple(sorted(roots)), tuple(sorted(stray_parents))

    def _walk(self) -> Iterator[tuple[str, str]]:
        """Every kubepods root and stray that the bounded search meets, as parent and name."""
        queue = deque([("", 1)])
        for _ in range(MAX_LISTED):
            if not queue:
                return
            path, depth = queue.popleft()
            for name in self._names(path) if self._is_ours(path) else ():
                if is_kubepods(name) or stray_key(name) is not None:
                    yield path, name
                elif depth < MAX_DEPTH:
                    queue.append((_join(path, name), depth + 1))

    def _names(self, path: str) -> list[str]:
        return sorted(name for name in self.cgroups.names(path) if name.isprintable())

    def _is_ours(self, path: str) -> bool:
        try:
            return (self.cgroups.root / path).lstat().st_uid == self._owner or not path
        except OSError:
            return False

    def _is_there(self, path: str) -> bool:
        return all(self.cgroups.get(part) is not None for part in (*_ancestors(path), path))


def _index(uids: Iterable[str], names: Callable[[str], Iterable[str]]) -> _Index:
    """Name -> uids that may have it: more than one where they differ in `-` and `_` only."""
    index: dict[str, list[str]] = {}
    for uid in uids:
        for name in names(uid):
            index.setdefault(name, []).append(uid)
    return index


def _itself(name: str) -> str:
    return name


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _ancestors(path: str) -> list[str]:
    """The paths above this one, from the root's: `a/b/c` -> "", `a`, `a/b`."""
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(len(parts))]
