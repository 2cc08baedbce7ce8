import pytest

from temper.agent.breaker import FIRST_WAIT_S, LONGEST_WAIT_S, MOST_EJECTIONS, MOST_LOSSES, WINDOW_S, Breaker


def test_waits_double_until_the_last_loss_latches():
    breaker = Breaker()
    waits = [breaker.lost(float(second), ejected=False) for second in range(MOST_LOSSES)]
    assert waits == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S, 8 * FIRST_WAIT_S, None]


def test_ejections_latch_sooner():
    breaker = Breaker()
    waits = [breaker.lost(0.0, ejected=True) for _ in range(MOST_EJECTIONS)]
    assert waits[:-1] == [FIRST_WAIT_S] * (MOST_EJECTIONS - 1)
    assert waits[-1] is None


def test_losses_outside_the_window_are_forgotten():
    breaker = Breaker()
    for second in (0.0, WINDOW_S, 2 * WINDOW_S, 3 * WINDOW_S, 4 * WINDOW_S, 5 * WINDOW_S):
        assert breaker.lost(second, ejected=True) == FIRST_WAIT_S


def test_a_person_resets_it():
    breaker = Breaker()
    for _ in range(MOST_LOSSES - 1):
        breaker.lost(0.0, ejected=False)
    breaker.reset()
    assert breaker.lost(0.0, ejected=False) == FIRST_WAIT_S


@pytest.mark.parametrize("losses", range(1, MOST_LOSSES))
def test_no_wait_is_longer_than_the_longest(losses):
    breaker = Breaker(losses=[(0.0, False)] * (losses - 1))
    wait_s = breaker.lost(0.0, ejected=False)
    assert wait_s is not None
    assert wait_s <= LONGEST_WAIT_S


def test_limits_may_be_others():
    breaker = Breaker(most_losses=2, most_ejections=2, window_s=10.0)
    assert breaker.lost(0.0, ejected=False) == FIRST_WAIT_S
    assert breaker.lost(10.0, ejected=False) == FIRST_WAIT_S
    assert breaker.lost(19.0, ejected=False) is None
