"""docs/failure-modes/cpu-max.md, where the kernel tells nobody of cpu.max and cpu.idle: looked at each beat."""

from __future__ import annotations

import pytest
from tests.kernel.harness import direct, load
from tests.kernel.harness.limits import limit
from tests.kernel.harness.plans import plan
from tests.kernel_timed.test_cpu_weight import IDLE_MOST, cpus_of

from temper.engine import preflight
from temper.engine.scheduler import OPTIONAL_MEMBERS

QUOTA_CLOSE = 0.01


@pytest.fixture
def untold_scheduler(clean_machine, monkeypatch):
    """One on a kernel that, as far as the engine can tell, has neither callback."""
    known = preflight.kernel_names
    monkeypatch.setattr(preflight, "kernel_names", lambda *names: known(*names) - OPTIONAL_MEMBERS)
    with direct.attached() as scheduler:
        yield scheduler


@pytest.fixture
def pods(untold_scheduler):
    """Two cgroups of one layer, four spinners each."""
    paths = [limit(f"test-p/{name}", None) for name in "ab"]
    untold_scheduler.commit(plan(("normal", "test-p", 1)))
    for path in paths:
        load.spinners(path, 4)
    return paths


def test_a_new_cpu_max_holds_after_a_beat(untold_scheduler, pods):
    assert cpus_of(pods) == pytest.approx([2, 2], rel=0.1)
    for quota_us, cpus in ((50_000, 0.5), (120_000, 1.2)):
        limit("test-p/a", quota_us)
        untold_scheduler.beat()
        assert cpus_of(pods)[0] == pytest.approx(cpus, rel=QUOTA_CLOSE)
        untold_scheduler.beat()  # nothing new: the bucket is not filled again
    limit("test-p/a", None)
    untold_scheduler.beat()
    assert cpus_of(pods) == pytest.approx([2, 2], rel=0.1)


def test_a_new_cpu_idle_holds_after_a_beat(untold_scheduler, pods):
    a = pods[0]
    (a / "cpu.idle").write_text("1")
    untold_scheduler.beat()
    assert cpus_of(pods)[0] < IDLE_MOST * 4
    (a / "cpu.idle").write_text("0")
    untold_scheduler.beat()
    assert cpus_of(pods) == pytest.approx([2, 2], rel=0.1)
