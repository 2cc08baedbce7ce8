"""inotify: the workloads file, the safe-mode switch, and the cgroup directories where a rule may come to match."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from asyncinotify import Event, Inotify, Mask, Watch

from temper.agent.events import event
from temper.errors import Refused
from temper.node.cgroups import Cgroups
from temper.node.run_dir import RunDir
from temper.settings.workloads import WorkloadRule

FILE_MASK = Mask.CLOSE_WRITE | Mask.MOVED_TO | Mask.CREATE | Mask.DELETE | Mask.MOVED_FROM
CGROUP_MASK = Mask.CREATE | Mask.DELETE | Mask.ONLYDIR


class Directories:
    """The cgroup directories watched now; the kernel drops the watch of a removed one."""

    def __init__(self, inotify: Inotify, mask: Mask) -> None:
        self._inotify = inotify
        self._mask = mask
        self._watches: dict[Path, Watch] = {}

    def has(self, watch: Watch | None) -> bool:
        """Is this event's watch one of these?"""
        return watch is not None and watch.path in self._watches

    def follow(self, wanted: Collection[Path]) -> None:
        """Watch these, and count only these."""
        for gone in self._watches.keys() - set(wanted):
            del self._watches[gone]
        for path in set(wanted) - self._watches.keys():
            try:
                self._watches[path] = self._inotify.add_watch(path, self._mask)
            except OSError as error:  # it vanished, or the user's inotify limit is reached: the resync covers both
                event("inotify_refused", path=str(path), reason=error.strerror)


class Watcher:
    """Tells of changes. rules() gives the rules now in force, whose directories are watched."""

    def __init__(
        self,
        *,
        workloads: Path,
        run_dir: RunDir,
        cgroup_root: Path,
        rules: Callable[[], Sequence[WorkloadRule]],
        on_change: Callable[[], None],
        on_switch: Callable[[], None],
    ) -> None:
        self._workloads = workloads
        self._run_dir = run_dir
        self._cgroup_root = cgroup_root
        self._rules = rules
        self._on_change = on_change
        self._on_switch = on_switch

    async def run(self) -> None:
        """Until cancelled."""
        with Inotify() as inotify:
            inotify.add_watch(self._workloads.absolute().parent, FILE_MASK)
            inotify.add_watch(self._run_dir.root, FILE_MASK)
            directories = Directories(inotify, CGROUP_MASK)
            self._follow(directories)
            # A change between the first plan and these watches would otherwise go unseen.
            self._on_change()
            async for seen in inotify:
                self._tell(seen, directories)

    def _tell(self, seen: Event, directories: Directories) -> None:
        if seen.mask & Mask.Q_OVERFLOW:
            event("inotify_overflow")
            self._on_change()
            self._on_switch()
        elif seen.path == self._run_dir.switch:
            self._on_switch()
        elif seen.path == self._workloads.absolute() or directories.has(seen.watch):
            self._on_change()
            self._follow(directories)

    def _follow(self, directories: Directories) -> None:
        """Each directory in which a rule's next component may appear."""
        with contextlib.suppress(Refused):  # no cgroup tree just now: the resync looks again
            directories.follow(directories_of(self._rules(), Cgroups(self._cgroup_root)))


def directories_of(rules: Sequence[WorkloadRule], cgroups: Cgroups) -> set[Path]:
    """The directories whose children decide what the rules match: a glob's prefixes, or everything."""
    found = {cgroups.root}
    for rule in rules:
        parts = rule.cgroup.split("/") if rule.cgroup is not None else ["**"]
        if "**" in parts:
            found |= {cgroups.root / below.path for below in cgroups.match("**")}
            continue
        for length in range(1, len(parts)):
            found |= {cgroups.root / match.path for match in cgroups.match("/".join(parts[:length]))}
    return found
