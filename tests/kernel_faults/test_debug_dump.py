"""docs/failure-modes/debug-dump.md: SysRq-D shows our layers by name, and each task's layer; the scheduler stays in."""

from __future__ import annotations

import re

from tests.kernel.harness import cgroups, kernel, load, workloads
from tests.kernel.harness.trace import ROOT
from tests.kernel.harness.waiting import until

EVENT = ROOT / "events/sched_ext/sched_ext_dump/enable"
LINE = re.compile(r"sched_ext_dump: (.*)")
TASK = re.compile(r"\w [^\[]+\[(\d+)\] ")
SLICES_S = 0.1


def dump():
    """What SysRq-D says, line by line."""
    (ROOT / "trace").write_text("")
    (ROOT / "tracing_on").write_text("1")  # whoever traced before has switched it off
    EVENT.write_text("1")
    try:
        kernel.SYSRQ.write_text("D")
        return until("a whole dump", lambda: [match[1] for match in LINE.finditer((ROOT / "trace").read_text())])
    finally:
        EVENT.write_text("0")


def read(lines):
    """The layers that a dump names, and of which of them each task (a pid) in it is."""
    layers, of_task, pid = set(), {}, None
    for line in map(str.strip, lines):
        if match := TASK.match(line.lstrip("*")):
            pid = int(match[1])
        elif line.startswith("layer ") and "queued_ns" in line:
            of_task[pid] = line.split()[1].rstrip(",")
        elif line.startswith("layer "):
            layers.add(line.split()[1].rstrip(":"))
    return layers, of_task


def test_debug_dump(run_agent):
    cgroups.make("test-c")
    agent = run_agent(workloads.text(("critical", "test-c", 1), ("background", "test-b")))
    background = cgroups.make("test-b")
    agent.until_says("both", lambda said: said["state"] == "enforcing" and said["nr_cgroups"] == 2)
    crowd = load.spinners(background, 8)
    # A task is of another layer from its first slice in the cgroup on.
    until("each had some", lambda: min(one.ran_s() for one in crowd) > SLICES_S)
    unseen = {one.pid for one in crowd}

    def all_were_shown():
        """The kernel takes one cpu's lock after the other: who moves to one that is done is in the next dump only."""
        layers, of_task = read(dump())
        assert {"system", "default", "critical", "background"} <= layers
        assert {of_task[one.pid] for one in crowd if one.pid in of_task} <= {"background"}, of_task
        unseen.difference_update(of_task)
        return not unseen

    until("each was in a dump", all_were_shown)
    agent.assert_never_left()
