import asyncio

import msgspec
import pytest

from temper.agent import lint as module
from temper.agent.states import State
from temper.plan.lint import Invariant, Verdict
from temper.settings.agent import Lint
from temper.wire.messages import LayerStats


async def after(node, run_thread, *threads, seconds=1.0):
    """Two looks, with these threads having run as told in between: (pod, tid, cpu, ticks, more)."""
    for pod, tid, cpu, _, more in threads:
        run_thread(pod, tid, cpu=cpu, ticks=0, **more)
    await node.linter.look()
    node.clock.ns += int(seconds * 1e9)
    for pod, tid, cpu, ticks, more in threads:
        (node.cgroups / pod / "cpu.stat").write_text("usage_usec 99000000\n")
        run_thread(pod, tid, cpu=cpu, ticks=ticks, **more)
    await node.linter.look()
    return {(each.verdict.invariant, each.verdict.subject) for each in node.linter.standing}


async def test_threads_in_their_place_are_no_finding(node, run_thread, events):
    found = await after(node, run_thread, ("web", 1, 2, 90, {}), ("batch", 2, 0, 90, {}), ("proxy", 3, 1, 10, {}))
    assert (found, events) == (set(), [])


async def test_a_background_thread_on_a_fenced_cpu_is(node, run_thread, events):
    assert await after(node, run_thread, ("batch", 2, 3, 40, {})) == {(Invariant.LAYER_MISMATCH, "shop/batch")}
    ((name, details),) = events
    assert (name, details["invariant"], details["subject"]) == ("lint", "layer_mismatch", "shop/batch")
    assert "thread 2 (a) b) of layer background ran on cpu 3; the layer may use 0-1" in details["message"]
    assert details["fix"]


async def test_one_that_is_pinned_there_is_somebody_elses_conflict(node, run_thread, events):
    found = await after(node, run_thread, ("batch", 2, 3, 40, {"allowed": "3"}))
    assert found == {(Invariant.CPUSET_CONFLICT, "shop/batch")}
    assert "leave it 3 only" in events[0][1]["message"]


@pytest.mark.parametrize("state", [State.SAFE_MODE, State.OBSERVING, State.EJECTED])
async def test_layers_are_judged_only_while_they_are_in_force(node, run_thread, events, state):
    node.status.state = state
    assert await after(node, run_thread, ("batch", 2, 3, 40, {})) == set()


async def test_realtime_threads_are_judged_always(node, run_thread, events):
    node.status.state, node.status.plan = State.SAFE_MODE, None
    found = await after(node, run_thread, ("batch", 2, 3, 80, {"policy": 1, "rt_priority": 50}))
    assert found == {(Invariant.RT_HOG, "shop/batch")}


async def test_what_was_seen_under_other_layers_is_not_compared_with(node, run_thread, events):
    run_thread("batch", 2, cpu=3, ticks=0)
    await node.linter.look()
    node.clock.ns += 1_000_000_000
    run_thread("batch", 2, cpu=3, ticks=40)
    first = node.status.plan.layers[0]
    other = (msgspec.structs.replace(first, slice_us=7), *node.status.plan.layers[1:])
    node.status.plan = msgspec.structs.replace(node.status.plan, layers=other)
    await node.linter.look()
    assert node.linter.standing == ()


async def test_another_generation_of_the_same_layers_is_the_same(node, run_thread, events):
    run_thread("batch", 2, cpu=3, ticks=0)
    await node.linter.look()
    node.clock.ns += 1_000_000_000
    run_thread("batch", 2, cpu=3, ticks=40)
    (node.cgroups / "batch/cpu.stat").write_text("usage_usec 99000000\n")
    node.status.generation, node.status.plan = 4, msgspec.structs.replace(node.status.plan)
    await node.linter.look()
    assert len(node.linter.standing) == 1


async def test_containers_outside_the_tree_and_pods_without_a_cgroup(node, events):
    node.mismatched = ("uid-batch",)
    node.views = (node.views[0]._replace(cgroups=()), *node.views[1:])
    await node.linter.look()
    verdicts = {each.verdict.invariant: each.verdict for each in node.linter.standing}
    assert set(verdicts) == {Invariant.CGROUP_DRIVER_MISMATCH, Invariant.POD_UNMAPPED}
    assert "shop/batch" in verdicts[Invariant.CGROUP_DRIVER_MISMATCH].message
    assert verdicts[Invariant.POD_UNMAPPED].subject == "shop/web"


async def test_the_layers_counters_are_compared_between_looks(node, events):
    before = node.status.stats["critical"]
    await node.linter.look()
    node.status.stats = {"critical": msgspec.structs.replace(before, nr_runs=2000, nr_guest_runs=501)}
    await node.linter.look()
    assert [each.verdict.message for each in node.linter.standing] == [
        "500 of 1000 runs were on cpus that the layer may not use"
    ]
    await node.linter.look()
    assert node.linter.standing == ()


async def test_a_wait_that_is_long_again_is_found_again(node, events):
    """Also when it is shorter than the longest since the attach, which therefore tells nothing."""
    counts = [(0, 0), (1, 0), (1, 0), (1, 1)]  # waits of 262 to 524 ms, and of 131 to 262 ms
    found = []
    for longer, shorter in counts:
        waits = (5, *(0,) * 17, shorter, longer, *(0,) * 4)
        longest_ns = 300_000_000 if longer else 0
        node.status.stats = {"system": LayerStats(nr_runs=sum(waits), wait_hist=waits, max_wait_ns=longest_ns)}
        await node.linter.look()
        found.append([each.verdict.message for each in node.linter.standing])
    assert found == [
        [],
        ["a thread waited at least 300 ms for a cpu"],
        [],
        ["a thread waited at least 131 ms for a cpu"],
    ]


def test_the_same_is_said_again_only_after_a_while(node, events, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "time", lambda: now[0])
    verdict = Verdict(Invariant.RT_HOG, "shop/a", "m")
    node.linter._remember([verdict])
    now[0] += 10
    node.linter._remember([verdict])
    assert (len(events), node.linter.standing[0].since_s) == (1, 1000.0)
    now[0] += module.AGAIN_S
    node.linter._remember([verdict])
    assert (len(events), node.linter.found[Invariant.RT_HOG]) == (2, 1)


def test_many_findings_are_few_lines(node, events):
    node.linter._remember([Verdict(Invariant.RT_HOG, f"shop/{number}", "m") for number in range(100)])
    assert [name for name, _ in events] == ["lint"] * module.MOST_SAID + ["lint_more"]
    assert events[-1][1]["unsaid"] == 100 - module.MOST_SAID


async def test_it_looks_until_it_is_switched_off(node, monkeypatch, events, event_loop_turn):
    looks = []
    node.settings = msgspec.structs.replace(node.settings, lint=Lint(enabled=True, interval_s=0))
    monkeypatch.setattr(node.linter, "look", lambda: looks.append(1) or asyncio.sleep(0))
    task = asyncio.create_task(node.linter.run())
    await event_loop_turn(lambda: len(looks) > 2)
    node.linter._remember([Verdict(Invariant.RT_HOG, "shop/a", "m")])
    node.settings = msgspec.structs.replace(node.settings, lint=Lint(enabled=False, interval_s=0))
    await event_loop_turn(lambda: node.linter.standing == ())
    task.cancel()


async def test_a_machine_without_cpus_is_not_judged(node, events):
    (node.root / "sys/devices/system/cpu/online").unlink()
    await node.linter.look()
    assert [name for name, _ in events] == ["lint_blind"]
