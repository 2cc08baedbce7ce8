"""docs/decisions/0001-a-slot-is-a-generation.md: any valid plan to any other, twenty times a second, under load.

TEMPER_RECONFIGURATIONS sets how many (100 unless set; 1,000 for the record). The engine's part of a commit is in it:
the slot is filled, the cgroup map made equal, the commit program run.
"""

from __future__ import annotations

import os
import random
import time

from tests.kernel.harness import cgroups, kernel, load
from tests.kernel.harness.waiting import until

from temper.node.cgroups import Cgroups
from temper.node.topology import read_machine
from temper.plan.planner import make_plan
from temper.plan.tiers import Tier
from temper.plan.workloads import Workload

COUNT = int(os.environ.get("TEMPER_RECONFIGURATIONS", "100"))
PERIOD_S = 0.05
LONGEST_S = 0.010
NAMES = [f"test-{number}" for number in range(6)]


def test_reconfigured(attached_scheduler, measured):
    seed = int(os.environ.get("TEMPER_SEED", random.SystemRandom().randrange(2**32)))
    print(f"TEMPER_SEED={seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)  # noqa: S311 - dice, not keys
    crowd = [one for name in NAMES for one in load.spinners(cgroups.make(name), 2)]
    ids = [found.id for name in NAMES for found in Cgroups().match(name)]
    # The instrument is this process: it commits on time whatever the plan makes of its layer.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    machine, took_s, seq = read_machine(), [], kernel.look().seq
    for _ in range(COUNT):
        used = chance.sample(ids, chance.randint(0, len(ids)))
        tiers = [Workload(str(n), chance.choice(list(Tier)), (n,), chance.randint(1, 4000)) for n in used]
        plan, began = make_plan(machine, tiers), time.monotonic()
        attached_scheduler.commit(plan)
        took_s.append(time.monotonic() - began)
        time.sleep(max(0.0, began + PERIOD_S - time.monotonic()))
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    took_s.sort()
    measured(f"commit called -> in force, median of {COUNT}", took_s[COUNT // 2])
    measured(f"commit called -> in force, 99th percentile of {COUNT}", took_s[COUNT * 99 // 100])
    measured(f"commit called -> in force, longest of {COUNT}", took_s[-1])
    assert kernel.look() == kernel.Seen("enabled", "temper", seq)
    assert took_s[COUNT * 99 // 100] <= LONGEST_S
    before = {one: one.ran_s() for one in crowd}
    until("every task runs", lambda: all(one.ran_s() > ran for one, ran in before.items()))
