import pytest

from temper.plan.layers import Layer, Member, Plan
from temper.plan.tiers import LayerKind
from temper.wire import channel
from temper.wire.messages import Attach, Beat, Commit, Committed, Ended, LayerStats, Stats
from temper.wire.pair import MAX_MESSAGE, make_pair

LAYER = Layer("critical", 1, LayerKind.CONFINED, True, True, True, 5000, (2, 3))
PLAN = Plan((LAYER,), (Member(1 << 63, "critical"),))


@pytest.mark.parametrize("request_", [Attach(PLAN, 10_000), Commit(PLAN), Beat()])
def test_requests_survive(request_):
    assert channel.decode_request(channel.encode(request_)) == request_


@pytest.mark.parametrize(
    "reply",
    [
        Committed(2, 3, 4, 5),
        Ended(1026, 0, "stall", "x"),
        Stats(1, {"low": LayerStats(nr_runs=7, wait_hist=(1, 2), max_wait_ns=(1 << 64) - 1)}),
    ],
)
def test_replies_survive(reply):
    assert channel.decode_reply(channel.encode(reply)) == reply


def test_the_largest_plan_fits_one_packet():
    members = tuple(Member((1 << 62) + number, "background") for number in range(8192))
    packet = channel.encode(Commit(Plan((LAYER,), members)))
    ours, theirs = make_pair()
    with ours, theirs:
        ours.send(packet)
        assert theirs.recv(MAX_MESSAGE) == packet
