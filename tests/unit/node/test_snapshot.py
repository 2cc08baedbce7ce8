import pytest

from temper.errors import InvalidInput
from temper.node.cgroups import Cgroups
from temper.node.snapshot import snapshot
from temper.plan.machine import Cpu, Machine
from temper.settings.workloads import parse

MACHINE = Machine(tuple(Cpu(cpu, cpu, 0, 0) for cpu in range(4)))


@pytest.fixture
def cgroups(tmp_path):
    (tmp_path / "cgroup.controllers").touch()
    for name in ("a.slice/one", "a.slice/two", "b.service"):
        (tmp_path / name).mkdir(parents=True)
    return Cgroups(tmp_path)


def file(*entries):
    """A workloads file; each entry is the lines that say which cgroups and how many cpus."""
    rules = (f'[[workload]]\nname = "w{i}"\ntier = "low"\n{lines}' for i, lines in enumerate(entries))
    return parse("\n".join(["version = 1", *rules]), "f")


def test_rules_become_workloads_in_the_files_order(cgroups):
    found = snapshot(
        file('unit = "b.service"\ncpus = 1.5', 'cgroup = "a.slice/*"', 'cgroup = "no/*"'), cgroups, MACHINE
    )
    ids = {path.name: path.stat().st_ino for path in cgroups.root.rglob("*")}
    assert [(w.name, w.request_millicpu, w.place) for w in found] == [
        ("w0", 1500, "f: workload[0]"),
        ("w1", None, "f: workload[1]"),
        ("w2", None, "f: workload[2]"),
    ]
    assert [w.cgroup_ids for w in found] == [(ids["b.service"],), tuple(sorted([ids["one"], ids["two"]])), ()]


def test_every_finding_at_once(cgroups):
    rules = file('cgroup = "a.slice/*"\ncpus = 64', 'cgroup = "a.slice/one"', 'unit = "b.service"\ncpus = "4001m"')
    with pytest.raises(InvalidInput) as caught:
        snapshot(rules, cgroups, MACHINE)
    assert [str(finding) for finding in caught.value.findings] == [
        "f: workload[0].cpus: 64 cpus asked, this machine has 4",
        "f: workload[2].cpus: 4.001 cpus asked, this machine has 4",
        'f: workload[1]: "w1" claims cgroup "a.slice/one", which already belongs to "w0" (f: workload[0])',
    ]


def test_a_cgroup_below_another_rules_cgroup_is_no_clash(cgroups):
    assert len(snapshot(file('cgroup = "a.slice"', 'cgroup = "a.slice/one"\ncpus = 4'), cgroups, MACHINE)) == 2
