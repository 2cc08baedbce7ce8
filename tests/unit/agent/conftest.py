import asyncio
import time
from types import SimpleNamespace

import msgspec
import pytest

from temper.agent.facts import Api, Facts
from temper.agent.lint import Linter
from temper.agent.measurements import Measurements
from temper.agent.node_source import PodView
from temper.agent.spawn import Spawned
from temper.agent.states import State
from temper.agent.status import Status
from temper.node.cgroup_paths import CgroupPaths
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
from temper.wire import channel
from temper.wire.messages import (
    PROTOCOL,
    Attach,
    Attached,
    Beat,
    Beaten,
    Commit,
    Committed,
    Detach,
    Ended,
    Hello,
    LayerStats,
    NoRoom,
    QuotaStats,
    ReadStats,
    Stats,
)
from temper.wire.pair import make_pair, receive_start

MACHINE = Machine(tuple(Cpu(cpu, cpu, 0, 0) for cpu in range(4)))
PODS = (
    ("shop/web", Tier.CRITICAL, 2000, 11),
    ("shop/batch", Tier.BACKGROUND, None, 12),
    ("kube-system/proxy", None, 100, 13),
)
# Of the thousand waits, 900 took 4 to 8 us, 90 took 8 to 16 us and 10 took 4 to 8 ms.
STATS = LayerStats(
    run_ns=3_000_000_000,
    wait_ns=500_000_000,
    guest_ns=250_000_000,
    nr_runs=1000,
    nr_wakes=950,
    nr_direct=900,
    nr_spills=40,
    nr_preempts=5,
    nr_preempted=2,
    nr_guest_runs=1,
    wait_hist=(0, 0, 0, 900, 90, *(0,) * 8, 10, *(0,) * 10),
    max_wait_ns=7_000_000,
)
# Of shop/web's cgroup: half a cpu, of which ten periods may be saved up.
QUOTA = QuotaStats(
    cgroup_id=11,
    period_ns=100_000_000,
    quota_ns=50_000_000,
    nr_periods=600,
    nr_throttled=30,
    throttled_ns=1_500_000_000,
    smooth_periods=10,
)


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


class Kernel:
    """A /sys/kernel/sched_ext of files. sysrqs: how often SysRq-S was pressed; heeds: whether it helped."""

    def __init__(self, root):
        self.root = root
        self.sysrqs = 0
        self.heeds = True
        (root / "root").mkdir(parents=True)
        (root / "enable_seq").write_text("0\n")
        self.disable()

    def enable(self, ops="temper"):
        (self.root / "root/ops").write_text(f"{ops}\n")
        (self.root / "state").write_text("enabled\n")

    def disable(self):
        (self.root / "state").write_text("disabled\n")

    def link_closed(self):
        """Ours goes with its engine, another stays."""
        if (self.root / "root/ops").exists() and (self.root / "root/ops").read_text().startswith("temper"):
            self.disable()

    def request_stock(self):
        self.sysrqs += 1
        if self.heeds:
            self.disable()


class FakeEngine:
    """Speaks an engine's part on a real socket pair, and is its process too.

    heard: the requests. answers: request's type -> reply, or None for silence. clings: the kernel keeps its scheduler
    though it is killed. unkillable: the process stays, too. started: the first packet, at which it greets.
    """

    pid = 4242

    def __init__(self, kernel, greeting, answers):
        self.heard = []
        self.started = None
        self._greeting = greeting
        self.answers = answers
        self.clings = self.unkillable = False
        self._kernel = kernel
        self._exit = None
        self._generation = 0
        self.end, self._theirs = make_pair()
        self._loop = asyncio.get_running_loop()
        for end in (self.end, self._theirs):
            end.setblocking(False)
        self._loop.add_reader(self._theirs, self._on_readable)

    def say(self, message):
        self._theirs.send(channel.encode(message))

    def count(self, kind):
        return sum(isinstance(request, kind) for request in self.heard)

    def _on_readable(self):
        if self.started is None:
            self.started = receive_start(self._theirs)
            if self.started is None:
                self.close()
            elif self._greeting is not None:
                self.say(self._greeting)
            return
        packet = self._theirs.recv(1 << 20)
        if not packet:
            self.close()
            return
        request = channel.decode_request(packet)
        self.heard.append(request)
        reply = self.answers.get(type(request), self._usual)
        if callable(reply):
            reply = reply(request)
        if reply is not None:
            self.say(reply)

    def _usual(self, request):
        self._generation += isinstance(request, Attach | Commit)
        if isinstance(request, Attach):
            self._kernel.enable()
        elif isinstance(request, Detach):
            self._kernel.disable()
        return {
            Attach: Attached(self._generation, {"attach": 7}, True),
            Commit: Committed(self._generation, 1000, 0, time.monotonic_ns()),
            Beat: Beaten(),
            ReadStats: Stats(self._generation, {"system": STATS}, (QUOTA,), NoRoom(quotas=3)),
            Detach: Ended(64, 0, "unregistered from user space", ""),
        }[type(request)]

    def end_with(self, kind, reason="", message="", code=0):
        """The kernel let the scheduler go, and the engine says so."""
        self._kernel.disable()
        self.say(Ended(kind, code, reason, message))

    # ---- subprocess.Popen's part ----

    def poll(self):
        return self._exit

    def kill(self):
        self.send_signal(9)

    def wait(self, _timeout_s=None):
        return self._exit

    def send_signal(self, _):
        if not self.unkillable:
            self._exit = -9
        if not self.clings:
            self._kernel.link_closed()
        self.close()

    def close(self):
        if self._theirs.fileno() >= 0:
            self._loop.remove_reader(self._theirs)
            self._theirs.close()


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """The kernel's word, and its SysRq-S, of a temporary folder."""
    made = Kernel(tmp_path / "sched_ext")
    monkeypatch.setattr("temper.node.sched_ext.request_stock", made.request_stock)
    return made


@pytest.fixture
async def engines(kernel, monkeypatch):
    """What spawning gives. made: the engines so far; greeting, answers: of those to come."""
    started = SimpleNamespace(made=[], greeting=Hello(PROTOCOL, FakeEngine.pid, "1.5", {"load": 3}), answers={})

    def spawn_engine():
        engine = FakeEngine(kernel, started.greeting, started.answers)
        started.made.append(engine)
        return Spawned(engine, engine.end)

    monkeypatch.setattr("temper.agent.supervisor.spawn_engine", spawn_engine)
    monkeypatch.setattr("temper.agent.spawn.read_hotplug_seq", lambda: 3)
    yield started
    for engine in started.made:
        engine.close()
        engine.end.close()


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
    status = Status(
        state=State.ENFORCING, engine_pid=0, generation=3, plan=plan, stats={"critical": STATS}, quotas=(QUOTA,)
    )
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
    paths = CgroupPaths(str(cgroups))
    made.facts = lambda: Facts(
        "n1", "enforce", str(cgroups), paths, True, 10, made.status, made.views, made.api, made.measured, made.linter
    )
    return made


@pytest.fixture
def limit(node):
    """Give a cgroup below the tree a counted quota: limit("web/app", nr_periods=9). None of the others is left."""
    node.status.quotas = ()

    def limit(path, **counters):
        (node.cgroups / path).mkdir(parents=True, exist_ok=True)
        cgroup_id = (node.cgroups / path).stat().st_ino
        quota = msgspec.structs.replace(QUOTA, cgroup_id=cgroup_id, **counters)
        node.status.quotas = (*node.status.quotas, quota)

    return limit


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
