"""When the node object is written, and when it is left alone. The API server is a list; waits are noted."""

import asyncio
import time
from types import SimpleNamespace

import httpx2 as httpx
import pytest

from temper.agent import annotations as module
from temper.agent.annotations import LONGEST_WAIT_S, Reporter
from temper.agent.states import State
from temper.agent.status import Status
from temper.kube import backoff
from temper.plan.pods import SAID_AT
from temper.settings.agent import AgentSettings, Kubernetes

STATUS = "temper.codes/agent-status"
PODS = "temper.codes/tier-critical-pods"


def refusal(code, **headers):
    request = httpx.Request("PATCH", "http://x")
    return httpx.HTTPStatusError("no", request=request, response=httpx.Response(code, headers=headers))


@pytest.fixture
async def reporter(monkeypatch, events, node):
    """A reporter that runs. writes: patches that came, without their times, which are in said_at.

    refusals: what the next ones end with; has: the node's own.
    """
    writes, said_at, refusals, waits, has = [], [], [], [], {}
    sleep = asyncio.sleep

    async def annotate_node(_, name, patch):
        await sleep(0)
        if refusals:
            raise refusals.pop(0)
        assert name == "n1"
        said_at.append(patch.pop(SAID_AT))
        writes.append(patch)
        has.update({key: value for key, value in patch.items() if value is not None})
        for key in [key for key, value in patch.items() if value is None]:
            has.pop(key, None)

    async def note(seconds):
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr(module, "annotate_node", annotate_node)
    stand_in = SimpleNamespace(Event=asyncio.Event, timeout=asyncio.timeout, sleep=note)
    monkeypatch.setattr(module, "asyncio", stand_in)
    monkeypatch.setattr(backoff, "random", SimpleNamespace(uniform=lambda low, high: (low + high) / 2))
    made = SimpleNamespace(writes=writes, refusals=refusals, waits=waits, has=has, status=Status(state=State.ENFORCING))
    made.views, made.said_at = node.views, said_at
    made.options = {"annotate_interval_s": 30}

    def settings():
        return AgentSettings(node_name="n1", kubernetes=Kubernetes(**made.options))

    made.reporter = Reporter(None, settings, lambda: has)
    task = asyncio.create_task(made.reporter.run())

    def publish():
        made.reporter.publish(made.status, made.views)

    async def settle():
        """Whatever it would do at once has been done."""
        for _ in range(60):
            await sleep(0)
        assert not task.done(), task.result()

    async def until(holds):
        async with asyncio.timeout(2):
            while not holds():
                await sleep(0.001)

    made.publish, made.settle, made.until = publish, settle, until
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_first_report_is_whole_and_under_both_names(reporter):
    reporter.publish()
    await reporter.settle()
    (patch,) = reporter.writes
    assert patch[STATUS] == "enforcing"
    assert patch["infera.io/agent-status"] == "enforcing"
    assert (patch[PODS], patch["temper.codes/tier-critical-millicpu"]) == ("1", "2000")
    assert reporter.reporter.nr_writes == 1


async def test_nothing_is_written_twice(reporter):
    reporter.publish()
    await reporter.settle()
    for _ in range(5):
        reporter.publish()
        await reporter.settle()
    assert len(reporter.writes) == 1


async def test_a_new_agent_does_not_repeat_what_the_node_has(reporter):
    reporter.has |= module.wanted_annotations(reporter.status, reporter.views, legacy=True)
    reporter.publish()
    await reporter.settle()
    assert (reporter.writes, reporter.reporter.nr_writes) == ([], 0)


async def test_each_write_says_when_and_time_alone_is_none(reporter, monkeypatch):
    monkeypatch.setattr(module.time, "gmtime", lambda: time.struct_time((2026, 11, 28, 12, 5, 59, 5, 332, 0)))
    reporter.publish()
    await reporter.settle()
    reporter.publish()
    await reporter.settle()
    assert reporter.said_at == ["2026-11-28T12:05:59Z"]


async def test_only_what_differs_is_written(reporter):
    reporter.publish()
    await reporter.settle()
    reporter.status.state = State.SAFE_MODE
    reporter.publish()
    await reporter.settle()
    assert reporter.writes[1:] == [{STATUS: "safe-mode", "infera.io/agent-status": "safe-mode"}]


async def test_every_change_of_status_is_written_at_once(reporter):
    for number, state in enumerate([State.STARTING, State.ENFORCING, State.SAFE_MODE, State.ENFORCING], start=1):
        reporter.status.state = state
        reporter.publish()
        await reporter.settle()
        assert len(reporter.writes) == number
        assert reporter.has[STATUS] == state


async def test_counts_wait_for_the_interval(reporter):
    reporter.options["annotate_interval_s"] = 0.3
    reporter.publish()
    await reporter.settle()
    for _ in range(3):
        reporter.views = reporter.views[:-1]
        reporter.publish()
        await reporter.settle()
    assert len(reporter.writes) == 1
    await reporter.until(lambda: len(reporter.writes) == 2)
    assert reporter.has[PODS] == "0"
    reporter.publish()
    await reporter.settle()
    assert len(reporter.writes) == 2


async def test_counts_go_along_with_a_change_of_status(reporter):
    reporter.publish()
    await reporter.settle()
    reporter.views = ()
    reporter.status.state = State.SAFE_MODE
    reporter.publish()
    await reporter.settle()
    assert (reporter.has[STATUS], reporter.has[PODS]) == ("safe-mode", "0")


async def test_what_somebody_else_changed_is_put_right_at_the_intervals_end(reporter):
    reporter.options["annotate_interval_s"] = 0.02
    reporter.publish()
    await reporter.settle()
    reporter.has[STATUS] = "nonsense"
    await reporter.until(lambda: reporter.has[STATUS] == "enforcing")


async def test_refusals_are_tried_again_with_growing_waits(reporter, events):
    reporter.refusals += [refusal(503) for _ in range(8)]
    reporter.publish()
    await reporter.settle()
    assert reporter.waits == [1, 2, 4, 8, 16, 32, LONGEST_WAIT_S, LONGEST_WAIT_S]
    assert len(reporter.writes) == 1
    assert (reporter.reporter.nr_writes, reporter.reporter.nr_failures) == (1, 8)
    assert reporter.reporter.trouble == ""
    assert [name for name, _ in events] == ["annotations_not_written"]  # once, not eight times


async def test_trouble_is_shown_and_what_is_written_is_the_latest(reporter, monkeypatch):
    held = asyncio.Event()

    async def hold(_):
        await held.wait()

    monkeypatch.setattr(module.asyncio, "sleep", hold)
    reporter.refusals.append(refusal(403))
    reporter.publish()
    await reporter.settle()
    assert reporter.reporter.trouble == "403 Forbidden"
    reporter.status.state = State.SAFE_MODE
    reporter.publish()
    held.set()
    await reporter.settle()
    assert reporter.has[STATUS] == "safe-mode"
    assert len(reporter.writes) == 1


async def test_a_server_that_asks_for_a_pause_gets_it(reporter):
    reporter.refusals.append(refusal(429, **{"Retry-After": "10"}))
    reporter.publish()
    await reporter.settle()
    assert reporter.waits == [11.0]


async def test_the_former_names_are_removed_once_where_they_are_there(reporter):
    reporter.publish()
    await reporter.settle()
    reporter.has["infera.io/safe-mode-requested"] = "true"
    reporter.options["legacy_annotations"] = False
    reporter.status.state = State.SAFE_MODE
    reporter.publish()
    await reporter.settle()
    removed = reporter.writes[1]
    assert {name for name, value in removed.items() if value is None} == {
        name for name in reporter.writes[0] if name.startswith("infera.io/")
    }
    assert [name for name in reporter.has if name.startswith("infera.io/")] == ["infera.io/safe-mode-requested"]
    reporter.status.state = State.ENFORCING
    reporter.publish()
    await reporter.settle()
    assert reporter.writes[2] == {STATUS: "enforcing"}


async def test_where_it_is_off_nothing_is_written(reporter):
    reporter.options["annotate"] = False
    reporter.publish()
    await reporter.settle()
    await reporter.reporter.last_word()
    assert reporter.writes == []
    reporter.options["annotate"] = True
    reporter.status.state = State.SAFE_MODE
    reporter.publish()
    await reporter.settle()
    assert reporter.has[STATUS] == "safe-mode"


class TestLastWord:
    async def test_it_writes_what_waits(self, reporter):
        reporter.publish()
        await reporter.settle()
        reporter.views = ()
        reporter.publish()
        await reporter.reporter.last_word()
        assert reporter.has[PODS] == "0"

    async def test_a_refusal_is_logged_and_no_more(self, reporter, events):
        reporter.reporter._wanted = {STATUS: "detached"}
        reporter.refusals.append(refusal(500))
        await reporter.reporter.last_word()
        assert events == [("annotations_not_written", {"reason": "500 Internal Server Error"})]

    async def test_a_server_that_does_not_answer_holds_up_no_end(self, reporter, monkeypatch, events):
        async def never(*_):
            await asyncio.Event().wait()

        monkeypatch.setattr(module, "annotate_node", never)
        monkeypatch.setattr(module, "LAST_WORD_S", 0.01)
        reporter.reporter._wanted = {STATUS: "detached"}
        await reporter.reporter.last_word()
        assert events == [("annotations_not_written", {"reason": "TimeoutError"})]
