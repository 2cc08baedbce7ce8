"""`temper plan` with everything wrong at once, on this machine: each finding with its place, exit 2."""

from __future__ import annotations

import json

from tests.kernel.harness import cgroups
from tests.kernel.harness.temper import temper

WRONG = """
version = 1
color = "red"
[[workload]]
name = "a"
tier = "gold"
cgroup = "test-x"
[[workload]]
name = "b"
tier = "low"
cgroup = "../../etc"
[[workload]]
name = "c"
tier = "low"
cgroup = "test-x"
cpu = 3
"""
FINDINGS = {
    "color": "unknown key",
    "workload[0].tier": '"gold" is not one of',
    "workload[1].cgroup": "has a . or .. in it",
    "workload[2].cpu": 'did you mean "cpus"?',
}
CLASHING = """
version = 1
[[workload]]
name = "a"
tier = "low"
cgroup = "test-x"
cpus = 400
[[workload]]
name = "b"
tier = "high"
cgroup = "test-*"
"""


def findings(folder, text):
    """Place -> message, once exit code and stderr were checked against them."""
    file = folder / "w.toml"
    file.write_text(text)
    plain, done = temper("plan", "--workloads", file), temper("plan", "--workloads", file, "--json")
    assert (plain.returncode, done.returncode, plain.stdout) == (2, 2, "")
    found = {entry["place"]: entry["message"] for entry in json.loads(done.stdout)["error"]["findings"]}
    assert plain.stderr.splitlines() == [f"{place}: {message}" for place, message in found.items()]
    return {place.removeprefix(f"{file}: "): message for place, message in found.items()}


def test_every_finding_with_its_place(folder):
    found = findings(folder, WRONG)
    assert found.keys() == FINDINGS.keys()
    for place, message in FINDINGS.items():
        assert message in found[place]


def test_what_only_this_machine_can_tell(folder):
    cgroups.make("test-x")
    found = findings(folder, CLASHING)
    assert found["workload[0].cpus"] == "400 cpus asked, this machine has 4"
    assert 'claims cgroup "test-x", which already belongs to "a"' in found["workload[1]"]


def test_not_toml(folder):
    found = findings(folder, 'version = 1\n[[workload]\nname = "a"\n')
    assert [place.rpartition("w.toml:")[2] for place in found] == ["2:11"]
