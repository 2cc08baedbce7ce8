from temper.agent.annotations import agent_status, wanted_annotations
from temper.agent.node_source import PodView
from temper.agent.states import State
from temper.agent.status import Status
from temper.plan.pod_tiers import Decision
from temper.plan.pods import Pod
from temper.plan.tiers import Tier


def view(tier, request_millicpu=None, name="p"):
    pod = Pod(uid=f"u-{name}", namespace="ns", name=name)
    return PodView(pod, Decision(tier, "because"), (), request_millicpu, None, frozenset())


def test_a_plain_state_stands_alone():
    assert agent_status(Status(state=State.ENFORCING)) == "enforcing"
    assert agent_status(Status(state=State.SAFE_MODE, reason="node annotation x=true")) == "safe-mode"


def test_any_other_state_comes_with_its_reason():
    assert agent_status(Status(state=State.EJECTED, reason="runnable task stall")) == "ejected: runnable task stall"
    assert len(agent_status(Status(state=State.UNSUPPORTED, reason="x" * 10_000))) == 512


def test_tiers_are_counted_and_system_pods_are_in_none():
    views = [view(Tier.HIGH, 1500), view(Tier.HIGH, None, "q"), view(None, 100, "r")]
    wanted = wanted_annotations(Status(state=State.ENFORCING), views, legacy=True)
    assert wanted["temper.codes/tier-high-pods"] == "2"
    assert wanted["temper.codes/tier-high-millicpu"] == "1500"
    assert wanted["temper.codes/tier-critical-pods"] == "0"
    assert sum(int(value) for name, value in wanted.items() if name.startswith("temper.codes/") and "pods" in name) == 2


def test_the_former_name_mirrors_ours_or_is_removed():
    status = Status(state=State.ENFORCING)
    mirrored = wanted_annotations(status, [], legacy=True)
    assert {
        name.removeprefix("infera.io/"): value for name, value in mirrored.items() if name.startswith("infera")
    } == {name.removeprefix("temper.codes/"): value for name, value in mirrored.items() if name.startswith("temper")}
    removed = wanted_annotations(status, [], legacy=False)
    assert {value for name, value in removed.items() if name.startswith("infera.io/")} == {None}


def test_the_kill_switch_is_never_written():
    assert not [name for name in wanted_annotations(Status(), [], legacy=True) if "safe-mode" in name]
