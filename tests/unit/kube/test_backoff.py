from types import SimpleNamespace

import httpx2 as httpx
import pytest

from temper.kube import backoff as module
from temper.kube.backoff import SPREAD, Backoff


def busy(**headers):
    request = httpx.Request("GET", "http://x")
    return httpx.HTTPStatusError("no", request=request, response=httpx.Response(429, headers=headers))


@pytest.fixture(params=["shortest", "middle", "longest"])
def jitter(request, monkeypatch):
    """What jitter makes of a wait: (factor of an own one, factor of one that the server asks for)."""
    at = {"shortest": 0.0, "middle": 0.5, "longest": 1.0}[request.param]
    monkeypatch.setattr(module, "random", SimpleNamespace(uniform=lambda low, high: low + at * (high - low)))
    return 0.5 + at, 1 + at * SPREAD


def test_waits_double_to_a_bound_and_begin_anew(jitter):
    own, _ = jitter
    backoff = Backoff(1.0, 5.0)
    assert [backoff.next_s(OSError()) for _ in range(5)] == [own * wait_s for wait_s in (1, 2, 4, 5, 5)]
    backoff.reset()
    assert backoff.next_s(OSError()) == own


@pytest.mark.parametrize(("asks", "least_s"), [("7", 7.0), ("86400", 30.0), ("0", 0.0), ("Wed, 21 Oct 2026", 0.0)])
def test_a_server_that_asks_for_a_pause_gets_it_within_the_bound(jitter, asks, least_s):
    own, asked_for = jitter
    error = busy(**{"Retry-After": asks})
    assert Backoff(0.25, 30.0).next_s(error) == max(0.25 * own, least_s * asked_for)


def test_a_pause_shorter_than_the_own_wait_shortens_nothing(jitter):
    own, _ = jitter
    assert Backoff(20.0, 30.0).next_s(busy(**{"Retry-After": "1"})) == 20 * own
