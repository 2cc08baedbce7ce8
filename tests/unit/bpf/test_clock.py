"""bpf/clock.h: a timer's clock is never ahead of the scheduler's, and no further behind than what it could see."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

MS, S = 1_000_000, 1_000_000_000
START = 100 * S
SLEW_PPM = 500  # NTP's most

calm = settings(deadline=None)
delays = st.one_of(st.just(0), st.integers(0, 200 * MS))
# How far behind the scheduler's clock is told, and what goes by before each of the two clocks is read.
looks = st.tuples(delays, delays, delays)
# What goes by until the next look, and by how much NTP slews meanwhile.
waits = st.tuples(st.integers(0, 20 * S), st.integers(-SLEW_PPM, SLEW_PPM))


def look(clock, function, behind_ns=0, first_ns=0, second_ns=0):
    clock.behind_ns, clock.delay_ns = behind_ns, [first_ns, second_ns]
    return function()


def start(clock, *seen):
    clock.real_ns, clock.ahead_ns = START, 3600 * S
    look(clock, clock.begin, *seen)


def wait(clock, ns, slew_ppm):
    clock.real_ns += ns
    clock.ahead_ns += ns * slew_ppm // 1_000_000


@calm
@given(looks, st.lists(st.tuples(waits, looks), max_size=20))
def test_never_ahead(clock, first, then):
    start(clock, *first)
    for waited, seen in then:
        wait(clock, *waited)
        assert look(clock, clock.now, *seen) <= clock.real_ns


@calm
@given(looks, waits, looks)
def test_one_good_look_mends_it(clock, first, waited, bad):
    """And bad ones cost no more than twice what NTP may slew."""
    start(clock, *first)
    assert look(clock, clock.now) == clock.real_ns
    wait(clock, *waited)
    assert look(clock, clock.now, *bad) >= clock.real_ns - (waited[0] + sum(bad)) * 2 * SLEW_PPM // 1_000_000 - MS
