/* SPDX-License-Identifier: GPL-2.0-only */
/* bpf/clock.h as a library for the tests: between two looks at a clock as much time goes by as the test says. */
#include "names.h"

/* The scheduler's clock as it is, and how long ago this cpu read it if it goes by what it remembers; 0: it reads it. */
u64 real_ns, remembered_ns;
/* What goes by before a clock is looked at for the first, second, third time. */
u64 delays_ns[3];
/* CLOCK_MONOTONIC - the scheduler's. */
s64 ahead_ns;

static u64 remembered;
static unsigned int nr_looks;

static void look(void)
{
	if (nr_looks < 3)
		real_ns += delays_ns[nr_looks++];
}

static u64 clock_ns(void)
{
	look();
	return remembered_ns ? remembered : real_ns;
}

static u64 bpf_ktime_get_ns(void)
{
	look();
	return real_ns + ahead_ns;
}

#include "clock.h"

u32 slew_shift = SLEW_SHIFT;

static struct timer_clock timer_clock;

static void begin_looking(void)
{
	nr_looks = 0;
	remembered = real_ns - remembered_ns;
}

void begin(void)
{
	begin_looking();
	timer_clock_init(&timer_clock);
}

u64 now(void)
{
	begin_looking();
	return timer_clock_ns(&timer_clock);
}
