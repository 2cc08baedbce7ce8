import asyncio

import pytest

from temper.agent import readers
from temper.agent.readers import KNOWN_S, MOST_KNOWN, MOST_WAITING, Readers, TooMany
from temper.kube.reviews import Access


@pytest.fixture
def asked(monkeypatch):
    """(readers, tokens asked about, clock)."""
    monkeypatch.setattr(readers, "LEAST_PACE_S", 0.0)
    tokens, clock = [], [0.0]

    async def review(token):
        tokens.append(token)
        await asyncio.sleep(0)
        return Access.ALLOWED if token.startswith("good") else Access.UNKNOWN

    return Readers(review, clock_s=lambda: clock[0]), tokens, clock


@pytest.mark.parametrize("token", ["good", "bad", "", "\udcff"])
async def test_an_answer_counts_for_a_while(asked, token):
    who, tokens, clock = asked
    answer = Access.ALLOWED if token in ("good",) else Access.UNKNOWN
    assert [await who.access(token) for _ in range(3)] == [answer] * 3
    assert len(tokens) == 1
    clock[0] += KNOWN_S
    assert await who.access(token) == answer
    assert len(tokens) == 2


async def test_many_who_ask_the_same_are_one_question(asked):
    who, tokens, _ = asked
    assert set(await asyncio.gather(*(who.access("good") for _ in range(MOST_WAITING)))) == {Access.ALLOWED}
    assert tokens == ["good"]


async def test_more_than_so_many_questions_are_refused(asked):
    who, tokens, _ = asked
    answers = await asyncio.gather(
        *(who.access(f"t{number}") for number in range(MOST_WAITING + 3)), return_exceptions=True
    )
    assert sum(isinstance(answer, TooMany) for answer in answers) == 3
    assert len(tokens) == MOST_WAITING


async def test_no_more_than_so_many_are_known(asked):
    who, tokens, _ = asked
    for number in range(MOST_KNOWN + 1):
        await who.access(f"good{number}")
    await who.access("good0")
    assert (len(who._known), tokens.count("good0")) == (MOST_KNOWN, 2)


async def test_no_token_is_kept(asked):
    who, _, _ = asked
    await who.access("good-secret")
    assert b"good-secret" not in b"".join(who._known)


async def test_a_server_that_is_away_is_no_answer():
    async def review(_):
        raise OSError("away")

    who = Readers(review)
    with pytest.raises(OSError, match="away"):
        await who.access("good")
    assert who._nr_waiting == 0


async def test_a_server_in_trouble_is_asked_ever_less(monkeypatch):
    """Whoever asks waits, not the API server."""
    slept, clock = [], [100.0]

    async def sleep(seconds):
        slept.append(max(0.0, seconds))
        clock[0] += slept[-1]

    async def review(_):
        if len(slept) < 6:
            raise OSError("away")
        return Access.ALLOWED

    monkeypatch.setattr(readers.asyncio, "sleep", sleep)
    who = Readers(review, clock_s=lambda: clock[0])
    for _ in range(5):
        with pytest.raises(OSError, match="away"):
            await who.access("good")
    assert await who.access("good") is Access.ALLOWED
    assert slept[0] == 0.0
    assert sum(slept) >= 0.5 * 0.1 * (1 + 2 + 4 + 8 + 16)
