"""docs/decisions/0008-weight-is-a-price.md: who ran alone owes nobody anything; newcomers share with it."""

from __future__ import annotations

import time

from bench.guest import tasks
from tests.kernel.harness import cgroups, load
from tests.kernel.harness.plans import plan
from tests.kernel.harness.trace import tracing

CPUS = 4
ALONE_S = 5.0
NEWCOMERS = 6
WINDOW_S = 2.0
SHARE_WINDOW_S = 4.0
# Of four cpus twelve have a third of one each. What the first ones are owed for not having waited is a moment's.
MOST_SHARE, LEAST_SHARE = 0.37, 0.30
# Seven on four cpus: three slices of Normal's 20 ms, each to its tick.
LONGEST_WAIT_S = 0.075


def test_who_ran_alone(attached_scheduler, measured):
    path = cgroups.make("test-v")
    attached_scheduler.commit(plan(("normal", "test-v")))
    (first,) = load.spinners(path, 1)
    time.sleep(ALONE_S)
    with tracing("sched_switch") as trace:
        load.spinners(path, NEWCOMERS)
        time.sleep(WINDOW_S)
    wait_s = trace.away_s[first.pid]
    measured(f"the longest wait of who ran alone for {ALONE_S:g} s, beside {NEWCOMERS} newcomers", wait_s)
    assert wait_s <= LONGEST_WAIT_S


def test_beside_who_pays_more(attached_scheduler, measured):
    """On the fourth cpu is a niced one, whose virtual time goes a hundred times as fast: nobody is owed that."""
    path = cgroups.make("test-v")
    attached_scheduler.commit(plan(("normal", "test-v")))
    newcomers = load.crowd(path, 9)
    first = [one.pid for one in load.spinners(path, CPUS - 1)]
    load.Spinner(path, None, ["nice", "-n", "19"]).until_in()
    time.sleep(ALONE_S)
    load.go(newcomers)
    began_s, had_ns = time.monotonic(), tasks.ran_ns([*first, *newcomers])
    time.sleep(SHARE_WINDOW_S)
    now_ns, took_s = tasks.ran_ns([*first, *newcomers]), time.monotonic() - began_s
    shares = {pid: (now_ns[pid] - had) / took_s / 1e9 for pid, had in had_ns.items()}
    measured(
        "three that ran alone, beside nine newcomers and a niced one: their cpus", max(shares[pid] for pid in first)
    )
    measured("... the newcomers'", min(shares[pid] for pid in newcomers))
    assert max(shares.values()) <= MOST_SHARE
    assert min(shares.values()) >= LEAST_SHARE
