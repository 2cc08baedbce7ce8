/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The clock that tasks wait by (clock_ns), for a timer. Outside the scheduler's own operations it may be as old as the
 * cpu's last look at it: a bucket's refill was seen 74 ms late. CLOCK_MONOTONIC never is, but NTP slews it. So the
 * distance between the two is kept. A clock that moves from one look to the next is read, not remembered, and tells the
 * distance; one that stands still tells the distance or less.
 *
 * It reads both clocks by their names and nothing else, so the tests compile this very text (tests/unit/bpf).
 */
#ifndef TEMPER_CLOCK_H
#define TEMPER_CLOCK_H

/*
 * While only clocks that stand still are seen, the distance shrinks by 1 in so many: twice what the kernel's own NTP
 * code slews. Whoever slews faster (chrony does after a machine was paused, by 8 %) has timers early by that until a
 * cpu with a timer is busy.
 */
#define SLEW_SHIFT 10

struct timer_clock {
	s64 distance_ns;  /* clock_ns() - CLOCK_MONOTONIC */
	u64 monotonic_ns; /* of the last look */
};

/*
 * CLOCK_MONOTONIC last: whatever comes between (an interrupt, another task, another guest on this cpu) makes the
 * distance less. The other way round it would be more, and buckets be refilled that much early.
 */
static __always_inline s64 clock_distance_ns(u64 *monotonic_ns, bool *moves)
{
	u64 before_ns = clock_ns(), scheduler_ns = clock_ns();

	*moves = scheduler_ns > before_ns;
	*monotonic_ns = bpf_ktime_get_ns();
	return scheduler_ns - *monotonic_ns;
}

static __always_inline void timer_clock_init(struct timer_clock *clock)
{
	bool moves;

	clock->distance_ns = clock_distance_ns(&clock->monotonic_ns, &moves);
}

static __always_inline u64 timer_clock_ns(struct timer_clock *clock)
{
	u64 before_ns = clock->monotonic_ns;
	bool moves;
	s64 distance_ns = clock_distance_ns(&clock->monotonic_ns, &moves);
	s64 least_ns = clock->distance_ns - ((s64)(clock->monotonic_ns - before_ns) >> SLEW_SHIFT);

	clock->distance_ns = moves || distance_ns > least_ns ? distance_ns : least_ns;
	return clock->monotonic_ns + clock->distance_ns;
}

#endif
