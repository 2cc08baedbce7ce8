"""inotify: the workloads file, the safe-mode switch, and the cgroup directories where a rule may come to match."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from asyncinotify import Event, Inotify, Mask, Watch

from temper.agent.events import event
from temper.errors import Refused
from temper.node.cgroups import Cgroups
from temper.node.run_dir import RunDir
from temper.settings.workloads import WorkloadRule

FILE_MASK = Mask.CLOSE_WRITE | Mask.MOVED_TO | Mask.CREATE | Mask.DELETE | Mask.MOVED_FROM
CGROUP_MASK = Mask.CREATE | Mask.DELETE | Mask.ONLYDIR


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
        self._cgroup_watches: dict[Path, Watch] = {}

    async def run(self) -> None:
        """Until cancelled."""
        with Inotify() as inotify:
            inotify.add_watch(self._workloads.absolute().parent, FILE_MASK)
            inotify.add_watch(self._run_dir.root, FILE_MASK)
            self.follow_cgroups(inotify)
            # A change between the first plan and these watches would otherwise go unseen.
            self._on_change()
            async for seen in inotify:
                self._tell(seen, inotify)

    def _tell(self, seen: Event, inotify: Inotify) -> None:
        if seen.mask & Mask.Q_OVERFLOW:
            event("inotify_overflow")
            self._on_change()
            self._on_switch()
        elif seen.path == self._run_dir.switch:
            self._on_switch()
        elif seen.path == self._workloads.absolute() or (
            seen.watch is not None and seen.watch.path in self._cgroup_watches
        ):
            self._on_change()
            self.follow_cgroups(inotify)

    def follow_cgroups(self, inotify: Inotify) -> None:
        """Watch each directory in which a rule's next component may appear; the kernel drops removed ones."""
        try:
            wanted = directories(self._rules(), Cgroups(self._cgroup_root))
        except Refused:
            return
        for gone in self._cgroup_watches.keys() - wanted:
            del self._cgroup_watches[gone]
        for path in wanted - self._cgroup_watches.keys():
            try:
                self._cgroup_watches[path] = inotify.add_watch(path, CGROUP_MASK)
            except OSError as error:  # it vanished, or the user's inotify limit is reached: the resync covers both
                event("inotify_refused", path=str(path), reason=error.strerror)


def directories(rules: Sequence[WorkloadRule], cgroups: Cgroups) -> set[Path]:
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
