"""Cgroups of the tests' own, /sys/fs/cgroup/test-*, made and removed."""

from __future__ import annotations

from pathlib import Path

from tests.kernel.harness.waiting import until

ROOT = Path("/sys/fs/cgroup")


def make(name):
    """Make a cgroup (and those above it) and return its path; the name begins with `test-`."""
    assert name.startswith("test-"), name
    path = ROOT / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def procs(cgroup):
    """Pids in a cgroup."""
    return [int(pid) for pid in (cgroup / "cgroup.procs").read_text().split()]


def used_s(cgroup):
    """Seconds of cpu that its tasks have had; the kernel counts them whoever schedules."""
    return int((cgroup / "cpu.stat").read_text().split()[1]) / 1e6


def remove_all():
    """Kill whatever runs in the tests' cgroups, then remove them, the deepest first."""
    for top in ROOT.glob("test-*"):
        (top / "cgroup.kill").write_text("1")
        until(f"{top} is empty", lambda top=top: "populated 0" in (top / "cgroup.events").read_text())
        for path in sorted(top.rglob("*/"), reverse=True):
            path.rmdir()
        top.rmdir()
