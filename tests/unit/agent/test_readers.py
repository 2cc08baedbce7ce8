import asyncio

import pytest

from temper.agent import readers
from temper.agent.readers import KNOWN_S, MOST_KNOWN, MOST_WAITING, Readers, TooMany


@pytest.fixture
def asked(monkeypatch):
    """(readers, tokens asked about, clock)."""
    monkeypatch.setattr(readers, "LEAST_PACE_S", 0.0)
    tokens, clock = [], [0.0]

    async def whose(token):
        tokens.append(token)
        await asyncio.sleep(0)
        return "somebody" if token.startswith("good") else None

    return Readers(whose, clock_s=lambda: clock[0]), tokens, clock


@pytest.mark.parametrize(("token", "may"), [("good", True), ("bad", False), ("", False), ("\udcff", False)])
async def test_an_answer_counts_for_a_while(asked, token, may):
    who, tokens, clock = asked
    assert [await who.may_read(token) for _ in range(3)] == [may] * 3
    assert len(tokens) == 1
    clock[0] += KNOWN_S
    assert await who.may_read(token) == may
    assert len(tokens) == 2


async def test_many_who_ask_the_same_are_one_question(asked):
    who, tokens, _ = asked
    assert set(await asyncio.gather(*(who.may_read("good") for _ in range(MOST_WAITING)))) == {True}
    assert tokens == ["good"]


async def test_more_than_so_many_questions_are_refused(asked):
    who, tokens, _ = asked
    answers = await asyncio.gather(
        *(who.may_read(f"t{number}") for number in range(MOST_WAITING + 3)), return_exceptions=True
    )
    assert sum(isinstance(answer, TooMany) for answer in answers) == 3
    assert len(tokens) == MOST_WAITING


async def test_no_more_than_so_many_are_known(asked):
    who, tokens, _ = asked
    for number in range(MOST_KNOWN + 1):
        await who.may_read(f"good{number}")
    await who.may_read("good0")
    assert (len(who._known), tokens.count("good0")) == (MOST_KNOWN, 2)


async def test_no_token_is_kept(asked):
    who, _, _ = asked
    await who.may_read("good-secret")
    assert b"good-secret" not in b"".join(who._known)


async def test_a_server_that_is_away_is_no_answer():
    async def whose(_):
        raise OSError("away")

    who = Readers(whose)
    with pytest.raises(OSError, match="away"):
        await who.may_read("good")
    assert who._nr_waiting == 0
