"""inotify for `temper agent`: the directories in which pods' cgroups appear, and the local switch."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from asyncinotify import Event, Inotify, Mask, Watch

from temper.agent.events import event
from temper.agent.watching import CGROUP_MASK, FILE_MASK, Directories, Following
from temper.node.run_dir import RunDir


class PodWatcher:
    """Tells of changes. parents() gives the directories that matter now."""

    def __init__(
        self,
        *,
        run_dir: RunDir,
        parents: Callable[[], Collection[Path]],
        on_change: Callable[[], None],
        on_switch: Callable[[], None],
        settings_file: Path | None,
        on_settings: Callable[[], None],
    ) -> None:
        self._run_dir = run_dir
        self._parents = parents
        self._on_change = on_change
        self._on_switch = on_switch
        self._settings_file = settings_file
        self._on_settings = on_settings

    async def run(self) -> None:
        """Until cancelled."""
        with Inotify() as inotify:
            settings = self._watch_settings(inotify)
            following = Following(Directories(inotify, CGROUP_MASK), self._parents, self._on_change)
            await following.hear(inotify, self._run_dir, self._on_switch, lambda seen: self._heed(seen, settings))

    def _heed(self, seen: Event, settings: Watch | None) -> bool:
        """New settings say by themselves what they change."""
        # A file that was only made is empty, and so are its settings: whoever made it will close it.
        made = seen.mask & Mask.CREATE and not (seen.path is not None and seen.path.is_symlink())
        if settings is not None and seen.watch is settings and not made:
            self._on_settings()
        return False

    def _watch_settings(self, inotify: Inotify) -> Watch | None:
        """The file's folder: the kubelet changes a mounted ConfigMap by turning a link beside it."""
        if self._settings_file is None:
            return None
        try:
            return inotify.add_watch(self._settings_file.absolute().parent, FILE_MASK)
        except OSError as error:
            event("inotify_refused", path=str(self._settings_file.parent), reason=error.strerror)
            return None
