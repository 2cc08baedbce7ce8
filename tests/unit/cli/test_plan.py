import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from temper.cli.plan import plan
from temper.errors import Refused

GOOD = """
version = 1
[[workload]]
name = "memcached [red]"
tier = "critical"
cgroup = "demo.slice/*"
cpus = 2
[[workload]]
name = "later"
tier = "low"
unit = "later.service"
"""
BAD = 'version = 1\n[[workload]]\nname = "a"\ntier = "urgent"\n'


@pytest.fixture
def run(tmp_path):
    """`temper plan` with a workloads file on a made-up machine of 4 cpus with one cgroup."""
    (tmp_path / "sys/devices/system/cpu").mkdir(parents=True)
    (tmp_path / "sys/devices/system/cpu/online").write_text("0-3\n")
    (tmp_path / "cgroup/demo.slice/one").mkdir(parents=True)
    (tmp_path / "cgroup/cgroup.controllers").touch()

    def run(text, *flags):
        path = tmp_path / "w.toml"
        path.write_text(text)
        roots = ["--cgroup-root", str(tmp_path / "cgroup"), "--sys-root", str(tmp_path / "sys")]
        return CliRunner().invoke(plan, ["--workloads", str(path), *roots, *flags])

    return run


def test_tables_reasons_and_notes(run):
    result = run(GOOD)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "4 cpus, 4 cores, 1 last-level cache, 1 NUMA node"
    assert any(line.startswith("critical confined 2-3 protected,") and "memcached [red]" in line for line in lines)
    assert "default open - - 20 ms every other task" in lines
    assert any(line.startswith("critical: 2 cpus wanted: 2 whole cores (2 cpus) fenced") for line in lines)
    assert lines[-1].endswith('w.toml: workload[1]: "later" has no cgroup now; left out until one appears')


def test_json(run, tmp_path):
    result = run(GOOD, "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["version"]) == (0, 1)
    assert told["machine"] == {"cpus": 4, "cores": 4, "llcs": 1, "nodes": 1}
    assert [(layer["name"], layer["cpus"]) for layer in told["layers"]] == [
        *[("system", []), ("critical", [2, 3]), ("default", [])]
    ]
    critical = told["layers"][1]
    assert (critical["kind"], critical["rank"], critical["slice_us"]) == ("confined", 1, 5000)
    assert critical["workloads"] == ["memcached [red]"]
    inode = (tmp_path / "cgroup/demo.slice/one").stat().st_ino
    assert told["members"] == [{"cgroup_id": inode, "layer": "critical"}]
    assert told["findings"][0]["place"].endswith("workload[1]")


def test_how_cpu_max_holds_and_the_ceiling(run):
    text = f"{GOOD}[tiers]\nsmooth_periods = 4\nceiling.critical = 1.5\n"
    assert "cpu.max is smooth (4 periods may be saved up), the tier's ceiling 1.5 cpus." in run(text).stdout
    told = {layer["name"]: layer for layer in json.loads(run(text, "--json").stdout)["layers"]}
    assert (told["critical"]["smooth_periods"], told["critical"]["ceiling_millicpu"]) == (4, 1500)
    assert (told["default"]["smooth_periods"], told["default"]["ceiling_millicpu"]) == (0, 0)
    assert (
        "note: tier critical: 2 cpus requested, and its ceiling is 1.5: it gets no more than that" in run(text).stdout
    )


DEMANDING = 'version = 1\n[[workload]]\nname = "api"\ntier = "high"\ncgroup = "demo.slice/*"\ncpus = 3\n'


def test_what_if_a_tier_used_so_much(run):
    assert "high grouped 1-3 protected" in " ".join(run(DEMANDING).stdout.split())
    result = run(DEMANDING, "--used", "high=0.5", "--used", "normal=1")
    assert "high grouped 3 protected" in " ".join(result.stdout.split())
    assert "By demand: 3 requested, 0.5 used: prefers 1." in result.stdout
    (size,) = json.loads(run(DEMANDING, "--used", "high=500m", "--json").stdout)["sizes"]
    assert size == {"layer": "high", "requested": 3, "owned": 1, "room": 3, "least": 1, "most": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("low=1", '"low=1" is not TIER=CPUS with a tier of critical, high, normal'),
        ("high", '"" is not a number of cpus'),
        ("high=x", '"x" is not a number of cpus'),
    ],
)
def test_a_use_that_is_none(run, text, message):
    result = run(DEMANDING, "--used", text)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_bad_input_prints_every_finding_on_its_line(run):
    result = run(BAD)
    assert (result.exit_code, result.stdout) == (2, "")
    tier, cgroup = result.stderr.splitlines()
    assert tier.endswith('w.toml: workload[0].tier: "urgent" is not one of critical, high, normal, low, background')
    assert cgroup.endswith("w.toml: workload[0].cgroup: write exactly one of cgroup and unit")


def test_bad_input_as_json(run):
    result = run(BAD, "--json")
    error = json.loads(result.stdout)["error"]
    assert (result.exit_code, result.stderr) == (2, "")
    assert [finding["message"] for finding in error["findings"]][1] == "write exactly one of cgroup and unit"


def test_a_refusal_is_for_the_caller_but_json_on_demand(run, tmp_path):
    (tmp_path / "cgroup/cgroup.controllers").unlink()
    assert isinstance(run(GOOD).exception, Refused)
    result = run(GOOD, "--json")
    error = json.loads(result.stdout)["error"]
    assert (result.exit_code, error["findings"]) == (3, [])
    assert "needs cgroup v2" in error["message"]


def test_help_has_examples():
    assert "temper plan --workloads" in CliRunner().invoke(plan, ["--help"]).stdout


def test_rich_is_not_imported_before_a_table_is_printed():
    code = "import sys, temper.cli.plan; sys.exit(bool({'rich', 'json'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)
