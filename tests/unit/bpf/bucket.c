/* SPDX-License-Identifier: GPL-2.0-only */
/* bpf/bucket.h as a library for the tests: the same text. */
#include <sched.h>

#include "names.h"

/*
 * While threads race, any of them may lose its cpu before each load, store and atomic of the header. Otherwise a window
 * of some nanoseconds would take luck to be hit. -fsanitize-coverage calls these at loads and stores.
 */
#define UNWATCHED __attribute__((no_sanitize("coverage")))

bool racing;

UNWATCHED __noinline static void maybe_yield(void)
{
	static __thread u32 random = 1;

	if (!racing)
		return;
	random = random * 1664525 + (u32)(uintptr_t)&random + 1013904223;
	if (random >> 27 == 0)
		sched_yield();
}

#define WATCH(name)                                              \
	UNWATCHED void __sanitizer_cov_##name(const void *where) \
	{                                                        \
		(void)where;                                     \
		maybe_yield();                                   \
	}
WATCH(load2)
WATCH(load4)
WATCH(load8)
WATCH(store4)
WATCH(store8)

#define __sync_fetch_and_add(where, ns) (maybe_yield(), __sync_fetch_and_add(where, ns))
#define __sync_fetch_and_sub(where, ns) (maybe_yield(), __sync_fetch_and_sub(where, ns))
#define __sync_val_compare_and_swap(where, old, new) (maybe_yield(), __sync_val_compare_and_swap(where, old, new))
#define __sync_lock_test_and_set(where, new) (maybe_yield(), __sync_lock_test_and_set(where, new))

#include "temper_abi.h"
#include "bucket.h"

s64 tick_ns = TICK_NS, debt_span_ns = DEBT_SPAN_NS, park_most_ns = PARK_MOST_NS;
u32 max_chain = MAX_CHAIN;

void init(struct temper_quota *q, u64 period_ns, u64 quota_ns, u64 burst_ns, u64 now_ns)
{
	bucket_init(q, period_ns, quota_ns, burst_ns, now_ns);
}

void edit(struct temper_quota *q, u64 period_ns, u64 quota_ns, u64 burst_ns, u64 now_ns, u64 overrun_ns)
{
	bucket_edit(q, period_ns, quota_ns, burst_ns, now_ns, overrun_ns);
}

void refill(struct temper_quota *q, u64 now_ns, u64 overrun_ns)
{
	bucket_refill(q, now_ns, overrun_ns);
}

s64 most(const struct temper_quota *q, u64 overrun_ns)
{
	return bucket_cap(q) + bucket_kept(q, overrun_ns);
}

void spend(struct temper_quota *q, s64 delta_ns)
{
	bucket_spend(q, delta_ns);
}

s32 first_empty(struct temper_quota *quotas, const u16 *chain, u32 nr_chain, u64 now_ns, u64 overrun_ns)
{
	bool tight;

	return chain_empty(quotas, chain, nr_chain, now_ns, overrun_ns, &tight);
}

void spend_all(struct temper_quota *quotas, const u16 *chain, u32 nr_chain, s64 delta_ns)
{
	chain_spend(quotas, chain, nr_chain, delta_ns);
}

bool leaves(s64 room_ns, bool is_called, u64 parked_ns)
{
	return leaves_park(room_ns, is_called, parked_ns);
}

/* Cpus that all want to run, tick after tick: who finds no bucket empty runs, and is charged when all have looked. */
u64 spin(struct temper_quota *quotas, const u16 *chain, u32 nr_chain, u32 cpus, u64 now_ns, u64 ticks, u64 overrun_ns)
{
	u64 ran_ns = 0;
	u32 cpu, runs;
	bool tight;

	for (; ticks; ticks--, now_ns += TICK_NS) {
		for (cpu = 0, runs = 0; cpu < cpus; cpu++)
			runs += chain_empty(quotas, chain, nr_chain, now_ns, overrun_ns, &tight) < 0;
		chain_spend(quotas, chain, nr_chain, (u64)runs * TICK_NS);
		ran_ns += (u64)runs * TICK_NS;
	}
	return ran_ns;
}

/*
 * The same cpus, whose ticks come one after the other: each tells at its tick what it ran since the last one, and takes
 * what comes in advance where that may be more than there is. back_and_forth: the last to tick is the next time the
 * first. Returns what they ran in all.
 */
u64 spin_staggered(struct temper_quota *quotas, const u16 *chain, u32 nr_chain, u32 cpus, u64 now_ns, u64 ticks,
		   bool back_and_forth)
{
	s64 advances_ns[512] = {}, ran_ns[512] = {};
	u64 all_ns = 0, turn;

	for (turn = 0; turn < ticks * cpus; turn++) {
		u32 nth = turn % cpus, cpu = back_and_forth && turn / cpus % 2 ? cpus - 1 - nth : nth;
		s64 *advance_ns = &advances_ns[cpu], *ran = &ran_ns[cpu];
		bool tight, runs;

		chain_spend(quotas, chain, nr_chain, *ran - *advance_ns);
		runs = chain_empty(quotas, chain, nr_chain, now_ns + turn * TICK_NS / cpus, (u64)cpus * TICK_NS,
				   &tight) < 0;
		*ran = runs ? TICK_NS : 0;
		*advance_ns = runs && tight ? TICK_NS : 0;
		chain_spend(quotas, chain, nr_chain, *advance_ns);
		all_ns += *ran;
	}
	return all_ns;
}

/*
 * One thread of many: steps of a clock that all of them read and advance, each with a refill and some time spent.
 * Returns the most tokens that it saw.
 */
s64 hammer(struct temper_quota *q, u64 *clock_ns, u64 until_ns, u64 step_ns, u64 spend_ns, u64 overrun_ns)
{
	s64 most = INT64_MIN, tokens;
	u64 now_ns;

	while ((now_ns = __sync_add_and_fetch(clock_ns, step_ns)) <= until_ns) {
		bucket_refill(q, now_ns, overrun_ns);
		bucket_spend(q, spend_ns);
		tokens = bucket_tokens(q);
		if (tokens > most)
			most = tokens;
	}
	return most;
}
