"""The agent's commits, from copies of its status file: one JSON object a line, `t_ns` and the `status` as it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.percentiles import percentile

# Keys of the status's last_commit_ns (src/temper/agent/supervisor.py, loop.py), and the metric that each becomes.
# commit: asked of the engine until the kernel has it in force, by the kernel's word. from_change_seen: since the file's
# change was seen until the engine's answer, with the debounce and the planning. kernel: the commit program.
PARTS = {"commit": "commit_to_in_force", "from_change_seen": "change_to_in_force", "kernel": "commit_in_kernel"}
# What the agent notes when it could not do as the file says (src/temper/agent/loop.py and bpf/commit.bpf.h's refusals).
REFUSED = ("kept the last good plan", "commit refused")


@dataclass(frozen=True, slots=True)
class Commits:
    """What was seen over a time. counted: by the agent, from its first to its last word; some may not have been seen.

    took_ns: by part, ascending. refused: notes that say that a change was not put in force, each once. states: every
    state; pids: every pair of agent and engine.
    """

    counted: int
    took_ns: dict[str, list[int]]
    refused: tuple[str, ...]
    states: tuple[str, ...]
    pids: tuple[tuple[int, int], ...]

    def percentile_us(self, part: str, share: float) -> float:
        """Of one part, in microseconds; nan without any."""
        return round(percentile(self.took_ns[part], share) / 1e3, 1)


def read(path: Path) -> Commits:
    """From a file of such lines."""
    return commits([json.loads(line)["status"] for line in path.read_text().splitlines()])


def commits(statuses: Sequence[dict[str, Any]]) -> Commits:
    """From statuses in their order. The first is the state before: what it tells of a commit is older."""
    took: dict[str, list[int]] = {part: [] for part in PARTS}
    known = statuses[0]["nr_commits"] if statuses else 0
    first = known
    for status in statuses:
        if status["nr_commits"] == known:
            continue
        known = status["nr_commits"]
        for part in PARTS:
            if part in status["last_commit_ns"]:
                took[part].append(status["last_commit_ns"][part])
    notes = [note for status in statuses for note in status["notes"] if note.startswith(REFUSED)]
    return Commits(
        counted=known - first,
        took_ns={part: sorted(values) for part, values in took.items()},
        refused=tuple(dict.fromkeys(notes)),
        states=tuple(dict.fromkeys(status["state"] for status in statuses)),
        pids=tuple(dict.fromkeys((status["agent_pid"], status["engine_pid"]) for status in statuses)),
    )
