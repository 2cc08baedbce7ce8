"""The loop between a source that says what a test tells it to, and an engine that is played on a real socket pair."""

import asyncio
import itertools
import json
import os
import signal
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from temper.agent import loop as module
from temper.agent import supervisor
from temper.agent.loop import Agent
from temper.agent.source import Options
from temper.agent.states import State
from temper.errors import Finding, InvalidInput, Refused
from temper.node.run_dir import RunDir
from temper.plan.demand import NO_DEMAND
from temper.plan.layers import Layer, Member, Plan
from temper.plan.machine import Cpu, Machine
from temper.plan.planner import make_plan
from temper.plan.tiers import LayerKind, Tier
from temper.plan.workloads import Workload
from temper.wire.messages import Attach, Beat, Commit, Detach, LayerStats, ReadStats, Refusal, Rejected, Stats

LAYER = Layer("system", 0, LayerKind.OPEN, False, True, False, 5000)
WRONG = InvalidInput([Finding("workloads.toml: workload[0].tier", "is wrong")])


def plan(cgroup, *findings):
    return Plan((LAYER,), (Member(cgroup, "system"),), findings)


class ScriptedSource:
    """A `Source` of what is put into it. An exception as `plan` is raised."""

    def __init__(self):
        self.waiting = self.api_trouble = ""
        self.switch = None
        self.plan = plan(11)
        self.nr_refreshes = 0
        self.nr_plans = 0
        self.demand = NO_DEMAND
        self.broken = asyncio.Event()
        self.on_change = self.on_switch = lambda: None

    def not_ready(self):
        return self.waiting

    def safe_mode_reason(self):
        return self.switch

    def switch_heard_ns(self):
        return 0

    def trouble(self):
        return self.api_trouble

    def make_plan(self, demand=NO_DEMAND):
        self.nr_plans += 1
        self.demand = demand
        if isinstance(self.plan, Exception):
            raise self.plan
        return self.plan

    def refresh(self):
        self.nr_refreshes += 1

    def bind(self, on_change, on_switch):
        self.on_change, self.on_switch = on_change, on_switch

    async def watch(self):
        await self.broken.wait()
        raise RuntimeError("inotify broke")

    def change(self, new):
        self.plan = new
        self.on_change()

    def switches(self, reason):
        self.switch = reason
        self.on_switch()


@pytest.fixture
async def start(tmp_path, kernel, engines, events, monkeypatch):
    """Start an agent with these options and this source: .agent, .status, .source, .task, .until(), .stop()."""
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    monkeypatch.setattr(module, "load_log", lambda: None)
    monkeypatch.setattr("temper.agent.breaker.FIRST_WAIT_S", 0.01)
    started = []

    def begin(source=None, on_hangup=None, spawned=None, **options):
        source = source or ScriptedSource()
        fast = {"quiet_s": 0.001, "longest_wait_s": 0.01, "run_root": tmp_path / "run"}
        RunDir(tmp_path / "run").make()
        states = []
        agent = Agent(
            source,
            Options(**(fast | options)),
            spawned,
            on_status=lambda status: states.append(status.state),
            on_hangup=on_hangup,
        )
        agent._supervisor._root = kernel.root
        task = asyncio.create_task(agent.run())
        started.append(task)

        async def until(holds):
            async with asyncio.timeout(2):
                while not holds():
                    assert not task.done(), task.result()
                    await asyncio.sleep(0.001)

        async def be(state):
            await until(lambda: agent.status.state == state)

        async def ends():
            async with asyncio.timeout(2):
                await task

        async def stop():
            agent._request_stop()
            await ends()

        return SimpleNamespace(
            agent=agent,
            status=agent.status,
            source=source,
            task=task,
            states=states,
            run_dir=RunDir(tmp_path / "run"),
            until=until,
            be=be,
            ends=ends,
            stop=stop,
        )

    yield begin
    for task in started:
        task.cancel()
    await asyncio.gather(*started, return_exceptions=True)


async def passes(running, number=3):
    """Let the loop make some passes."""
    before = len(running.states)
    await running.until(lambda: len(running.states) >= before + number)


def sources(**fields):
    source = ScriptedSource()
    for name, value in fields.items():
        setattr(source, name, value)
    return source


def published(running):
    return json.loads(running.run_dir.status.read_text())


class TestStart:
    async def test_attached_published_and_beating(self, start, engines):
        running = start(sources(plan=plan(11, Finding("a", "worth knowing")), api_trouble="500 no"))
        await running.be(State.ENFORCING)
        (engine,) = engines.made
        await running.until(lambda: engine.count(Beat) >= 4)
        assert [type(request) for request in engine.heard[:2]] == [Attach, Beat]
        said = published(running)
        assert (said["state"], said["generation"], said["engine_pid"]) == ("enforcing", 1, engine.pid)
        assert said["notes"] == ["a: worth knowing"]
        assert said["api_trouble"] == "500 no"
        assert running.source.nr_plans <= 2  # the first, and one more at most for the watch that began

    async def test_an_engine_started_earlier_is_taken_once(self, start, engines, kernel):
        early = supervisor.spawn_engine()
        early.start()
        running = start(spawned=early)
        await running.be(State.ENFORCING)
        assert len(engines.made) == 1
        engines.made[0].send_signal(9)
        await running.until(lambda: len(engines.made) == 2)

    async def test_until_the_source_is_ready_the_node_is_on_stock(self, start, engines):
        running = start(sources(waiting="waiting for the pods"))
        await passes(running)
        assert (running.status.state, running.status.reason) == (State.STARTING, "waiting for the pods")
        assert published(running)["reason"] == "waiting for the pods"
        (engine,) = engines.made  # it gets ready meanwhile
        assert engine.heard == []
        assert running.source.nr_plans == 0
        running.source.waiting = "waiting for the pods: 403 forbidden"
        running.source.on_switch()
        await running.until(lambda: "403" in running.status.reason)
        running.source.waiting = ""
        running.source.on_change()
        await running.be(State.ENFORCING)
        assert engines.made == [engine]

    async def test_a_source_that_is_unready_later_does_not_detach(self, start, engines):
        running = start()
        await running.be(State.ENFORCING)
        running.source.waiting = "waiting for the pods"
        before = engines.made[0].count(Beat)
        await running.until(lambda: engines.made[0].count(Beat) > before + 1)
        assert running.status.state == State.ENFORCING

    @pytest.mark.parametrize("error", [WRONG, Refused("no cgroup v2", remedy="mount it")])
    async def test_no_first_plan_is_the_callers_to_hear(self, start, engines, error):
        running = start(sources(plan=error))
        with pytest.raises(type(error)):
            await running.ends()
        assert published(running)["state"] == "detached"
        assert engines.made[0].poll() is not None

    async def test_no_first_plan_is_waited_out_where_we_are_to_stay(self, start):
        running = start(sources(plan=WRONG), stay_refused=True)
        await running.be(State.UNSUPPORTED)
        assert running.status.reason == str(WRONG)
        running.source.change(plan(12))
        await running.be(State.ENFORCING)

    async def test_a_refused_machine_ends_the_agent(self, start, engines):
        engines.greeting = Refusal("no sched_ext", "boot another kernel")
        running = start()
        with pytest.raises(Refused, match="no sched_ext"):
            await running.ends()
        said = published(running)
        assert (said["state"], said["reason"]) == ("detached", "no sched_ext (boot another kernel)")

    async def test_a_refused_machine_is_said_where_we_are_to_stay(self, start, engines):
        engines.greeting = Refusal("no sched_ext", "boot another kernel")
        running = start(stay_refused=True)
        await passes(running, 5)
        assert published(running)["state"] == "unsupported"
        assert published(running)["reason"] == "no sched_ext (boot another kernel)"
        assert len(engines.made) == 1  # asked once

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_a_signal_ends_it_on_stock(self, start, engines, kernel, number):
        running = start()
        await running.be(State.ENFORCING)
        os.kill(os.getpid(), number)
        await running.ends()
        assert engines.made[0].count(Detach) == 1
        assert (published(running)["state"], published(running)["reason"]) == ("detached", "agent stopped")

    async def test_a_watcher_that_breaks_ends_it_on_stock(self, start, engines):
        running = start()
        await running.be(State.ENFORCING)
        running.source.broken.set()
        with pytest.raises(RuntimeError, match="inotify broke"):
            await running.ends()
        assert engines.made[0].count(Detach) == 1
        assert published(running)["state"] == "detached"


class TestSafeMode:
    async def test_the_sources_switch(self, start, engines):
        running = start()
        await running.be(State.ENFORCING)
        running.source.switches("node annotation x=true")
        await running.be(State.SAFE_MODE)
        await passes(running)
        assert running.status.reason == "node annotation x=true"
        assert engines.made[0].heard[-1] == Detach()
        assert running.status.nr_stand_downs == 1
        running.source.switches("node annotation y=true")
        await running.until(lambda: running.status.reason == "node annotation y=true")
        running.source.switches(None)
        await running.be(State.ENFORCING)
        assert len(engines.made) == 2
        assert engines.made[1].started.hotplug_seq == 3
        assert running.status.engine_pid == engines.made[1].pid

    async def test_a_spare_that_has_died_is_not_missed(self, start, engines):
        running = start()
        await running.be(State.ENFORCING)
        running.source.switches("node annotation x=true")
        await running.until(lambda: len(engines.made) == 2)
        engines.made[1].send_signal(9)
        running.source.switches(None)
        await running.be(State.ENFORCING)
        assert (len(engines.made), running.status.nr_losses) == (3, 0)

    async def test_without_room_for_a_spare_the_way_back_is_the_long_one(self, start, engines, monkeypatch):
        running = start()
        await running.be(State.ENFORCING)
        with monkeypatch.context() as until_then:
            until_then.setattr("temper.agent.supervisor.spawn_engine", Mock(side_effect=OSError("no process left")))
            running.source.switches("node annotation x=true")
            await running.be(State.SAFE_MODE)
            await passes(running)
        assert len(engines.made) == 1
        running.source.switches(None)
        await running.be(State.ENFORCING)
        assert len(engines.made) == 2

    async def test_an_engine_started_earlier_has_no_place_in_safe_mode(self, start, engines):
        early = supervisor.spawn_engine()
        early.start()
        running = start(sources(switch="node annotation x=true"), spawned=early)
        await running.until(lambda: len(engines.made) == 2)
        assert engines.made[0].poll() is not None
        running.source.switches(None)
        await running.be(State.ENFORCING)
        assert len(engines.made) == 2

    async def test_a_spare_that_has_died_is_replaced_when_the_reason_changes(self, start, engines):
        running = start(sources(switch="node annotation x=true"))
        await running.until(lambda: engines.made)
        engines.made[0].send_signal(9)
        running.source.switches("node annotation y=true")
        await running.until(lambda: len(engines.made) == 2)

    async def test_a_spare_ends_with_its_agent(self, start, engines):
        running = start(sources(switch="node annotation x=true"))
        await running.until(lambda: engines.made)
        await running.stop()
        assert (engines.made[0].started, engines.made[0].poll()) == (None, -9)

    async def test_observing_needs_no_spare(self, start, engines):
        running = start(sources(switch="node annotation x=true"), enforce=False)
        await running.be(State.SAFE_MODE)
        await passes(running)
        assert engines.made == []

    async def test_the_local_switch_is_heard_without_being_told(self, start, engines):
        running = start()
        await running.be(State.ENFORCING)
        running.run_dir.engage("03:12")
        await running.be(State.SAFE_MODE)
        running.source.switches("node annotation x=true")
        await passes(running)
        assert running.status.reason == "03:12"  # the local one comes first
        running.run_dir.release()
        await running.until(lambda: running.status.reason == "node annotation x=true")

    async def test_an_unreadable_local_switch_is_on(self, start):
        running = start()
        await running.be(State.ENFORCING)
        running.run_dir.switch.mkdir()
        await running.be(State.SAFE_MODE)
        assert running.status.reason.startswith("unreadable switch")

    @pytest.mark.parametrize("which", ["source", "local"])
    async def test_a_switch_does_not_wait_for_changes_to_calm_down(self, start, which):
        running = start(quiet_s=30.0, longest_wait_s=60.0)
        await running.be(State.ENFORCING)
        running.source.change(plan(12))
        await asyncio.sleep(0.02)  # it is waiting for quiet by now
        if which == "local":
            running.run_dir.engage("03:12")
            running.source.on_switch()
        else:
            running.source.switches("node annotation x=true")
        await running.be(State.SAFE_MODE)

    async def test_engaged_from_the_start_no_engine_loads_anything(self, start, engines):
        running = start(sources(switch="node annotation x=true"))
        await passes(running)
        assert running.status.state == State.SAFE_MODE
        assert ([engine.started for engine in engines.made], running.source.nr_plans) == ([None], 0)

    async def test_it_ends_a_start_that_waits(self, start, engines):
        engines.answers[Detach] = None
        running = start(sources(waiting="waiting for the pods"))
        await running.until(lambda: engines.made)
        engines.made[0].answers = {}
        running.source.switches("node annotation x=true")
        await running.be(State.SAFE_MODE)
        assert engines.made[0].poll() is not None

    async def test_it_calls_an_attach_off(self, start, engines):
        """At once, and also when it goes off again before anybody would have looked."""
        engines.answers[Attach] = None
        running = start()
        await running.until(lambda: engines.made and engines.made[0].heard)
        assert running.status.state == State.STARTING
        running.source.switch = "node annotation x=true"
        await running.until(lambda: engines.made[0].poll() is not None)
        assert running.status.state == State.SAFE_MODE
        engines.answers.pop(Attach)
        running.source.switches(None)
        await running.be(State.ENFORCING)

    async def test_a_long_attach_is_told_of(self, start, engines):
        engines.answers[Attach] = None
        running = start()
        await running.until(lambda: engines.made and engines.made[0].heard)
        before = running.run_dir.status.stat().st_mtime_ns if running.run_dir.status.exists() else 0
        await running.until(
            lambda: running.run_dir.status.exists() and running.run_dir.status.stat().st_mtime_ns > before
        )
        assert published(running)["state"] == "starting"

    async def test_stopped_in_safe_mode_it_is_detached(self, start):
        running = start(sources(switch="node annotation x=true"))
        await running.be(State.SAFE_MODE)
        await running.stop()
        assert (running.status.state, running.status.reason) == (State.DETACHED, "agent stopped")


class TestChanges:
    async def test_another_plan_is_committed_and_the_same_is_not(self, start, engines):
        running = start()
        await running.be(State.ENFORCING)
        running.source.change(plan(11, Finding("a", "new")))
        await running.until(lambda: running.status.notes == ["a: new"])
        (engine,) = engines.made
        assert engine.count(Commit) == 0
        running.source.change(plan(12))
        await running.until(lambda: running.status.nr_commits == 1)
        assert engine.count(Commit) == 1
        assert running.status.plan == plan(12)
        assert running.status.last_commit_ns["from_change_seen"] >= 1_000_000

    async def test_nothing_is_planned_without_a_change(self, start):
        running = start(resync_s=60.0)
        await running.be(State.ENFORCING)
        await passes(running)
        before = running.source.nr_plans
        await passes(running, 5)
        assert running.source.nr_plans == before

    async def test_without_any_event_all_is_looked_at_now_and_then(self, start):
        running = start(resync_s=0.02)
        await running.be(State.ENFORCING)
        running.source.plan = plan(12)  # nobody says so
        await running.until(lambda: running.status.nr_commits == 1)

    async def test_a_burst_is_one_commit(self, start, engines):
        running = start(quiet_s=0.03, longest_wait_s=5.0)
        await running.be(State.ENFORCING)
        await passes(running)
        for cgroup in range(20, 30):
            running.source.change(plan(cgroup))
            await asyncio.sleep(0.002)
        await running.until(lambda: running.status.nr_commits)
        assert (engines.made[0].count(Commit), running.status.plan) == (1, plan(29))

    async def test_a_burst_without_end_is_committed_nevertheless(self, start, engines):
        running = start(quiet_s=1.0, longest_wait_s=0.05)
        await running.be(State.ENFORCING)
        async with asyncio.timeout(1):
            while not running.status.nr_commits:
                running.source.change(plan(12))
                await asyncio.sleep(0.002)

    async def test_waiting_for_quiet_the_heart_beats(self, start, engines):
        """longest_wait may be ten seconds, deadman_ms as little as two."""
        running = start(quiet_s=0.5, longest_wait_s=10.0)
        await running.be(State.ENFORCING)
        await passes(running)
        (engine,) = engines.made
        before = engine.count(Beat)
        async with asyncio.timeout(2):
            while engine.count(Beat) < before + 5:
                running.source.change(plan(12))
                await asyncio.sleep(0.001)
        assert engine.count(Commit) == 0

    async def test_waiting_for_quiet_it_can_be_stopped(self, start):
        running = start(quiet_s=5.0, longest_wait_s=10.0)
        await running.be(State.ENFORCING)
        running.source.change(plan(12))
        await asyncio.sleep(0.02)
        await running.stop()

    async def test_a_rejected_plan_is_a_note(self, start, engines):
        running = start()
        await running.be(State.ENFORCING)
        engines.made[0].answers[Commit] = Rejected("too many cgroups")
        running.source.change(plan(12))
        await running.until(lambda: running.status.notes == ["too many cgroups"])
        assert (running.status.state, running.status.plan) == (State.ENFORCING, plan(11))

    async def test_hangup_plans_anew(self, start):
        running = start()
        await running.be(State.ENFORCING)
        running.source.plan = plan(12)
        os.kill(os.getpid(), signal.SIGHUP)
        await running.until(lambda: running.status.nr_commits == 1)

    async def test_hangup_may_mean_something_else(self, start):
        heard = []
        running = start(on_hangup=lambda: heard.append(1))
        await running.be(State.ENFORCING)
        await passes(running)
        before = running.source.nr_plans
        os.kill(os.getpid(), signal.SIGHUP)
        await running.until(lambda: heard)
        await passes(running)
        assert running.source.nr_plans == before

    async def test_other_options_are_gone_on_with(self, start):
        running = start(quiet_s=0.5, longest_wait_s=0.5)
        await running.be(State.ENFORCING)
        running.source.plan = plan(12)
        new = Options(
            quiet_s=0.001,
            longest_wait_s=0.002,
            most_losses=9,
            most_ejections=8,
            window_s=7,
            run_root=running.run_dir.root,
        )
        running.agent.adopt(new)
        breaker = running.agent._breaker
        assert (breaker.most_losses, breaker.most_ejections, breaker.window_s) == (9, 8, 7)
        await running.until(lambda: running.status.nr_commits == 1)

    async def test_counters_are_read_now_and_then(self, start, engines, monkeypatch):
        monkeypatch.setattr(module, "STATS_S", 0.01)
        running = start()
        await running.until(lambda: "system" in running.status.stats)
        assert engines.made[0].count(ReadStats) >= 1
        published = json.loads(running.agent._run_dir.status.read_text())
        sums = {"nr_cgroups": 1, "nr_periods": 600, "nr_throttled": 30, "throttled_ns": 1_500_000_000}
        assert (published["cpu_max"], "quotas" in published) == (sums, False)


FOUR = Machine(tuple(Cpu(cpu, cpu, 0, 0) for cpu in range(4)))
BY_REQUEST = make_plan(FOUR, [Workload("w", Tier.NORMAL, (1,), 1000)])


class TestDemand:
    @pytest.fixture
    def busy(self, start, engines, monkeypatch):
        """An agent whose Normal layer has run an hour more at each reading: it wants all cpus that there are."""
        monkeypatch.setattr(module, "STATS_S", 0.01)
        nr = itertools.count(1)

        def read(_):
            return Stats(1, {"normal": LayerStats(nr_runs=(now := next(nr)), run_ns=now * 3600 * 10**9)})

        def begin(**options):
            engines.answers[ReadStats] = read
            return start(sources(plan=BY_REQUEST), **options)

        return begin

    async def test_a_size_that_should_change_is_planned_for(self, busy, engines):
        running = busy()
        await running.until(lambda: running.source.demand)
        assert running.source.demand[Tier.NORMAL].cpus == 4
        assert running.status.nr_resizes >= 1
        assert published(running)["sizes"][0]["requested"] == 1
        await running.until(lambda: "normal" in published(running)["used_millicpu"])

    async def test_the_first_plan_of_every_engine_is_by_request(self, busy, engines):
        running = busy()
        await running.until(lambda: running.source.demand)
        asked = []
        plan = running.source.make_plan
        running.source.make_plan = lambda demand=NO_DEMAND: asked.append(demand) or plan(demand)
        engines.made[0].send_signal(9)
        await running.until(lambda: len(engines.made) == 2 and running.status.state == State.ENFORCING)
        assert NO_DEMAND in asked

    async def test_in_safe_mode_nothing_is_remembered(self, busy):
        running = busy()
        await running.until(lambda: running.source.demand)
        running.source.switches("node annotation x=true")
        await running.be(State.SAFE_MODE)
        await running.until(lambda: running.status.used_millicpu == {})
        assert running.agent._follower.demand == NO_DEMAND
        running.source.switches(None)
        await running.until(lambda: running.status.used_millicpu)

    async def test_it_can_be_turned_off_and_on(self, busy, tmp_path):
        running = busy(follow_demand=False, resync_s=0.01)
        await running.until(lambda: "normal" in running.status.stats)
        await passes(running, 10)
        assert (running.source.demand, running.status.nr_resizes) == (NO_DEMAND, 0)
        fast = {"quiet_s": 0.001, "longest_wait_s": 0.01, "run_root": tmp_path / "run"}
        running.agent.adopt(Options(**fast, resync_s=60.0))
        await running.until(lambda: running.source.demand)
        running.agent.adopt(Options(**fast, resync_s=60.0, follow_demand=False))
        await running.until(lambda: not running.source.demand)

    async def test_at_rest_nothing_is_planned(self, start, engines, monkeypatch):
        monkeypatch.setattr(module, "STATS_S", 0.01)
        nr = itertools.count(1)
        engines.answers[ReadStats] = lambda _: Stats(1, {"normal": LayerStats(nr_runs=next(nr))})
        running = start(sources(plan=BY_REQUEST), resync_s=60.0)
        await running.until(lambda: running.status.used_millicpu)
        before = running.source.nr_plans
        await passes(running, 20)
        assert running.source.nr_plans == before


class TestErrors:
    @pytest.mark.parametrize("error", [WRONG, Refused("no cgroup tree")])
    async def test_the_last_good_plan_stays_with_a_note(self, start, engines, error):
        running = start()
        await running.be(State.ENFORCING)
        await passes(running)
        running.source.change(error)
        await running.until(lambda: running.status.notes)
        assert running.status.notes == [f"kept the last good plan: {error}"]
        assert (running.status.state, running.status.plan) == (State.ENFORCING, plan(11))
        before, plans = engines.made[0].count(Beat), running.source.nr_plans
        await running.until(lambda: engines.made[0].count(Beat) > before + 3)
        assert running.source.nr_plans == plans  # until it changes again there is nothing to read
        running.source.change(plan(12))
        await running.until(lambda: running.status.nr_commits == 1)
        assert running.status.notes == []

    async def test_every_finding_is_a_note(self, start):
        running = start()
        await running.be(State.ENFORCING)
        running.source.change(InvalidInput([Finding("a", "one"), Finding("b", "two")]))
        await running.until(lambda: len(running.status.notes) == 2)

    @pytest.mark.parametrize("error", [WRONG, Refused("no cgroup tree")])
    async def test_a_lost_engine_comes_back_with_the_last_good_plan(self, start, engines, error):
        running = start()
        await running.be(State.ENFORCING)
        await passes(running)
        running.source.change(error)
        await running.until(lambda: running.status.notes)
        engines.made[0].send_signal(9)
        await running.until(lambda: len(engines.made) == 2 and running.status.state == State.ENFORCING)
        assert running.status.plan == plan(11)
        assert running.status.notes == [f"kept the last good plan: {error}"]

    async def test_a_lost_engine_is_replaced(self, start, engines):
        running = start()
        await running.be(State.ENFORCING)
        engines.made[0].end_with(65, "unregistered from BPF", "agent heartbeat lost")
        await running.be(State.DETACHED)
        assert running.status.reason == "unregistered from BPF: agent heartbeat lost; again in 0.01 s"
        await running.be(State.ENFORCING)
        assert (len(engines.made), running.status.nr_losses) == (2, 1)

    async def test_an_error_of_no_kind_of_ours_ends_it_on_stock(self, start, engines):
        running = start()
        await running.be(State.ENFORCING)
        running.source.change(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            await running.ends()
        assert engines.made[0].count(Detach) == 1


class TestObserve:
    async def test_what_would_be_in_force_is_published_and_nothing_attached(self, start, engines):
        running = start(enforce=False)
        await running.be(State.OBSERVING)
        assert running.status.plan == plan(11)
        running.source.change(plan(12, Finding("a", "new")))
        await running.until(lambda: running.status.plan.members == plan(12).members)
        assert running.status.notes == ["a: new"]
        assert engines.made == []
        before = running.source.nr_plans
        await passes(running, 5)
        assert running.source.nr_plans == before

    async def test_it_waits_like_any_other(self, start, engines):
        running = start(sources(waiting="waiting for the pods"), enforce=False)
        await passes(running)
        assert (running.status.state, running.status.reason) == (State.STARTING, "waiting for the pods")
        assert engines.made == []

    async def test_an_error_keeps_the_last_good_plan(self, start):
        running = start(enforce=False)
        await running.be(State.OBSERVING)
        running.source.change(WRONG)
        await running.until(lambda: running.status.notes)
        assert running.status.notes[0].startswith("kept the last good plan")
        assert (running.status.state, running.status.plan) == (State.OBSERVING, plan(11))

    async def test_safe_mode_is_left_though_there_is_no_new_plan(self, start):
        running = start(enforce=False)
        await running.be(State.OBSERVING)
        running.source.switches("node annotation x=true")
        await running.be(State.SAFE_MODE)
        running.source.plan = WRONG
        running.source.switches(None)
        await running.be(State.OBSERVING)
        assert running.status.notes[0].startswith("kept the last good plan")
