from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from temper.plan.demand import (
    CALM_NS,
    FULL_MILLICPU,
    Demand,
    Limits,
    Reading,
    State,
    demands,
    follow,
    judge,
)
from temper.plan.layers import Size
from temper.plan.tiers import Tier

S = 1_000_000_000
EIGHT = Limits(1, 8)

limits = st.tuples(st.integers(0, 4), st.integers(0, 600)).map(lambda both: Limits(both[0], both[0] + both[1]))
uses = st.one_of(st.integers(0, 8_000), st.integers(0, 700_000))
readings = st.builds(Reading, uses, st.integers(1, 100 * S), st.booleans())
states = st.builds(
    State, st.integers(0, 700), st.integers(0, CALM_NS - 1), uses, st.integers(0, 600), st.integers(0, 700_000)
)


def play(state, used, seconds, bounds=EIGHT, waited_at=lambda cpus: False):
    """The sizes after each reading of 5 s."""
    sizes = []
    for _ in range(seconds // 5):
        state = follow(state, Reading(used, 5 * S, waited_at(state.cpus)), bounds)
        sizes.append(state.cpus)
    return state, sizes


def test_the_example_of_the_docstring():
    state, sizes = play(State(8), 500, 90)
    assert sizes == [8] * 5 + [4] * 6 + [2] * 6 + [1]
    assert follow(state, Reading(3_700, 5 * S), EIGHT).cpus == 5


@pytest.mark.parametrize(
    ("owned", "used", "after"),
    [
        (1, 900, 1),  # full, and not more than that
        (1, 901, 2),
        (1, 60_000, 8),  # never beyond what it may own
        (8, 7_200, 8),
        (3, 0, 3),  # not after one reading
    ],
)
def test_the_next_reading(owned, used, after):
    assert follow(State(owned), Reading(used, 5 * S), EIGHT).cpus == after


@pytest.mark.parametrize(("used", "rests_at"), [(0, 1), (599, 1), (600, 2), (2_000, 4), (4_199, 7), (4_200, 8)])
def test_where_a_size_comes_to_rest_from_above(used, rests_at):
    assert play(State(8), used, 600)[0].cpus == rests_at


def test_one_busy_reading_begins_the_calm_anew():
    state, _ = play(State(8), 500, 25)
    state = follow(state, Reading(4_200, 5 * S), EIGHT)
    assert play(state, 500, 25)[1] == [8] * 5
    assert play(state, 500, 30)[1] == [8] * 5 + [4]


def test_the_busiest_of_the_calm_readings_is_what_must_fit():
    state = follow(State(8), Reading(4_100, 5 * S), EIGHT)
    assert play(state, 0, 25)[1][-1] == 7


def test_a_mean_over_minutes_is_no_calm():
    state = follow(State(8), Reading(500, 600 * S), EIGHT)
    assert state.cpus == 8
    assert play(state, 500, 20)[1] == [8, 8, 8, 4]


def test_another_plan_may_own_another_number():
    assert follow(State(8), Reading(500, 5 * S), Limits(1, 3)).cpus == 3
    assert follow(State(0), Reading(0, 5 * S), EIGHT).cpus == 1
    assert follow(State(0), Reading(0, 5 * S), Limits(0, 8)).cpus == 0  # nothing requested, nothing used
    assert follow(State(0), Reading(1, 5 * S), Limits(0, 8)).cpus == 1
    state = State(3, calm_ns=5 * S)
    assert state.owning(3) is state
    assert state.owning(5) == State(5, calm_ns=5 * S)


class TestWaits:
    def test_they_ask_for_one_more(self):
        assert play(State(2), 500, 15, waited_at=lambda _: True)[1] == [3, 4, 5]

    def test_a_size_at_which_tasks_waited_is_not_gone_back_to(self):
        _, sizes = play(State(8), 500, 3_600, waited_at=lambda cpus: cpus <= 2)
        assert sizes[-1] == 3
        assert sum(one != other for one, other in pairwise(sizes)) <= 4

    def test_until_the_use_has_halved(self):
        state, _ = play(State(8), 500, 600, waited_at=lambda cpus: cpus <= 2)
        assert play(state, 250, 600)[1][-1] == 3
        assert play(state, 249, 600)[1][-1] == 1


@settings(deadline=None)
@given(states, readings, limits)
def test_a_size_is_within_its_limits(state, reading, bounds):
    after = follow(state, reading, bounds)
    assert bounds.least <= after.cpus <= bounds.most
    assert 0 <= after.calm_ns < CALM_NS


@settings(deadline=None)
@given(states, readings, uses, limits)
def test_more_use_is_never_a_smaller_size(state, reading, more, bounds):
    higher = reading._replace(used_millicpu=reading.used_millicpu + more)
    assert follow(state, higher, bounds).cpus >= follow(state, reading, bounds).cpus


@settings(deadline=None)
@given(states, readings, limits)
def test_what_is_used_fits_or_there_is_no_more_to_have(state, reading, bounds):
    after = follow(state, reading, bounds)
    assert after.cpus == bounds.most or reading.used_millicpu <= FULL_MILLICPU * after.cpus


@settings(deadline=None)
@given(states, readings, limits)
def test_one_reading_takes_half_at_most(state, reading, bounds):
    was = bounds.clamp(state.cpus)
    assert follow(state, reading, bounds).cpus >= was // 2


@settings(max_examples=200, deadline=None)
@given(states, uses, limits, st.integers(0, 600))
def test_a_steady_load_comes_to_rest_in_one_direction(state, used, bounds, waits_below):
    """Whatever came before; also where too small a size makes its tasks wait, as it does for good."""
    assume(state.small_cpus == 0)
    sizes = [bounds.clamp(state.cpus)]
    for _ in range(12 * 6 + 700):
        state = follow(state, Reading(used, 5 * S, state.cpus <= waits_below), bounds)
        sizes.append(state.cpus)
    turns = [other - one for one, other in pairwise(sizes) if one != other]
    # Down, and up again if it went too far: never down after that.
    assert all(step > 0 for step in turns[next((i for i, step in enumerate(turns) if step > 0), len(turns)) :])
    assert len(set(sizes[-7:])) == 1


@settings(max_examples=100, deadline=None)
@given(uses, limits, st.lists(st.integers(-9, 9), min_size=60, max_size=60))
def test_noise_changes_nothing_once_at_rest(used, bounds, percents):
    """A tenth up and down: it may be one size too small or large for that, but never goes and comes back."""
    state, _ = play(State(bounds.most), used, 600, bounds)
    sizes = [state.cpus]
    for percent in percents:
        state = follow(state, Reading(used * (100 + percent) // 100, 5 * S), bounds)
        sizes.append(state.cpus)
    assert sizes == sorted(sizes) or sizes == sorted(sizes, reverse=True)


def test_only_what_was_read_and_may_change_is_judged():
    sizes = [Size("critical", 3, 4, 6, 4, 4), Size("high", 8, 8, 8, 1, 8), Size("normal", 1, 1, 9, 1, 9)]
    found = {"critical": Reading(9_000, 5 * S), "high": Reading(500, 5 * S), "low": Reading(1, 5 * S)}
    after = judge({"normal": State(5)}, sizes, found)
    assert after == {"high": State(8, calm_ns=5 * S, peak_millicpu=500)}
    assert demands(after, sizes, found) == {Tier.HIGH: Demand(8, 8, 500)}


def test_what_is_owned_is_what_is_judged():
    """A commit that was refused is asked for again."""
    size = [Size("high", 8, 2, 8, 1, 8)]
    for _ in range(3):
        assert judge({"high": State(5)}, size, {"high": Reading(4_000, 5 * S)})["high"].cpus == 5
