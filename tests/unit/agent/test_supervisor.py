"""The supervisor and an engine that is played, on the real socket pair, beside a kernel that is files."""

import time

import msgspec
import pytest

from temper.agent import engine_client, kept_losses
from temper.agent import supervisor as module
from temper.agent.breaker import Breaker
from temper.agent.kept_losses import KeptLosses
from temper.agent.states import State
from temper.agent.status import Status
from temper.agent.supervisor import Supervisor
from temper.errors import Finding
from temper.plan.layers import Layer, Member, Plan, Size
from temper.plan.tiers import LayerKind
from temper.wire.messages import (
    Attach,
    Beat,
    Beaten,
    Commit,
    Detach,
    Ended,
    Failed,
    NoRoom,
    ReadStats,
    Refusal,
    Rejected,
)

LAYER = Layer("system", 0, LayerKind.OPEN, False, True, False, 5000)
PLAN = Plan((LAYER,), (Member(11, "system"),), (Finding("a", "worth knowing"),))
OTHER = Plan((LAYER,), (Member(12, "system"),))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Every wait for an engine or a kernel that doesn't come round."""
    for name in ("ANSWER_TIMEOUT_S", "START_TIMEOUT_S", "DETACH_TIMEOUT_S"):
        monkeypatch.setattr(module, name, 0.1)
    monkeypatch.setattr(module, "DISABLE_TIMEOUT_S", 0.02)
    monkeypatch.setattr(module, "POLL_S", 0.001)
    monkeypatch.setattr(engine_client, "REAP_TIMEOUT_S", 0.02)


@pytest.fixture
def supervisor(kernel, engines, events, tmp_path):
    kept = KeptLosses(tmp_path / "losses.json")
    made = Supervisor(Status(), Breaker(), kept, deadman_ms=5000, on_news=lambda: None, sched_ext_root=kernel.root)
    made.logged = events
    return made


@pytest.fixture
async def attached(supervisor, engines):
    """(supervisor, its engine)."""
    await supervisor.attach(PLAN)
    assert supervisor.status.state == State.ENFORCING
    return supervisor, engines.made[0]


def said(supervisor):
    return supervisor.status.state, supervisor.status.reason


def logged(supervisor):
    return [name for name, _ in supervisor.logged]


async def lose(supervisor, engine, *, kind=None, code=0):
    """The engine dies, or says with which kind the kernel let the scheduler go."""
    if kind is None:
        engine.send_signal(9)
    else:
        engine.end_with(kind, "runnable task stall", "task 7 for 30 s", code=code)
    await supervisor.beat()
    await supervisor.check()


class TestAttach:
    async def test_the_engine_gets_the_bare_plan(self, attached):
        supervisor, engine = attached
        bare = Plan(PLAN.layers, PLAN.members)
        assert engine.heard == [Attach(bare, 5000)]
        status = supervisor.status
        assert (status.plan, status.generation, status.engine_pid, status.memory_locked) == (PLAN, 1, 4242, True)
        assert status.timings_ns == {"load": 3, "attach": 7}
        assert supervisor.attached
        assert not supervisor.wants_engine

    async def test_the_kernel_must_say_the_same(self, supervisor, engines, kernel):
        engines.answers[Attach] = module.Attached(1, {}, True)
        await supervisor.attach(PLAN)
        assert said(supervisor)[0] == State.DETACHED
        assert said(supervisor)[1].startswith('attached, but the kernel says disabled ""; again in ')
        assert engines.made[0].poll() is not None

    async def test_another_scheduler_is_not_ours_nor_stuck(self, supervisor, engines, kernel):
        def attach(_):
            kernel.enable("other")
            return module.Attached(1, {}, True)

        engines.answers[Attach] = attach
        await supervisor.attach(PLAN)
        assert said(supervisor)[0] == State.DETACHED
        assert 'enabled "other"' in said(supervisor)[1]

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (Failed("no memory"), "no memory"),
            (Beaten(), "attach was answered by Beaten"),
            (None, "the engine did not answer within 0.1 s"),
            (Ended(1026, 0, "runtime error", "bad"), "runtime error: bad"),
        ],
    )
    async def test_a_failure_is_tried_again(self, supervisor, engines, answer, why):
        engines.answers[Attach] = answer
        await supervisor.attach(PLAN)
        assert said(supervisor)[1] == f"{why}; again in 0.2 s"
        assert supervisor.refused is None

    @pytest.mark.parametrize("at", ["greeting", "attach"])
    async def test_a_refusal_stays_until_a_person_says_so(self, supervisor, engines, at):
        refusal = Refusal("no sched_ext", "boot another kernel")
        if at == "greeting":
            engines.greeting = refusal
        else:
            engines.answers[Attach] = refusal
        await supervisor.attach(PLAN)
        assert said(supervisor) == (State.UNSUPPORTED, "no sched_ext (boot another kernel)")
        assert supervisor.refused.message == "no sched_ext"
        supervisor._retry_at_s = 0.0
        assert not supervisor.wants_engine
        assert supervisor.status.nr_losses == 0
        await supervisor.stand_down("03:12")
        assert supervisor.wants_engine

    async def test_who_is_in_the_way_is_waited_for(self, supervisor, engines, kernel):
        greeting, engines.greeting = engines.greeting, Refusal('scheduler "other" is enabled', "stop it first")
        kernel.enable("other")
        await supervisor.attach(PLAN)
        assert said(supervisor) == (
            State.DETACHED,
            'scheduler "other" is enabled (stop it first); attaching when it is gone',
        )
        assert not supervisor.resigned
        assert not supervisor.wants_engine
        kernel.disable()
        assert supervisor.wants_engine
        engines.greeting = greeting
        await supervisor.attach(PLAN)
        assert said(supervisor) == (State.ENFORCING, "")
        assert supervisor.refused is None


class TestKept:
    """What another agent finds, started after this one."""

    @pytest.fixture
    async def latched(self, supervisor, engines):
        for _ in range(2):
            await supervisor.attach(PLAN)
            await lose(supervisor, engines.made[-1], kind=1026)
        assert supervisor.resigned
        return supervisor

    @pytest.fixture
    def next_one(self, supervisor, kernel):
        def make():
            root = kernel.root
            return Supervisor(
                Status(), Breaker(), supervisor._kept, deadman_ms=5000, on_news=lambda: None, sched_ext_root=root
            )

        return make

    async def test_latched_it_stays(self, latched, next_one):
        await latched.leave("agent stopped")
        later = next_one()
        assert later.resigned
        assert said(later)[0] == State.EJECTED
        assert "latched" in said(later)[1]
        await later.stand_down("03:12")
        assert later.wants_engine
        assert not next_one().resigned

    async def test_losses_go_on_counting(self, attached, next_one, engines):
        supervisor, engine = attached
        await lose(supervisor, engine, kind=1026)
        later = next_one()
        assert later.wants_engine
        await later.attach(PLAN)
        await lose(later, engines.made[-1], kind=1026)
        assert later.resigned

    async def test_another_version_begins_anew(self, latched, next_one, monkeypatch):
        monkeypatch.setattr(kept_losses, "__version__", "another")
        assert not next_one().resigned

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"losses": 1}', "\udcff"])
    async def test_a_file_that_is_none_counts_for_nothing(self, supervisor, next_one, text):
        supervisor._kept._file.write_text(text, errors="surrogateescape")
        assert not next_one().resigned

    async def test_where_nothing_can_be_kept_it_is_said(self, attached, tmp_path):
        supervisor, engine = attached
        (tmp_path / "losses.json").mkdir()
        await lose(supervisor, engine)
        assert "losses_not_kept" in logged(supervisor)
        assert supervisor.status.nr_losses == 1


class TestLoss:
    async def test_a_dead_engine_is_detached_and_tried_again_later(self, attached, monkeypatch):
        supervisor, engine = attached
        await lose(supervisor, engine)
        assert said(supervisor)[0] == State.DETACHED
        assert said(supervisor)[1].endswith("; again in 0.2 s")
        status = supervisor.status
        assert (status.plan, status.generation, status.engine_pid, status.nr_losses) == (None, 0, 0, 1)
        assert not supervisor.attached
        now = time.monotonic()
        monkeypatch.setattr(module.time, "monotonic", lambda: now)
        assert not supervisor.wants_engine
        monkeypatch.setattr(module.time, "monotonic", lambda: now + 0.21)
        assert supervisor.wants_engine

    async def test_a_dead_engine_is_found_without_asking_it(self, attached, event_loop_turn):
        supervisor, engine = attached
        engine.send_signal(9)
        await event_loop_turn(lambda: supervisor._client.gone)
        await supervisor.check()
        assert said(supervisor) == (State.DETACHED, "the engine is gone; again in 0.2 s")

    @pytest.mark.parametrize("request_", [Beat, ReadStats, Commit])
    async def test_a_silent_engine_is_killed(self, attached, kernel, request_):
        supervisor, engine = attached
        engine.answers[request_] = None
        asking = {Beat: supervisor.beat, ReadStats: supervisor.read_stats, Commit: lambda: supervisor.commit(OTHER)}
        await asking[request_]()
        assert said(supervisor) == (State.DETACHED, "the engine did not answer within 0.1 s; again in 0.2 s")
        assert engine.poll() == -9
        assert kernel.sysrqs == 0
        assert engine.count(Detach) == 0  # there is nobody to be polite to

    async def test_waits_double_and_then_it_latches(self, supervisor, engines):
        waits = []
        for _ in range(5):
            await supervisor.attach(PLAN)
            await lose(supervisor, engines.made[-1])
            waits.append(said(supervisor)[1].rpartition("; ")[2])
        assert waits[:4] == ["again in 0.2 s", "again in 0.4 s", "again in 0.8 s", "again in 1.6 s"]
        assert waits[4] == "latched: `temper safe-mode on` and `off` re-engage"
        assert (supervisor.status.nr_losses, supervisor.status.nr_ejections) == (5, 0)

    @pytest.mark.parametrize("kind", [67, 1024, 1026, 1099])
    async def test_the_second_ejection_latches(self, supervisor, engines, kind):
        await supervisor.attach(PLAN)
        await lose(supervisor, engines.made[-1], kind=kind)
        assert said(supervisor) == (State.EJECTED, "runnable task stall: task 7 for 30 s; again in 0.2 s")
        await supervisor.attach(PLAN)
        await lose(supervisor, engines.made[-1], kind=kind)
        assert said(supervisor)[0] == State.EJECTED
        assert "latched" in said(supervisor)[1]
        supervisor._retry_at_s = 0.0
        assert not supervisor.wants_engine
        assert (supervisor.status.nr_losses, supervisor.status.nr_ejections) == (2, 2)
        await supervisor.stand_down("03:12")
        assert supervisor.wants_engine
        await supervisor.attach(PLAN)
        await lose(supervisor, engines.made[-1], kind=kind)
        assert said(supervisor)[1].endswith("; again in 0.2 s")  # counted anew

    @pytest.mark.parametrize("kind", [64, 65, 66])
    async def test_a_scheduler_that_left_by_itself_was_not_ejected(self, attached, kind):
        supervisor, engine = attached
        await lose(supervisor, engine, kind=kind)
        assert said(supervisor) == (State.DETACHED, "runnable task stall: task 7 for 30 s; again in 0.2 s")
        assert supervisor.status.nr_ejections == 0

    async def test_cpus_that_come_and_go_are_no_losses(self, supervisor, engines):
        for _ in range(8):
            await supervisor.attach(PLAN)
            await lose(supervisor, engines.made[-1], kind=66, code=1 << 48)
            assert said(supervisor) == (State.DETACHED, "runnable task stall: task 7 for 30 s; again in 0.2 s")
        assert (supervisor.status.nr_losses, supervisor.status.nr_ejections) == (0, 0)
        assert supervisor._kept.load() == kept_losses.Losses()

    async def test_an_end_that_is_an_answer_is_heard(self, attached, kernel):
        supervisor, engine = attached
        engine.answers[Beat] = Ended(1026, 0, "runtime error", "")
        kernel.disable()
        await supervisor.beat()
        assert said(supervisor) == (State.EJECTED, "runtime error; again in 0.2 s")


class TestCommit:
    async def test_only_what_differs_is_committed(self, attached):
        supervisor, engine = attached
        await supervisor.commit(Plan(PLAN.layers, PLAN.members, (Finding("b", "another"),)))
        assert engine.count(Commit) == 0
        assert supervisor.status.plan.findings == (Finding("b", "another"),)
        await supervisor.commit(msgspec.structs.replace(PLAN, sizes=(Size("high", 2, 1, 3, 1, 2),)))
        assert engine.count(Commit) == 0
        assert supervisor.status.plan.sizes[0].requested == 2
        await supervisor.commit(OTHER)
        assert engine.heard[-1] == Commit(OTHER)
        status = supervisor.status
        assert (status.plan, status.generation, status.nr_commits) == (OTHER, 2, 1)
        assert status.last_commit_ns["kernel"] == 1000
        assert 0 < status.last_commit_ns["commit"] < 1e9

    async def test_how_much_a_tier_may_take_is_a_part_of_the_plan(self, attached):
        supervisor, engine = attached
        layers = [msgspec.structs.replace(layer, smooth_periods=10) for layer in PLAN.layers]
        await supervisor.commit(msgspec.structs.replace(PLAN, layers=tuple(layers)))
        layers[0] = msgspec.structs.replace(layers[0], ceiling_millicpu=1500)
        await supervisor.commit(msgspec.structs.replace(PLAN, layers=tuple(layers)))
        assert engine.count(Commit) == 2
        told = engine.heard[-1].plan.layers[0]
        assert (told.smooth_periods, told.ceiling_millicpu) == (10, 1500)

    async def test_a_rejected_plan_leaves_the_old_one(self, attached):
        supervisor, engine = attached
        engine.answers[Commit] = Rejected("too many cgroups")
        await supervisor.commit(OTHER)
        status = supervisor.status
        assert (status.plan, status.generation, status.nr_commits) == (PLAN, 1, 0)
        assert (status.state, status.notes) == (State.ENFORCING, ["too many cgroups"])
        del engine.answers[Commit]
        await supervisor.commit(PLAN)
        assert engine.count(Commit) == 1  # it is still in force

    async def test_nothing_is_asked_of_no_engine(self, supervisor, engines):
        await supervisor.commit(PLAN)
        await supervisor.beat()
        await supervisor.read_stats()
        await supervisor.check()
        assert engines.made == []
        assert said(supervisor) == (State.STARTING, "")


class TestStats:
    async def test_they_are_of_the_engine_that_is_there(self, attached):
        supervisor, _ = attached
        await supervisor.read_stats()
        assert (list(supervisor.status.stats), len(supervisor.status.quotas)) == (["system"], 1)
        assert supervisor.status.no_room == NoRoom(quotas=3)
        await supervisor.stand_down("03:12")
        assert (supervisor.status.stats, supervisor.status.quotas) == ({}, ())
        assert supervisor.status.no_room == NoRoom()


class TestStandDown:
    async def test_politely(self, attached, kernel):
        supervisor, engine = attached
        heard_ns = time.monotonic_ns() - 1_000_000_000
        await supervisor.stand_down("03:12", heard_ns=heard_ns)
        assert said(supervisor) == (State.SAFE_MODE, "03:12")
        assert engine.heard[-1] == Detach()
        assert engine.poll() is not None
        assert kernel.sysrqs == 0
        took = supervisor.status.stand_down_ns
        assert took["total"] >= took["decide"] >= 1_000_000_000
        assert supervisor.status.nr_stand_downs == 1

    async def test_without_an_engine_there_is_nothing_to_count(self, supervisor):
        await supervisor.stand_down("03:12")
        assert said(supervisor) == (State.SAFE_MODE, "03:12")
        assert supervisor.status.nr_stand_downs == 0
        assert supervisor.logged == []

    async def test_an_engine_that_never_answers_is_killed(self, attached, kernel):
        supervisor, engine = attached
        engine.answers[Detach] = None
        await supervisor.stand_down("03:12")
        assert said(supervisor) == (State.SAFE_MODE, "03:12")
        assert engine.poll() == -9
        assert logged(supervisor) == ["detach_forced", "stood_down"]

    async def test_an_engine_that_is_gone(self, attached):
        supervisor, engine = attached
        engine.send_signal(9)
        await supervisor.stand_down("03:12")
        assert said(supervisor) == (State.SAFE_MODE, "03:12")
        assert supervisor.status.engine_pid == 0

    async def test_an_engine_that_never_greeted(self, supervisor, engines):
        engines.greeting = None
        engines.answers[Detach] = None
        supervisor.spawn()
        assert supervisor.status.engine_pid == 4242
        await supervisor.stand_down("03:12")
        assert said(supervisor) == (State.SAFE_MODE, "03:12")
        assert engines.made[0].poll() == -9

    async def test_a_process_that_does_not_end_is_no_reason_to_wait_for_ever(self, attached):
        supervisor, engine = attached
        engine.unkillable = True
        await supervisor.stand_down("03:12")
        assert said(supervisor) == (State.SAFE_MODE, "03:12")
        assert "engine_unkillable" in logged(supervisor)


class TestStuck:
    @pytest.fixture
    def clinging(self, attached):
        supervisor, engine = attached
        engine.clings = True
        engine.answers[Detach] = None
        return supervisor

    async def test_the_kernel_itself_is_told(self, clinging, kernel):
        await clinging.stand_down("03:12")
        assert kernel.sysrqs == 1
        assert said(clinging) == (State.SAFE_MODE, "03:12")
        assert "sysrq_eject" in logged(clinging)

    async def test_a_kernel_that_keeps_our_scheduler_is_stuck_and_tried_on(self, clinging, kernel):
        kernel.heeds = False
        await clinging.stand_down("03:12")
        assert kernel.sysrqs == 1
        assert said(clinging)[0] == State.STUCK
        assert "SysRq-S" in said(clinging)[1]
        assert not clinging.wants_engine
        await clinging.check()
        assert kernel.sysrqs == 2
        assert said(clinging)[0] == State.STUCK
        kernel.heeds = True
        await clinging.stand_down("03:12")
        assert said(clinging) == (State.SAFE_MODE, "03:12")
        assert clinging.wants_engine

    async def test_sysrq_that_is_not_allowed(self, clinging, monkeypatch):
        def refuse():
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(module.sched_ext, "request_stock", refuse)
        await clinging.stand_down("03:12")
        assert said(clinging)[0] == State.STUCK
        assert "sysrq_refused" in logged(clinging)

    async def test_a_kernel_that_is_still_switching_is_not_stock(self, attached, kernel):
        supervisor, engine = attached
        engine.clings, kernel.heeds = True, False
        (kernel.root / "state").write_text("disabling\n")
        engine.answers[Detach] = None
        await supervisor.stand_down("03:12")
        assert said(supervisor)[0] == State.STUCK

    async def test_a_lost_engine_whose_scheduler_stays_is_stuck_not_detached(self, attached, kernel):
        supervisor, engine = attached
        engine.clings, kernel.heeds = True, False
        await lose(supervisor, engine)
        assert said(supervisor)[0] == State.STUCK
        assert kernel.sysrqs >= 1
        kernel.disable()
        await supervisor.check()
        # It counts and waits like any other.
        assert said(supervisor)[0] == State.DETACHED
        assert said(supervisor)[1].endswith("; again in 0.2 s")
        assert supervisor.status.nr_losses == 1
        assert not supervisor.wants_engine
        supervisor._retry_at_s = 0.0
        assert supervisor.wants_engine
