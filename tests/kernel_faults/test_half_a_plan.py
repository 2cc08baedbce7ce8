"""docs/failure-modes/half-a-plan.md: whoever fills a slot and dies before the commit has changed nothing."""

from __future__ import annotations

from tests.kernel.harness import cgroups, kernel, load
from tests.kernel.harness.plans import plan
from tests.kernel.harness.trace import tracing

from temper.engine.generations import write_config
from temper.engine.scheduler import NR_SLOTS

CPUS = 4
FENCE = {2, 3}


def test_half_a_plan(attached_scheduler):
    path, others = cgroups.make("test-c"), cgroups.make("test-o")
    good, bad = plan(("critical", "test-c", 2)), plan(("critical", "test-o", 3), ("background", "test-c"))
    attached_scheduler.commit(good)
    spinners = load.spinners(path, 2)
    load.until_each_ran(spinners)
    assert {one.cpu() for one in spinners} <= FENCE

    # All that comes before the commit, in the slot that is next, with a generation that is newer; and then nothing.
    slot = (attached_scheduler._slot + 1) % NR_SLOTS
    config, ids = attached_scheduler._configs[slot], attached_scheduler._ids.extended(bad)
    write_config(config, bad, ids, nr_cpus=CPUS)
    attached_scheduler._write_members(slot, {member.cgroup_id: ids[member.layer] for member in bad.members})
    config.generation = 3
    strangers = load.spinners(others, 4)
    with tracing() as trace:
        load.until_each_ran(strangers, 0.2)
    assert {cpu for one in spinners for cpu in trace.cpus_of(one.pid)} == FENCE
    assert not {cpu for one in strangers for cpu in trace.cpus_of(one.pid)} & FENCE
    assert int(attached_scheduler._control.generation) == 2

    # Whoever comes next starts over in the same slot.
    assert attached_scheduler.commit(good).generation == 3
    assert attached_scheduler._slot == slot
    assert {one.cpu() for one in spinners} <= FENCE
    assert kernel.state() == "enabled"
