/* SPDX-License-Identifier: GPL-2.0-only */
/* bpf/clock.h as a library for the tests: between two looks at a clock as much time goes by as the test says. */
#include <stdint.h>

typedef uint64_t u64;
typedef int64_t s64;

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))

/* The scheduler's clock as it is, how far behind clock_ns() tells it, and what goes by before the next look at either. */
u64 real_ns, behind_ns, delay_ns[2];
/* CLOCK_MONOTONIC - the scheduler's. */
s64 ahead_ns;

static unsigned int nr_looks;

static u64 look(void)
{
	if (nr_looks < 2)
		real_ns += delay_ns[nr_looks++];
	return real_ns;
}

static u64 clock_ns(void)
{
	return look() - behind_ns;
}

static u64 bpf_ktime_get_ns(void)
{
	return look() + ahead_ns;
}

#include "clock.h"

static struct timer_clock timer_clock;

void begin(void)
{
	nr_looks = 0;
	timer_clock_init(&timer_clock);
}

u64 now(void)
{
	nr_looks = 0;
	return timer_clock_ns(&timer_clock);
}
