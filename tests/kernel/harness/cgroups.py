"""Cgroups of the tests' own, /sys/fs/cgroup/test-*, made and removed."""

from __future__ import annotations

import time
from pathlib import Path

from tests.kernel.harness.waiting import until

ROOT = Path("/sys/fs/cgroup")


def make(name):
    """Make a cgroup (and those above it) and return its path; the name begins with `test-`."""
    assert name.startswith("test-"), name
    path = ROOT / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def make_controlled(name):
    """The same, with the cpu controller's files in it."""
    path = make(name)
    for above in reversed(path.relative_to(ROOT).parents[:-1]):
        (ROOT / above / "cgroup.subtree_control").write_text("+cpu")
    return path


def procs(cgroup):
    """Pids in a cgroup."""
    return [int(pid) for pid in (cgroup / "cgroup.procs").read_text().split()]


def used_s(cgroup):
    """Seconds of cpu that its tasks have had; the kernel counts them whoever schedules."""
    return int((cgroup / "cpu.stat").read_text().split()[1]) / 1e6


def cpus_each(paths, window_s):
    """How many cpus the tasks of each had, over one window."""
    began, before = time.monotonic(), [used_s(path) for path in paths]
    time.sleep(window_s)
    took_s = time.monotonic() - began
    return [(used_s(path) - was) / took_s for path, was in zip(paths, before, strict=True)]


def remove_all():
    """Kill whatever runs in the tests' cgroups, then remove them, the deepest first."""
    for top in ROOT.glob("test-*"):
        (top / "cgroup.kill").write_text("1")
        until(f"{top} is empty", lambda top=top: "populated 0" in (top / "cgroup.events").read_text())
        for path in sorted(top.rglob("*/"), reverse=True):
            path.rmdir()
        top.rmdir()
