"""bpf/bucket.h: what a bucket gains, holds and owes, against a plain model of the kernel's rule."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

MS, S = 1_000_000, 1_000_000_000
YEAR = 365 * 86400 * S
MAX_CPUS = 512
TICK, PARK_MOST = 4 * MS, 1500 * MS
START = 10 * S
NO_BOUND = 10**6 * S  # of the debt: more than any test owes

calm = settings(deadline=None)  # on a shared machine one example may take its time


@dataclass(frozen=True)
class Limit:
    """A cpu.max, in nanoseconds, and how many periods' worth may be saved."""

    period: int
    quota: int
    burst: int = 0
    smooth: int = 0

    @property
    def cap(self):
        """Saved up periods, or one's, and the burst."""
        return max(1, self.smooth) * self.quota + self.burst

    def most(self, overrun):
        """After use a millisecond more for each tick in `overrun`, as the kernel's cpus keep some."""
        return self.cap + (0 if self.smooth > 1 else min(overrun // 4, self.quota // 4))

    @property
    def terms(self):
        return self.period, self.quota, self.burst

    def second(self):
        """A second's worth."""
        return self.quota * (S // self.period)


@st.composite
def limits(draw, cpus=MAX_CPUS, periods_ms=(1, 1000)):
    """All that the kernel takes: periods of 1 ms to 1 s, quotas from 1 ms, bursts up to the quota."""
    period = draw(st.integers(*periods_ms)) * MS
    quota = draw(st.integers(MS, max(MS, period * cpus)))
    return Limit(period, quota, draw(st.just(0) | st.integers(0, quota)), draw(st.sampled_from([0, 1, 2, 5, 20, 100])))


class Model:
    """The kernel's rule a period at a time: runtime += quota, at most quota + burst. Debt is kept, up to a bound."""

    def __init__(self, limit, now, overrun):
        self.limit, self.overrun = limit, overrun
        self.tokens, self.next, self.nr_periods = limit.quota, now + limit.period, 0

    def until(self, now):
        used_lately = self.next <= now < self.next + self.limit.period and self.tokens < self.limit.cap
        cap = self.limit.most(self.overrun) if used_lately else self.limit.cap
        while self.next <= now:
            owed_most = self.limit.second() + self.overrun
            self.tokens = min(max(self.tokens, -owed_most) + self.limit.quota, cap)
            periods = 1
            if self.tokens == cap:  # the rest brings nothing more
                periods += max(0, (now - self.next) // self.limit.period)
            self.next += periods * self.limit.period
            self.nr_periods += periods

    def edit(self, limit, now):
        self.until(now)
        self.limit = limit
        self.tokens = min(self.tokens, limit.most(self.overrun))


def make(ffi, lib, limit, now=START):
    bucket = ffi.new("struct temper_quota *")
    lib.init(bucket, *limit.terms, now)
    bucket.smooth_periods = limit.smooth
    return bucket


def test_the_numbers_here_are_the_headers(lib):
    assert (lib.tick_ns, lib.debt_span_ns, lib.park_most_ns, lib.max_chain) == (TICK, S, PARK_MOST, 8)


def test_the_headers_example(ffi, lib):
    bucket = make(ffi, lib, Limit(100 * MS, 20 * MS), now=0)
    lib.spend(bucket, 24 * MS)
    assert bucket.tokens_ns == -4 * MS
    lib.refill(bucket, 100 * MS - 1, 2 * TICK)
    assert bucket.tokens_ns == -4 * MS
    lib.refill(bucket, 100 * MS, 2 * TICK)
    assert bucket.tokens_ns == 16 * MS
    lib.spend(bucket, 15 * MS)
    lib.refill(bucket, 200 * MS, 2 * TICK)
    assert bucket.tokens_ns == 21 * MS
    bucket.smooth_periods = 5
    lib.refill(bucket, 900 * MS, 2 * TICK)
    assert bucket.tokens_ns == 100 * MS
    bucket.smooth_periods = 0
    lib.refill(bucket, 1000 * MS, 2 * TICK)
    assert bucket.tokens_ns == 20 * MS


@calm
@given(limit=limits(), spent=st.integers(0, 2 * S), rested=st.integers(2, 5))
def test_who_rested_has_a_quota_and_the_burst(ffi, lib, limit, spent, rested):
    """Not what cpus keep besides: that is of what was drawn in the period before."""
    bucket = make(ffi, lib, limit)
    lib.spend(bucket, spent)
    lib.refill(bucket, START + limit.period, MAX_CPUS * TICK)
    assert bucket.tokens_ns <= limit.most(MAX_CPUS * TICK)
    lib.refill(bucket, START + (1 + rested) * limit.period, MAX_CPUS * TICK)
    assert bucket.tokens_ns <= limit.cap


@pytest.mark.parametrize("period", [MS, 100 * MS, S])
@pytest.mark.parametrize("owed", [0, 100 * S])
def test_nothing_overflows_after_years(ffi, lib, period, owed):
    quota = MAX_CPUS * period
    limit = Limit(period, quota, burst=quota, smooth=100)
    bucket = make(ffi, lib, limit)
    lib.spend(bucket, owed)
    lib.refill(bucket, START + 10 * YEAR, MAX_CPUS * TICK)
    assert bucket.tokens_ns == limit.cap == 101 * quota


# ---- whatever happens to a bucket, in whatever order: the same as the model's ----


def machine(ffi, lib):
    class Bucket(RuleBasedStateMachine):
        @initialize(limit=limits(), cpus=st.integers(1, MAX_CPUS))
        def begin(self, limit, cpus):
            self.now, self.overrun = START, cpus * TICK
            self.bucket, self.model = make(ffi, lib, limit), Model(limit, START, self.overrun)

        @rule(ns=st.integers(0, 2 * S) | st.integers(0, YEAR), skew=st.just(0) | st.integers(-10 * MS, 10 * MS))
        def look(self, ns, skew):
            """Time passes; a cpu looks, whose clock is a little behind or ahead."""
            self.now += ns
            lib.refill(self.bucket, self.now + skew, self.overrun)
            self.model.until(self.now + skew)

        @rule(ns=st.integers(0, TICK) | st.integers(0, 100 * S))
        def spend(self, ns):
            lib.spend(self.bucket, ns)
            self.model.tokens -= ns

        @rule(limit=limits())
        def edit(self, limit):
            limit = Limit(*limit.terms, self.model.limit.smooth)
            lib.edit(self.bucket, *limit.terms, self.now, self.overrun)
            self.model.edit(limit, self.now)

        @rule(ns=st.integers(0, 2 * S))
        def edit_again(self, ns):
            """Written again and again, a limit is the same limit."""
            for _ in range(3):
                lib.edit(self.bucket, *self.model.limit.terms, self.now + ns, self.overrun)
            self.model.edit(self.model.limit, self.now + ns)

        @rule(smooth=st.integers(0, 100))
        def retier(self, smooth):
            """What is too much is lost with the next period's end."""
            self.bucket.smooth_periods = smooth
            self.model.limit = Limit(*self.model.limit.terms, smooth)

        @invariant()
        def same(self):
            bucket, model = self.bucket, self.model
            assert bucket.tokens_ns == model.tokens
            assert (bucket.next_refill_ns, bucket.nr_periods) == (model.next, model.nr_periods)
            assert lib.most(bucket, self.overrun) == model.limit.most(self.overrun)

    return Bucket


def test_follows_the_model(ffi, lib):
    run_state_machine_as_test(machine(ffi, lib), settings=settings(calm, max_examples=100, stateful_step_count=30))


# ---- what a cgroup gets ----


class Load:
    """Cpus that run a chain of buckets: whoever finds none empty runs, and is charged when all have looked."""

    def __init__(self, ffi, lib, limits, overrun):
        self.lib, self.overrun, self.now = lib, overrun, START
        self.limits = limits
        self.buckets = ffi.new("struct temper_quota[]", len(limits))
        self.got = [[(0, START)] for _ in limits]  # of each bucket: granted so far, when it last could be refilled
        self.total = [0] * len(limits)
        for bucket, limit in zip(self.buckets, limits, strict=True):
            lib.init(ffi.addressof(bucket), *limit.terms, START)
            bucket.smooth_periods = limit.smooth

    def run(self, chains, tick=TICK):
        """Each of these chains (nearest bucket first) has a task that wants to run for a tick."""
        for chain in [
            chain
            for chain in chains
            if self.lib.first_empty(self.buckets, chain, len(chain), self.now, self.overrun) < 0
        ]:
            self.lib.spend_all(self.buckets, chain, len(chain), tick)
            for index in chain:
                self.total[index] += tick
        for index, got in enumerate(self.got):
            got.append((self.total[index], self.now))

    def within_bounds(self):
        """In no window more than what it may hold, a quota for each period's end in it, and what is overrun once."""
        for limit, got in zip(self.limits, self.got, strict=True):
            least = 0  # of what was granted less what the periods until then brought
            for (before, _), (after, now) in itertools.pairwise(got):
                brought = limit.quota * ((now - START) // limit.period)
                least = min(least, before - brought)
                assert after - brought - least <= limit.most(self.overrun) + self.overrun


@calm
@given(
    limit=limits(cpus=4),
    wakes=st.lists(st.tuples(st.integers(0, 300) | st.integers(0, 3000), st.integers(0, 64)), max_size=120),
)
def test_no_window_holds_more_than_the_limit(ffi, lib, limit, wakes):
    """However small the quota and however many cpus overrun it at once."""
    load = Load(ffi, lib, [limit], overrun=64 * TICK)
    for ms, cpus in wakes:
        load.now += ms * MS
        load.run([[0]] * cpus)
    load.within_bounds()


@calm
@given(limit=limits(cpus=8, periods_ms=(4, 100)), cpus=st.integers(1, 8))
def test_the_mean_is_the_quota_or_what_is_asked_for(ffi, lib, limit, cpus):
    """Smooth or not, and when a tick is many times the quota."""
    overrun = cpus * TICK
    # Time is taken a tick late. Who asks for just about the quota looks thrifty in one period and greedy in the next.
    assume(abs(cpus * limit.period - limit.quota) >= overrun)
    # So long that what is there at the beginning, owed at the end and of a period begun is half a percent.
    periods = 200 * (limit.most(overrun) + limit.quota + overrun) // limit.quota
    ticks = periods * limit.period // TICK
    bucket = make(ffi, lib, limit)
    ran = lib.spin(bucket, [0], 1, cpus, START, ticks, overrun)
    wanted = min(cpus, limit.quota / limit.period) * ticks * TICK
    assert ran == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize("cpus", [1, 2, 4, 64, MAX_CPUS])
@pytest.mark.parametrize("ticks_of_quota", [1, 2.5, 3, 9.6, 9.75, 40, 41.3, 1000])
@pytest.mark.parametrize("back_and_forth", [False, True])
def test_cpus_that_tick_one_after_the_other_overrun_by_one_tick(ffi, lib, cpus, ticks_of_quota, back_and_forth):
    """Not by two of each: at its own tick a cpu does not know what the others have used since theirs."""
    quota = int(ticks_of_quota * TICK)
    bucket = make(ffi, lib, Limit(S, quota), now=START)
    ran = lib.spin_staggered(bucket, [0], 1, cpus, START, S // TICK - 1, back_and_forth)
    assert ran < quota + TICK
    assert ran >= min(quota, cpus * (S - TICK))


@calm
@given(st.integers(2, 20), st.integers(1, 4), st.data())
def test_smooth_lets_a_burst_through_that_strict_cuts(ffi, lib, periods, cpus, data):
    """Idle for some periods, then all of their quota at once: the same average, and nothing waits."""
    quota = data.draw(st.integers(1, 25)) * TICK
    load = Load(ffi, lib, [Limit(100 * MS, quota, smooth=periods), Limit(100 * MS, quota)], overrun=cpus * TICK)
    asked = 0
    for _ in range(5):
        load.now += periods * 100 * MS
        for _ in range(min(24, periods * quota // (cpus * TICK))):  # before the period's end
            load.run([[0]] * cpus + [[1]] * cpus)
            load.now += TICK
            asked += cpus * TICK
        load.now += 100 * MS - (load.now - START) % (100 * MS)
    assert load.total[0] == asked
    assert load.total[1] <= 5 * (quota + cpus * TICK)
    load.within_bounds()


# ---- hierarchy ----


@st.composite
def trees(draw):
    """Limits, and of each leaf the buckets of its ancestors, itself first: at most eight deep."""
    parents = [None] + [draw(st.integers(max(0, i - 3), i - 1)) for i in range(1, draw(st.integers(1, 14)))]
    leaves = [index for index in range(len(parents)) if index not in parents]
    chains = []
    for leaf in leaves:
        chain, up = [], leaf
        while up is not None:
            chain.append(up)
            up = parents[up]
        chains.append(chain[:8])
    return draw(st.lists(limits(cpus=4), min_size=len(parents), max_size=len(parents))), chains


@calm
@given(tree=trees(), data=st.data())
def test_children_get_no_more_than_each_ancestor_has(ffi, lib, tree, data):
    limits, chains = tree
    load = Load(ffi, lib, limits, overrun=8 * TICK)
    for ms, picks in data.draw(
        st.lists(
            st.tuples(st.integers(0, 200), st.lists(st.integers(0, len(chains) - 1), max_size=8)),
            max_size=40,
        )
    ):
        load.now += ms * MS
        load.run([chains[pick] for pick in picks])
    load.within_bounds()
    # Nothing is owed for ever: in time every leaf may run again.
    owed = max((limit.second() + 8 * TICK) // limit.quota * limit.period for limit in limits)
    load.now += owed + 2 * S
    for chain in chains:
        assert lib.first_empty(load.buckets, chain, len(chain), load.now, load.overrun) == -1


@pytest.mark.parametrize("depth", range(1, 9))
@pytest.mark.parametrize("tightest", range(8))
def test_the_tightest_ancestor_counts(ffi, lib, depth, tightest):
    """At whatever level it is: a grandparent may be tighter than a parent."""
    tightest %= depth
    limits = [Limit(100 * MS, (8 if level == tightest else 80) * MS) for level in range(depth)]
    load = Load(ffi, lib, limits, overrun=TICK)
    chain = list(range(depth))
    for _ in range(250):  # a second
        load.run([chain])
        load.now += TICK
    assert load.total == [80 * MS] * depth
    assert lib.first_empty(load.buckets, chain, depth, load.now - TICK, TICK) == tightest


def test_a_bucket_without_a_quota_holds_nobody_up(ffi, lib):
    load = Load(ffi, lib, [Limit(100 * MS, 20 * MS)] * 3, overrun=TICK)
    load.lib.spend_all(load.buckets, [0, 1, 2], 2, 30 * MS)
    assert [bucket.tokens_ns for bucket in load.buckets] == [-10 * MS, -10 * MS, 20 * MS]
    load.buckets[0].quota_ns = 0
    assert lib.first_empty(load.buckets, [0, 1, 2], 3, START, TICK) == 1
    assert lib.first_empty(load.buckets, [0, 2], 2, START, TICK) == -1


# ---- debt ----


@calm
@given(
    limit=limits(),
    cpus=st.integers(1, MAX_CPUS),
    phantoms=st.lists(st.integers(MS, 100 * S), min_size=1, max_size=6),
)
def test_a_phantom_is_forgotten_in_a_bounded_time(ffi, lib, limit, cpus, phantoms):
    bucket = make(ffi, lib, limit)
    for phantom in phantoms:
        lib.spend(bucket, phantom)
    bound = limit.second() + cpus * TICK
    periods = bound // limit.quota + 1  # the last of them brings the first token
    lib.refill(bucket, START + periods * limit.period, cpus * TICK)
    assert 0 < bucket.tokens_ns <= limit.most(cpus * TICK)


@calm
@given(limit=limits(), cpus=st.integers(1, MAX_CPUS), data=st.data())
def test_what_can_be_overrun_is_owed_in_full(ffi, lib, limit, cpus, data):
    bucket = make(ffi, lib, limit)
    overrun = data.draw(st.integers(0, limit.second() + cpus * TICK))
    lib.spend(bucket, limit.quota + overrun)
    lib.refill(bucket, START + limit.period, cpus * TICK)
    assert bucket.tokens_ns == limit.quota - overrun


# ---- clocks ----


@calm
@given(limit=limits(), looks=st.lists(st.tuples(st.integers(-2 * S, 5 * S), st.integers(0, S)), max_size=30))
def test_clocks_that_disagree_bring_nothing_twice(ffi, lib, limit, looks):
    """With room enough, what has come is what the periods until the furthest clock bring, in whatever order."""
    limit = Limit(limit.period, limit.quota, burst=MAX_CPUS * 6000 * S)
    bucket = make(ffi, lib, limit)
    for look, spent in looks:
        lib.spend(bucket, spent)
        lib.refill(bucket, START + look, NO_BOUND)
    periods = max([0, *(look for look, _ in looks)]) // limit.period
    assert bucket.tokens_ns == limit.quota * (1 + periods) - sum(spent for _, spent in looks)
    assert bucket.nr_periods == periods


# ---- edits ----


@calm
@given(
    old=limits(),
    new=limits(),
    spent=st.integers(0, 2 * S),
    at=st.integers(0, 5 * S),
    past=st.integers(0, 5 * S),
)
def test_an_edit_grants_nothing_and_takes_only_what_is_too_much(ffi, lib, old, new, spent, at, past):
    new = Limit(*new.terms, old.smooth)
    bucket, untouched = make(ffi, lib, old), make(ffi, lib, old)
    for each in (bucket, untouched):
        lib.spend(each, spent)
    lib.edit(bucket, *new.terms, START + at, TICK)
    lib.refill(untouched, START + at, TICK)
    assert bucket.tokens_ns == min(untouched.tokens_ns, new.most(TICK))
    assert bucket.next_refill_ns == untouched.next_refill_ns  # the period that runs ends when it would have
    # From then on it is as the new limit says, and a period that has brought its quota brings none again.
    model = Model(new, START, TICK)
    model.tokens, model.next = bucket.tokens_ns, bucket.next_refill_ns
    model.until(START + at + past)
    lib.refill(bucket, START + at + past, TICK)
    assert bucket.tokens_ns == model.tokens


@calm
@given(limit=limits(), new=limits(), spent=st.integers(0, 2 * S), at=st.integers(0, 5 * S))
def test_an_edit_is_idempotent(ffi, lib, limit, new, spent, at):
    bucket = make(ffi, lib, limit)
    lib.spend(bucket, spent)
    lib.edit(bucket, *new.terms, START + at, TICK)
    once = bytes(ffi.buffer(bucket))
    for _ in range(3):
        lib.edit(bucket, *new.terms, START + at, TICK)
    assert bytes(ffi.buffer(bucket)) == once


@calm
@given(limit=limits(), new=limits())
def test_from_max_to_finite_it_is_new(ffi, lib, limit, new):
    """Whatever was with the bucket before, but for how much its tier saves."""
    bucket, fresh = make(ffi, lib, limit), make(ffi, lib, Limit(*new.terms), START + S)
    lib.spend(bucket, 3 * S)
    lib.refill(bucket, START + S, TICK)
    bucket.quota_ns = 0  # max
    lib.refill(bucket, START + 9 * S, TICK)
    bucket.nr_throttled = bucket.throttled_ns = bucket.throttled_since_ns = 7
    lib.init(bucket, *new.terms, START + S)
    fresh.smooth_periods = bucket.smooth_periods
    assert bytes(ffi.buffer(bucket)) == bytes(ffi.buffer(fresh))


# ---- many cpus at once ----

THREADS = 64


def hammer(ffi, lib, bucket, until, step, spend, overrun):
    """64 threads on one bucket and one clock. Returns how many steps they made, and the most tokens any of them saw."""
    clock = ffi.new("uint64_t *", START)
    together = threading.Barrier(THREADS)

    def thread():
        together.wait()
        return lib.hammer(bucket, clock, until, step, spend, overrun)

    lib.racing = True
    with ThreadPoolExecutor(THREADS) as pool:
        most = max(future.result() for future in [pool.submit(thread) for _ in range(THREADS)])
    lib.racing = False
    lib.refill(bucket, until, overrun)  # the last period's, if whoever was at it was late
    return (until - START) // step, most


@pytest.mark.parametrize("steps_per_period", [1, 3, 10])
def test_cpus_that_refill_at_once_bring_each_quota_once(ffi, lib, steps_per_period):
    periods = 600_000 // steps_per_period
    limit = Limit(10 * MS, 5 * MS, burst=5 * MS * periods)
    bucket = make(ffi, lib, limit)
    steps, _ = hammer(ffi, lib, bucket, START + periods * 10 * MS, 10 * MS // steps_per_period, MS, NO_BOUND)
    assert bucket.nr_periods == periods
    assert bucket.tokens_ns == limit.quota * (1 + periods) - steps * MS


@pytest.mark.parametrize("spend", [0, MS, 100 * S])
def test_cpus_that_refill_at_once_never_fill_it_beyond_its_cap(ffi, lib, spend):
    """Nor by mending the same debt twice."""
    limit = Limit(MS, MS, smooth=3)
    bucket = make(ffi, lib, limit)
    steps, most = hammer(ffi, lib, bucket, START + 300 * S, MS, spend, TICK)
    assert steps == bucket.nr_periods == 300_000
    assert most <= limit.most(TICK)
    if not spend:
        assert bucket.tokens_ns == limit.most(TICK)


# ---- parked tasks ----


@calm
@given(
    tokens=st.integers(-S, 100 * MS),
    parked=st.lists(st.tuples(st.booleans(), st.integers(0, 3 * S)), max_size=30),
)
def test_who_leaves_the_queue_of_an_empty_bucket(lib, tokens, parked):
    """First in, first out, as many as the tokens feed for a tick; and beyond that who is called or there too long."""
    parked = sorted(parked, key=lambda task: -task[1])
    room, left, stayed = tokens, 0, []
    for called, ns in parked:
        if lib.leaves(room, called, ns):
            room -= TICK
            left += 1
        else:
            stayed.append((called, ns))
    assert left >= min(len(parked), -(-max(0, tokens) // TICK))
    assert all(not called and ns <= PARK_MOST for called, ns in stayed)
    if stayed:  # no more than the tokens feed, but for those that have to
        must = sum(called or ns > PARK_MOST for called, ns in parked)
        assert left <= must + -(-max(0, tokens) // TICK)
