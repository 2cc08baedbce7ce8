"""docs/failure-modes/starvation.md: whoever is outranked, outnumbered or niced still runs, and no watchdog trips."""

from __future__ import annotations

import itertools
import os
import time

from tests.kernel.harness import cgroups, kernel, load, workloads
from tests.kernel.harness.plans import plan
from tests.kernel.harness.temper import status
from tests.kernel.harness.trace import tracing

# Longer than the kernel's watchdog (timeout_ms) and half of that, at which it looks.
WINDOW_S = 20.0
LONGEST_WAIT_S = 3.5
# A niced task may wait longer, but not until the watchdog looks.
LONGEST_NICED_S = 5.0
CPUS = 4
SHARE_WINDOW_S = 4.0
# Of its cpu: 8 that wait below have a turn of a tick every eighth of a second, all cpus together.
LEAST_SHARE = 0.95
ONE_CPU = 3
NR_BELOW = 48
# To the next tick, once the other one has run for a millisecond. Its slice would be 20 ms, which it has now and then
# after a turn of those below.
HURRIED_S, MOST_LONG = 0.009, 0.05
# From one tick to between two; the others begin to wait a little later than who is measured.
NAP_S, LATER_S = 0.005, 0.0015


def test_starvation(run_agent, measured):
    for name in ("test-b", "test-n", "test-unnamed"):
        cgroups.make(name)
    agent = run_agent(workloads.text(("normal", "test-n", 2), ("background", "test-b")))
    agent.until_attached()
    background = load.spinners(cgroups.ROOT / "test-b", 64)
    os.setpriority(os.PRIO_PROCESS, background[0].pid, 19)
    os.sched_setaffinity(background[1].pid, {0})
    # Normal and default stand above, with a spinner for every cpu each.
    for name in ("test-n", "test-unnamed"):
        load.spinners(cgroups.ROOT / name, CPUS)

    with kernel.Watch() as watch, tracing("sched_switch") as trace:
        time.sleep(WINDOW_S)
    waits = trace.waits_s(one.pid for one in background)
    measured("longest wait of 64 Background spinners below busy tiers", max(waits[1:]))
    measured("... of the one at nice 19", waits[0])
    measured("... of the one that may use one cpu only", waits[1])
    assert watch.states == ["enabled"]
    assert max(waits[1:]) <= LONGEST_WAIT_S, waits
    assert waits[0] <= LONGEST_NICED_S
    counters = agent.until_says("counters", lambda said: said["stats"])["stats"]["background"]
    assert counters["nr_runs"] > len(background)
    assert "nr_rescued" in status()["stats"]["background"]


def test_who_is_alone_in_its_tier_keeps_its_cpu(attached_scheduler, measured):
    """At the end of its slice nobody of its own waits, but those below do: they have turns, not every other slice."""
    ours, below = cgroups.make("test-n"), cgroups.make("test-b")
    attached_scheduler.commit(plan(("normal", "test-n", 2), ("background", "test-b")))
    outranked = load.spinners(below, 2 * CPUS)
    owners = load.spinners(ours, CPUS)

    before_s, started_s = [one.ran_s() for one in owners], time.monotonic()
    with tracing("sched_switch") as trace:
        time.sleep(SHARE_WINDOW_S)
    took_s = time.monotonic() - started_s
    shares = [(one.ran_s() - had_s) / took_s for one, had_s in zip(owners, before_s, strict=True)]
    waits = trace.waits_s(one.pid for one in outranked)
    measured("what each of 4 Normal spinners keeps of its cpu above 8 of Background, the least", min(shares))
    measured("... and all together", f"{sum(shares) / CPUS:.1%}")
    measured("... the longest wait below", max(waits))
    assert sum(shares) / CPUS >= LEAST_SHARE
    assert max(waits) <= LONGEST_WAIT_S


def test_who_waits_for_one_cpu_alone(attached_scheduler, realtime, measured):
    """Whoever runs there ends at the next tick; not less so when many of a lower rank begin to wait there as well."""
    ours, below = cgroups.make("test-n"), cgroups.make("test-l")
    attached_scheduler.commit(plan(("normal", "test-n"), ("low", "test-l")))
    load.spinners(ours, 1, cpu=ONE_CPU)
    (napper,) = load.nappers(ours, 1, NAP_S, [ONE_CPU])
    outranked = load.nappers(below, NR_BELOW, NAP_S + LATER_S, [ONE_CPU])

    with tracing("sched_switch") as trace:
        time.sleep(SHARE_WINDOW_S)
    spells = trace.spells[napper.pid]
    waits = [after.start_s - before.end_s - NAP_S for before, after in itertools.pairwise(spells)]
    long = sum(wait_s > HURRIED_S for wait_s in waits) / len(waits)
    nr_naps = [len(trace.spells[one.pid]) for one in outranked]
    measured("the longest wait for the one cpu that it may use, behind one of its own tier", max(waits))
    measured(f"... how many of {len(waits)} are longer than a tick and two", f"{long:.1%}")
    measured(f"... how often each of {NR_BELOW} below it ran", f"{min(nr_naps)} to {max(nr_naps)}")
    assert min(nr_naps) > 0
    assert long <= MOST_LONG
