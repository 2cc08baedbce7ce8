"""inotify: the workloads file, the safe-mode switch, and the cgroup directories where a rule may come to match."""

from __future__ import annotations

import asyncio
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
FOLLOW_PACE_S = 0.1


class Directories:
    """The cgroup directories watched now; the kernel drops the watch of a removed one."""

    def __init__(self, inotify: Inotify, mask: Mask) -> None:
        self._inotify = inotify
        self._mask = mask
        self._watches: dict[Path, Watch] = {}

    def has(self, watch: Watch | None) -> bool:
        """Is this event's watch one of these?"""
        return watch is not None and watch.path in self._watches

    def forget(self, watch: Watch | None) -> None:
        """The kernel dropped this one, for its directory is gone; one of the same name is another."""
        if watch is not None and self._watches.get(watch.path) is watch:
            del self._watches[watch.path]

    def follow(self, wanted: Collection[Path]) -> bool:
        """Watch these, and count only these. Were there new ones?"""
        for gone in self._watches.keys() - set(wanted):
            del self._watches[gone]
        new = set(wanted) - self._watches.keys()
        for path in new:
            try:
                self._watches[path] = self._inotify.add_watch(path, self._mask)
            except OSError as error:  # it vanished, or the user's inotify limit is reached: the resync covers both
                event("inotify_refused", path=str(path), reason=error.strerror)
        return not new.isdisjoint(self._watches)


# Deals with an event of the caller's own watches. True: it is a change, like one in a directory that matters.
Heed = Callable[[Event], bool]


class Following:
    """Keeps the directories watched that matter. Which do may take a walk of the tree: now, the next after a pause.

    wanted() gives them, or raises Refused where there is no cgroup tree just now; on_change() is called for what
    happens in them, and when new ones are watched, for what came into them before is told by nobody.
    """

    def __init__(
        self, directories: Directories, wanted: Callable[[], Collection[Path]], on_change: Callable[[], None]
    ) -> None:
        self._directories = directories
        self._wanted = wanted
        self._on_change = on_change
        self._due = asyncio.Event()

    def soon(self) -> None:
        """Something happened that may change which directories matter."""
        self._due.set()

    def now(self) -> None:
        """Look."""
        self._due.clear()
        with contextlib.suppress(Refused):  # the resync looks again
            if self._directories.follow(self._wanted()):
                self._on_change()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._due.wait()
            self.now()
            await asyncio.sleep(FOLLOW_PACE_S)

    async def hear(self, inotify: Inotify, run_dir: RunDir, on_switch: Callable[[], None], heed: Heed) -> None:
        """Tell of all that happens, until cancelled. The caller has made watches of its own; heed hears of them."""
        inotify.add_watch(run_dir.root, FILE_MASK)
        self.now()
        self._on_change()  # what came between the first plan and these watches would otherwise go unseen
        async with asyncio.TaskGroup() as group:
            group.create_task(self.run(), name="follow directories")
            async for seen in inotify:
                if seen.mask & Mask.Q_OVERFLOW:
                    event("inotify_overflow")
                    on_switch()
                elif seen.mask & Mask.IGNORED:
                    self._directories.forget(seen.watch)
                    self.soon()
                    continue
                elif seen.path == run_dir.switch:
                    on_switch()
                    continue
                elif not (heed(seen) or self._directories.has(seen.watch)):
                    continue
                self.soon()
                self._on_change()


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
            following = Following(Directories(inotify, CGROUP_MASK), self._wanted, self._on_change)
            workloads = self._workloads.absolute()
            await following.hear(inotify, self._run_dir, self._on_switch, lambda seen: seen.path == workloads)

    def _wanted(self) -> set[Path]:
        """Each directory in which a rule's next component may appear."""
        return directories_of(self._rules(), Cgroups(self._cgroup_root))


def directories_of(rules: Sequence[WorkloadRule], cgroups: Cgroups) -> set[Path]:
    """The directories whose children decide what the rules match: a glob's prefixes, or everything."""
    found = {cgroups.root}
    globs = [rule.cgroup.split("/") if rule.cgroup is not None else ["**"] for rule in rules]
    if any("**" in parts for parts in globs):
        return found | {cgroups.root / below.path for below in cgroups.match("**")}
    for parts in globs:
        for length in range(1, len(parts)):
            found |= {cgroups.root / match.path for match in cgroups.match("/".join(parts[:length]))}
    return found
