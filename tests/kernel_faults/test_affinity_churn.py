"""docs/failure-modes/affinity-churn.md: affinities change at random under tasks that run and wait."""

from __future__ import annotations

import os
import random
import time

from tests.kernel.harness import cgroups, load, workloads

CHURN_S = float(os.environ.get("TEMPER_CHURN_S", "8"))
NAMES = ("test-c", "test-h", "test-b")
# Sleeps at times, so that wake-ups too meet a mask that is about to change.
RESTLESS = """
while True:
    sum(range(5000))
    time.sleep(0.0005)
"""
STRESS = 'echo 0 >"$0/cgroup.procs" && exec stress-ng --quiet --affinity 2 --cpu-sched 2'


def test_affinity_churn(run_agent, realtime, measured):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)  # noqa: S311 - dice, not keys
    paths = [cgroups.make(name) for name in NAMES]
    agent = run_agent(workloads.text(("critical", "test-c", 2), ("high", "test-h", 1), ("background", "test-b")))
    agent.until_attached()
    pids = [load.start_python(RESTLESS, path).pid for path in paths]
    spinners = [one for path in paths for one in load.spinners(path, 2)]
    stressor = load.start(STRESS, paths[-1])
    pids += [one.pid for one in spinners]

    before = {one: one.ran_s() for one in spinners}
    changes, end_s = 0, time.monotonic() + CHURN_S
    while time.monotonic() < end_s:
        os.sched_setaffinity(chance.choice(pids), chance.sample(range(4), chance.choice((1, 1, 2, 3, 4))))
        changes += 1
        time.sleep(0.0002)
    measured(f"changes of affinity in {CHURN_S:g} s", changes)
    agent.assert_never_left()
    assert stressor.poll() is None
    assert changes > 100 * CHURN_S
    assert all(one.ran_s() > ran for one, ran in before.items())
