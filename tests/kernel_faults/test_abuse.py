"""docs/failure-modes/abuse.md: stress-ng's scheduler stressors in Background and Normal pods beside a Critical one."""

from __future__ import annotations

import os
import subprocess
import time

from tests.kernel.harness import cgroups, load, workloads

from temper.plan.waits import percentile_us, waits_since

ABUSE_S = float(os.environ.get("TEMPER_ABUSE_S", "10"))
# Those that the test bed's guest offers, and that need no rights.
STRESSORS = {
    "test-n": "affinity clone cyclic eventfd exec flipflop fork futex hrtimers kill mq msg nanosleep",
    "test-b": "cpu-sched nice pipe poll prio-inv pthread schedpolicy sem sem-sysv session switch vfork yield zombie",
}
LONGEST_P99_US = 20_000
# As a pod without CAP_SYS_NICE: otherwise some of them are real-time and take the cpus from every tier.
UNPRIVILEGED = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all"
PULSE = """
while True:
    sum(range(1000))
    time.sleep(0.001)
"""


def stress(cgroup):
    """All of a cgroup's stressors, one of each."""
    words = [word for name in STRESSORS[cgroup].split() for word in (f"--{name}", "1")]
    start = 'echo 0 >"$0/cgroup.procs" && exec'
    program = f"{UNPRIVILEGED} stress-ng --quiet --temp-path /tmp --timeout {ABUSE_S:g} {' '.join(words)}"
    return load.start(f"{start} {program}", cgroups.ROOT / cgroup)


def test_abuse(run_agent, measured):
    for name in ("test-c", *STRESSORS):
        cgroups.make(name)
    agent = run_agent(workloads.text(("critical", "test-c", 1), ("normal", "test-n", 1), ("background", "test-b")))
    agent.until_attached()
    for _ in range(2):
        load.start_python(PULSE, cgroups.ROOT / "test-c")
    before = agent.until_says("counters", lambda said: said["stats"].get("critical", {}).get("nr_runs", 0) > 100)

    started = time.monotonic()
    stressors = [stress(cgroup) for cgroup in STRESSORS]
    for one in stressors:
        try:
            one.wait(ABUSE_S + 60)
        except subprocess.TimeoutExpired:  # the timeout is stress-ng's own, and it waits among those it has started
            one.kill()
    took_s = time.monotonic() - started
    measured(f"stress-ng told to stop after {ABUSE_S:g} s", took_s)
    assert took_s >= ABUSE_S  # or it has not begun
    agent.assert_never_left()
    now = agent.until_says("counters", lambda said: said["stats"] and said["stats"] != before["stats"])
    before, now = before["stats"]["critical"], now["stats"]["critical"]
    waits = waits_since(before["wait_hist"], now["wait_hist"])
    for share in (0.5, 0.99, 0.999):
        figure = percentile_us(waits, share, longest_ns=now["max_wait_ns"]) / 1e6
        measured(f"waits of Critical beside stress-ng's scheduler stressors, p{share * 100:g}", figure)
    assert sum(waits) > 20 * ABUSE_S
    assert percentile_us(waits, 0.99, longest_ns=now["max_wait_ns"]) <= LONGEST_P99_US
