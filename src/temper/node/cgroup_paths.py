"""Where a cgroup is that only its id is known of: the kernel counts by ids, people know paths."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator

# Directories that one walk lists, the shallow ones first: a few tens of milliseconds. A node has about a thousand.
MAX_LISTED = 8192


class CgroupPaths:
    """Of one cgroup root. An id that is asked for the first time costs a walk of the tree; then it is known.

    A cgroup's path never changes, and its id is never given again. Two threads may ask at once: at worst both walk.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._paths: dict[int, str | None] = {}  # None: not there when it was looked for

    def find(self, ids: Collection[int]) -> dict[int, str]:
        """Id -> path below the root, of those that are there."""
        known = self._paths
        if missing := {each for each in ids if each not in known}:
            known = known | dict.fromkeys(missing) | self._walk(missing)
        self._paths = {each: known[each] for each in ids}
        return {each: path for each, path in self._paths.items() if path is not None}

    def _walk(self, wanted: set[int]) -> dict[int, str]:
        found: dict[int, str] = {}
        queue = deque([""])
        for _ in range(MAX_LISTED):
            if not queue or len(found) == len(wanted):
                break
            for cgroup_id, path in self._children(queue.popleft()):
                queue.append(path)
                if cgroup_id in wanted:
                    found[cgroup_id] = path
        return found

    def _children(self, path: str) -> Iterator[tuple[int, str]]:
        """A listing gives the inodes, which are the ids, without a stat of each."""
        prefix = f"{path}/" if path else ""
        try:
            with os.scandir(f"{self._root}/{path}") as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        yield entry.inode(), f"{prefix}{entry.name}"
        except OSError:  # gone meanwhile
            return
