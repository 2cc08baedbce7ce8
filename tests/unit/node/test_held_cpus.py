import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temper.node.cgroups import Cgroups
from temper.node.held_cpus import held_cpus
from temper.plan.units import format_cpu_list

ONLINE = tuple(range(8))
ALL = format_cpu_list(ONLINE)
REST = "0-1,4-7"  # what the static policy leaves to others when 2-3 are given out


def write(folder, cpus, effective):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpuset.cpus").write_text(f"{cpus}\n")
    (folder / "cpuset.cpus.effective").write_text(f"{effective}\n")


def machine(root, pods, parent=ALL):
    """Pods below one parent. pods: name -> container -> its `cpuset.cpus`, or (`cpuset.cpus`, effective)."""
    (root / "cgroup.controllers").touch()
    write(root / "kubepods", "", parent)
    for pod, containers in pods.items():
        write(root / "kubepods" / pod, "", parent)
        for name, cpus in containers.items():
            own, effective = cpus if isinstance(cpus, tuple) else (cpus, cpus or parent)
            write(root / "kubepods" / pod / name, own, effective)
    return Cgroups(root), {pod: (found,) for pod in pods for found in Cgroups(root).match(f"kubepods/{pod}")}


def held(root, pods, **kwargs):
    cgroups, found = machine(root, pods, **kwargs)
    return {pod: format_cpu_list(cpus) for pod, cpus in held_cpus(cgroups, found, ONLINE).items()}


OTHERS = {"proxy": {"pause": "", "proxy": REST}, "agent": {"pause": "", "agent": REST}}


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        pytest.param({}, {}, id="no pods"),
        pytest.param({"a": {"pause": "", "app": ""}}, {}, id="no policy"),
        pytest.param({"a": {"app": "0-7"}, "b": {"app": "0-7"}}, {}, id="static policy, nothing given out"),
        pytest.param({"a": {"pause": "", "app": "2-3"}} | OTHERS, {"a": "2-3"}, id="static policy"),
        pytest.param(
            {"a": {"app": "2", "more": "3", "sidecar": REST}} | OTHERS, {"a": "2-3"}, id="two containers and a sidecar"
        ),
        pytest.param(
            {"a": {"app": "2-3"}, "b": {"app": "0-7"}, "c": {"app": ""}}, {"a": "2-3"}, id="pinned, others not narrowed"
        ),
        pytest.param(
            {"a": {"app": "2-3"}, "b": {"app": "4-5"}, "c": {"app": "0-1,6-7"}, "d": {"app": "0-1,6-7"}},
            {"a": "2-3", "b": "4-5"},
            id="two pods",
        ),
        pytest.param(
            {"a": {"app": "2-3"}, "b": {"app": "4-5"}, "late": {"app": REST}}
            | {name: {"app": "0-1,6-7"} for name in ("c", "d")},
            {"a": "2-3", "b": "4-5"},
            id="a pod that still wears the rest as it was before",
        ),
        pytest.param(
            {"a": {"app": "2-3"}, "b": {"app": "4-5"}} | OTHERS, {"a": "2-3"}, id="given out, but not yet exclusive"
        ),
        pytest.param(
            {name: {"pause": "0", "app": cpus} for name, cpus in {"a": "2-3", "b": REST, "c": REST}.items()},
            {"a": "2-3"},
            id="CRI-O's infra_ctr_cpuset",
        ),
        pytest.param({"a": {"app": "2-3"}, "b": {"app": "3-4"}}, {"a": "2-3", "b": "3-4"}, id="overlapping pins"),
        pytest.param({"a": {"app": ("2-3,9", "2-3")}}, {"a": "2-3"}, id="partly offline"),
        pytest.param({"a": {"app": "2-3,9"}}, {"a": "2-3"}, id="gone offline since"),
        pytest.param({"a": {"app": ("9", "0-7")}}, {}, id="wholly offline: the kernel falls back to the parent's"),
        pytest.param({"a": {"app": ("2-3", "")}}, {}, id="effective set empty"),
        pytest.param({"a": {"app": ("2-3", "rubbish")}}, {}, id="effective set is no list"),
        pytest.param({"a": {"app": ("\N{SNOWMAN}", "2-3")}}, {}, id="own set is no list"),
    ],
)
def test_who_holds_which_cpus(tmp_path, pods, expected):
    assert held(tmp_path, pods) == expected


@pytest.mark.parametrize(("cpus", "expected"), [("2-7", {}), ("4", {"a": "4"}), ("0-7", {})])
def test_narrower_than_the_parent_not_than_the_machine(tmp_path, cpus, expected):
    """AllowedCPUs= on the kubepods slice narrows every pod; nothing is given to anyone."""
    effective = "2-7" if cpus == "0-7" else cpus
    assert held(tmp_path, {"a": {"app": (cpus, effective)}}, parent="2-7") == expected


def test_the_pod_itself_may_be_narrowed_or_be_a_container(tmp_path):
    cgroups, found = machine(tmp_path, {"a": {"app": ""}})
    write(tmp_path / "kubepods/a", "5", "5")
    assert held_cpus(cgroups, found, ONLINE) == {"a": {5}}


def test_no_cpuset_controller_and_no_directory(tmp_path):
    cgroups, found = machine(tmp_path, {"a": {"app": "2-3"}, "b": {"app": "4"}})
    for path in tmp_path.rglob("cpuset.*"):
        path.unlink()
    assert held_cpus(cgroups, found, ONLINE) == {}
    (tmp_path / "kubepods").rename(tmp_path / "gone")
    assert held_cpus(cgroups, found, ONLINE) == {}


def test_an_unreadable_parent_means_the_whole_machine(tmp_path):
    cgroups, found = machine(tmp_path, {"a": {"app": "2-3"}})
    (tmp_path / "kubepods/cpuset.cpus.effective").unlink()
    assert held_cpus(cgroups, found, ONLINE) == {"a": {2, 3}}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.sampled_from(range(1, 8)), min_size=1, max_size=3), max_size=4), st.integers(2, 4))
def test_the_static_policy_is_read_back(tmp_path_factory, wanted, others):
    given_out, rest = [], set(ONLINE)
    for cpus in wanted:
        given_out.append(cpus & rest)
        rest -= cpus
    pods = {f"x{number}": {"app": format_cpu_list(cpus)} for number, cpus in enumerate(given_out) if cpus}
    shared = {f"s{number}": {"app": format_cpu_list(rest)} for number in range(others)}
    expected = {pod: containers["app"] for pod, containers in pods.items()}
    assert held(tmp_path_factory.mktemp("machine"), pods | shared) == expected


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), st.text(st.sampled_from("0123456789-, \nx"), max_size=12)))
def test_any_text_gives_online_cpus_only(tmp_path_factory, texts):
    pods = {pod: {"app": (text, text)} for pod, text in texts.items()}
    cgroups, found = machine(tmp_path_factory.mktemp("machine"), pods)
    for cpus in held_cpus(cgroups, found, ONLINE).values():
        assert cpus and cpus < set(ONLINE)
