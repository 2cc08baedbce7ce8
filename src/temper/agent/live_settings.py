"""The settings in force: read at the start, and again when a person says so or their file changes.

A tree with findings changes nothing. Of a good one, the keys that can change in a running agent are adopted; the others
are named, and wait for a restart.
"""

from __future__ import annotations

from collections.abc import Callable

from temper.agent.events import event
from temper.errors import InvalidInput
from temper.settings.agent import AgentSettings, adopt, changes, load
from temper.settings.sources import Sources


class LiveSettings:
    """Call it for the tree in force. InvalidInput when the first one is wrong."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.on_change: Callable[[], None] = lambda: None
        self._now = load(sources, needs_node_name=True).settings

    def __call__(self) -> AgentSettings:
        """Those in force now."""
        return self._now

    def reload(self) -> None:
        """Read every source anew and adopt what may change."""
        try:
            new = load(self.sources, needs_node_name=True).settings
        except InvalidInput as error:
            for finding in error.findings:
                event("settings_refused", place=finding.place, reason=finding.message)
            return
        differing = changes(self._now, new)
        if differing.restart:
            event("settings_need_restart", keys=",".join(differing.restart))
        if differing.live:
            self._now = adopt(self._now, new)
            event("settings_changed", keys=",".join(differing.live))
            self.on_change()
