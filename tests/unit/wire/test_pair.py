from __future__ import annotations

import time

import pytest

from temper.wire.pair import make_pair, receive_start, send_start


@pytest.fixture
def pair():
    agents, engines = make_pair()
    with agents, engines:
        yield agents, engines


def test_the_start_says_when_it_was_asked_for(pair):
    agents, engines = pair
    before_ns = time.monotonic_ns()
    send_start(agents, 17)
    start = receive_start(engines)
    assert start.hotplug_seq == 17
    assert before_ns <= start.asked_ns <= time.monotonic_ns()


def test_an_agent_that_goes_starts_nothing(pair):
    agents, engines = pair
    agents.close()
    assert receive_start(engines) is None


def test_an_engine_that_is_gone_is_told(pair):
    agents, engines = pair
    engines.close()
    with pytest.raises(OSError, match="Broken pipe"):
        send_start(agents, 0)
