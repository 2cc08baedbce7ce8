/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The clock that tasks wait by (clock_ns), for a timer. Outside the scheduler's own operations it may be as old as the
 * cpu's last look at it: a bucket's refill was seen 74 ms late. CLOCK_MONOTONIC never is, but NTP slews it, by 500 ppm
 * at most. So the distance between the two is kept: what is measured is it, or too little, and it shrinks by no more
 * than twice that.
 *
 * It reads both clocks by their names and nothing else, so the tests compile this very text (tests/unit/bpf).
 */
#ifndef TEMPER_CLOCK_H
#define TEMPER_CLOCK_H

struct timer_clock {
	s64 distance_ns;  /* clock_ns() - CLOCK_MONOTONIC */
	u64 monotonic_ns; /* of the last look */
};

/*
 * In this order: whatever comes between the two (an interrupt, another task, another guest on this cpu) makes the
 * distance less. The other way round it would be more, and buckets be refilled that much early for a minute.
 */
static __always_inline s64 clock_distance_ns(u64 *monotonic_ns)
{
	u64 scheduler_ns = clock_ns();

	*monotonic_ns = bpf_ktime_get_ns();
	return scheduler_ns - *monotonic_ns;
}

static __always_inline void timer_clock_init(struct timer_clock *clock)
{
	clock->distance_ns = clock_distance_ns(&clock->monotonic_ns);
}

static __always_inline u64 timer_clock_ns(struct timer_clock *clock)
{
	u64 before_ns = clock->monotonic_ns;
	s64 distance_ns = clock_distance_ns(&clock->monotonic_ns);
	s64 least_ns = clock->distance_ns - (s64)((clock->monotonic_ns - before_ns) >> 10);

	clock->distance_ns = distance_ns > least_ns ? distance_ns : least_ns;
	return clock->monotonic_ns + clock->distance_ns;
}

#endif
