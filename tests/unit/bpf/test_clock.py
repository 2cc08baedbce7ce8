"""bpf/clock.h: a timer's clock is never ahead of the scheduler's, and no further behind than what it could see."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

MS, S = 1_000_000, 1_000_000_000
START = 100 * S
PPM = 1_000_000
KERNEL_SLEW, CHRONY_SLEW = 500, 100_000  # ppm, at most

calm = settings(deadline=None)
delays = st.lists(st.one_of(st.just(1), st.integers(1, 200 * MS)), min_size=3, max_size=3)
# How long ago the scheduler's clock was read (0: now), and what goes by before each look at a clock.
looks = st.tuples(st.one_of(st.just(0), st.integers(1, 200 * MS)), delays)
AT_ONCE = [1, 1, 0]


def waits(slew_ppm):
    """What goes by until the next look, and by how much CLOCK_MONOTONIC is slewed meanwhile."""
    return st.tuples(st.integers(0, 20 * S), st.integers(-slew_ppm, slew_ppm))


def look(clock, function, remembered_ns=0, delays_ns=AT_ONCE):
    clock.remembered_ns, clock.delays_ns = remembered_ns, delays_ns
    return function()


def start(clock, *seen):
    clock.real_ns, clock.ahead_ns = START, 3600 * S
    look(clock, clock.begin, *seen)


def wait(clock, ns, slew_ppm):
    clock.real_ns += ns
    clock.ahead_ns += ns * slew_ppm // PPM


@calm
@given(looks, st.lists(st.tuples(waits(KERNEL_SLEW), looks), max_size=20))
def test_never_ahead(clock, first, then):
    start(clock, *first)
    for waited, seen in then:
        wait(clock, *waited)
        assert look(clock, clock.now, *seen) <= clock.real_ns


@calm
@given(looks, waits(CHRONY_SLEW), delays)
def test_never_ahead_of_a_clock_that_is_read_whatever_slews(clock, first, waited, delays_ns):
    start(clock, *first)
    wait(clock, *waited)
    assert look(clock, clock.now, 0, delays_ns) <= clock.real_ns


@calm
@given(looks, waits(CHRONY_SLEW), waits(KERNEL_SLEW), looks)
def test_one_good_look_mends_it(clock, first, any_wait, waited, bad):
    """And bad ones cost no more than what it shrinks by, and what is slewed the other way."""
    start(clock, *first)
    wait(clock, *any_wait)
    assert look(clock, clock.now) == clock.real_ns
    wait(clock, *waited)
    since_ns = waited[0] + sum(bad[1])
    said_ns = look(clock, clock.now, *bad)
    delay_ns = 0 if bad[0] else bad[1][2]  # a clock that is read tells what it sees
    shrunk_ns = (since_ns >> clock.slew_shift) + since_ns * KERNEL_SLEW // PPM
    assert clock.real_ns - said_ns <= shrunk_ns + delay_ns + 1
