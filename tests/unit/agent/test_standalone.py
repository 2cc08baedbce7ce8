import pytest

from temper.agent import standalone
from temper.agent.source import Options
from temper.agent.standalone import FileSource
from temper.plan.machine import Cpu, Machine

FILE = """
version = 1
[[workload]]
name = "w"
tier = "high"
cgroup = "w.slice"
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    """The source of a file with one workload, on a made-up machine that has its cgroup."""
    monkeypatch.setattr(standalone, "read_machine", lambda: Machine(tuple(Cpu(cpu, cpu, 0, 0) for cpu in range(4))))
    (tmp_path / "cgroup/w.slice").mkdir(parents=True)
    (tmp_path / "cgroup/cgroup.controllers").touch()
    file = tmp_path / "workloads.toml"
    file.write_text(FILE)
    made = FileSource(file, Options(cgroup_root=tmp_path / "cgroup", run_root=tmp_path / "run"))
    made.file = file
    return made


def test_a_quota_and_a_ceiling_that_changed_count_at_once(source):
    before = source.make_plan()
    assert source.make_plan() == before
    source.file.write_text(f"{FILE}[tiers]\nquota.high = 'strict'\nceiling.high = 0.5\n")
    high = source.make_plan().layer("high")
    assert (before.layer("high").smooth_periods, before.layer("high").ceiling_millicpu) == (10, 0)
    assert (high.smooth_periods, high.ceiling_millicpu) == (0, 500)
