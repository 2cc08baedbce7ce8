"""The client against a real socket pair and a real process that is not an engine: the border, not the engine."""

import asyncio
import os
import subprocess
import sys

import pytest

from temper.agent import engine_client
from temper.agent.engine_client import EngineClient
from temper.agent.spawn import Spawned
from temper.errors import EngineLost, Refused
from temper.wire import channel
from temper.wire.messages import PROTOCOL, Beat, Beaten, Ended, Failed, Hello, Refusal
from temper.wire.pair import make_pair

HELLO = Hello(PROTOCOL, 1, "1.5", {})
ENDED = Ended(65, 1, "unregistered from BPF", "agent heartbeat lost")


@pytest.fixture
async def engine():
    """(client, the engine's end of its socket, how often it had news)."""
    end, theirs = make_pair()
    end.setblocking(False)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    news = []
    client = EngineClient(Spawned(process, end), on_news=lambda: news.append(1))
    yield client, theirs, news
    client.kill()
    await client.reap()
    process.stdin.close()
    theirs.close()


async def test_hello_then_call(engine):
    client, theirs, _ = engine
    theirs.send(channel.encode(HELLO))
    assert await client.hello() == HELLO
    theirs.send(channel.encode(Beaten()))
    assert await client.call(Beat()) == Beaten()
    assert channel.decode_request(theirs.recv(1000)) == Beat()


async def test_a_refusal_is_raised_with_its_remedy(engine):
    client, theirs, _ = engine
    theirs.send(channel.encode(Refusal("no sched_ext", "boot another kernel")))
    with pytest.raises(Refused, match=r"no sched_ext \(boot another kernel\)"):
        await client.hello()


async def test_a_failure_is_a_lost_engine_not_a_refusal(engine):
    client, theirs, _ = engine
    theirs.send(channel.encode(Failed("no memory")))
    with pytest.raises(EngineLost, match="no memory"):
        await client.hello()


async def test_another_protocol_is_not_spoken_to(engine):
    client, theirs, _ = engine
    theirs.send(channel.encode(Hello(PROTOCOL + 1, 1, "1.5", {})))
    with pytest.raises(EngineLost, match="did not greet"):
        await client.hello()


async def test_silence_is_a_lost_engine(engine, monkeypatch):
    monkeypatch.setattr(engine_client, "START_TIMEOUT_S", 0.01)
    with pytest.raises(EngineLost, match="did not answer"):
        await engine[0].hello()


@pytest.mark.parametrize("late", [False, True])
async def test_who_takes_too_long_goes_first(engine, monkeypatch, late):
    client, theirs, _ = engine
    monkeypatch.setattr(engine_client, "HURRY_S", 0.01 if late else 60.0)
    greeting = asyncio.create_task(client.hello())
    while late and os.sched_getscheduler(client.pid) != os.SCHED_RR:
        await asyncio.sleep(0)
    theirs.send(channel.encode(HELLO))
    assert await greeting == HELLO
    assert os.sched_getscheduler(client.pid) == (os.SCHED_RR if late else os.SCHED_OTHER)


async def test_a_hang_up_is_a_lost_engine(engine):
    client, theirs, _ = engine
    theirs.close()
    with pytest.raises(EngineLost, match="gone"):
        await client.hello()
    with pytest.raises(EngineLost, match=r"gone|Broken pipe"):
        await client.call(Beat())


async def test_an_end_that_comes_in_place_of_a_reply_is_kept(engine):
    client, theirs, _ = engine
    theirs.send(channel.encode(ENDED))
    assert await client.call(Beat()) == ENDED
    assert client.ended == ENDED


async def test_an_end_that_is_there_when_the_time_is_over_is_heard(engine):
    """As after SIGCONT to the agent: the deadline is long past, and the last word unread."""
    client, theirs, _ = engine
    client._loop.remove_reader(client._end)
    theirs.send(channel.encode(ENDED))
    assert await client.call(Beat(), 0.01) == ENDED
    assert client.ended == ENDED


async def test_a_call_that_is_given_up_does_not_take_the_next_one_along(engine):
    """As when the switch calls an attach off: its task ends after the engine was asked to detach."""
    client, theirs, _ = engine
    given_up = asyncio.create_task(client.call(Beat(), 5.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    following = asyncio.create_task(client.call(Beat(), 5.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    theirs.send(channel.encode(ENDED))
    assert await following == ENDED


@pytest.mark.parametrize("unread", [False, True], ids=["all read", "a request unread"])
async def test_an_end_before_a_send_that_fails_is_heard(engine, unread):
    client, theirs, _ = engine
    if unread:
        client._end.send(channel.encode(Beat()))
    theirs.send(channel.encode(ENDED))
    theirs.close()
    with pytest.raises(EngineLost):
        await client.call(Beat())
    assert client.ended == ENDED


async def test_an_unasked_end_is_news(engine, event_loop_turn):
    client, theirs, news = engine
    theirs.send(channel.encode(ENDED))
    await event_loop_turn(lambda: bool(news))
    assert client.ended == ENDED
