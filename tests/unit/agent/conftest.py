import asyncio
from types import SimpleNamespace

import pytest

from temper.agent.facts import Api, Facts
from temper.agent.lint import Linter
from temper.agent.measurements import Measurements
from temper.agent.node_source import PodView
from temper.agent.states import State
from temper.agent.status import Status
from temper.node.cgroups import CgroupDir
from temper.node.placement import Sampler
from temper.node.shape import Shape
from temper.plan.layers import Member, Plan
from temper.plan.machine import Cpu, Machine
from temper.plan.planner import make_plan
from temper.plan.pod_tiers import Decision
from temper.plan.pods import Pod
from temper.plan.tiers import Tier
from temper.plan.workloads import Workload
from temper.settings.agent import AgentSettings, CgroupTree
from temper.wire.messages import LayerStats

MACHINE = Machine(tuple(Cpu(cpu, cpu, 0, 0) for cpu in range(4)))
PODS = (
    ("shop/web", Tier.CRITICAL, 2000, 11),
    ("shop/batch", Tier.BACKGROUND, None, 12),
    ("kube-system/proxy", None, 100, 13),
)
STATS = LayerStats(3_000_000_000, 500_000_000, 1000, 900, 5, 2, 1, 0, 7_000_000)


@pytest.fixture
def event_loop_turn():
    """Let the loop turn until something holds: at most a second."""

    async def turn(holds):
        async with asyncio.timeout(1):
            while not holds():
                await asyncio.sleep(0)

    return turn


@pytest.fixture
def events(monkeypatch):
    """What was logged meanwhile: (name, details) each."""
    kept = []
    monkeypatch.setattr("temper.agent.events._keep", lambda level, name, details: kept.append((name, details)))
    return kept


def pod_view(key, tier, request, cgroup_id):
    namespace, _, name = key.partition("/")
    pod = Pod(uid=f"uid-{name}", namespace=namespace, name=name, phase="Running")
    return PodView(pod, Decision(tier, "because"), (CgroupDir(name, cgroup_id),), request, None, frozenset())


@pytest.fixture
def node(tmp_path):
    """A node that enforces three pods on 4 cpus, below a temporary tree: status, views, linter, measured, facts()."""
    cgroups, proc = tmp_path / "cgroup", tmp_path / "proc"
    for _, name in (key.split("/") for key, *_ in PODS):
        (cgroups / name / "app").mkdir(parents=True)
        (cgroups / name / "cpu.stat").write_text("usage_usec 1000000\n")
        (cgroups / name / "app/cgroup.threads").write_text("")
    sys_cpu = tmp_path / "sys/devices/system/cpu"
    sys_cpu.mkdir(parents=True)
    (sys_cpu / "online").write_text("0-3\n")
    views = tuple(pod_view(*pod) for pod in PODS)
    plan = make_plan(MACHINE, [Workload(key, tier, (number,), request) for key, tier, request, number in PODS])
    assert isinstance(plan, Plan) and Member(11, "critical") in plan.members
    status = Status(state=State.ENFORCING, engine_pid=0, generation=3, plan=plan, stats={"critical": STATS})
    settings = AgentSettings(node_name="n1", cgroups=CgroupTree(root=str(cgroups)))
    clock = SimpleNamespace(ns=1_000_000_000)
    sampler = Sampler(str(cgroups), str(proc), clock_ns=lambda: clock.ns)
    made = SimpleNamespace(
        root=tmp_path, cgroups=cgroups, proc=proc, clock=clock, status=status, views=views, settings=settings
    )
    made.mismatched = ()
    made.linter = Linter(
        lambda: made.settings,
        status,
        lambda: made.views,
        lambda: made.mismatched,
        sampler=sampler,
        shape=Shape(tmp_path / "sys"),
    )
    made.measured = Measurements()
    made.api = Api(7, 3, 1, {"node": "", "pods": "", "annotations": "409 Conflict"})
    made.facts = lambda: Facts(
        "n1", "enforce", str(cgroups), True, 10, made.status, made.views, made.api, made.measured, made.linter
    )
    return made


@pytest.fixture
def run_thread(node):
    """Write a thread of a pod: run_thread("web", 100, cpu=2, ticks=50)."""

    def write(name, tid, *, cpu, ticks, policy=7, rt_priority=0, allowed="0-3"):
        task = node.proc / f"{tid}/task/{tid}"
        task.mkdir(parents=True, exist_ok=True)
        fields = [
            "S",
            *["0"] * 10,
            str(ticks),
            "0",
            *["0"] * 6,
            "99",
            *["0"] * 16,
            str(cpu),
            str(rt_priority),
            str(policy),
        ]
        (task / "stat").write_text(f"{tid} (a) b) {' '.join(fields)} 0 0\n")
        (task / "status").write_text(f"Name:\ta\nCpus_allowed_list:\t{allowed}\n")
        threads = node.cgroups / name / "app/cgroup.threads"
        threads.write_text("".join(sorted({*threads.read_text().splitlines(True), f"{tid}\n"})))

    return write
