/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bucket of cpu time: the rule of cpu.max. How it is enforced is in quota.bpf.h; here time is passed in and no helper
 * is called, so that the tests compile this very text for the machine they run on (tests/unit/bpf).
 *
 * The rule is the kernel's own (__refill_cfs_bandwidth_runtime of kernel/sched/fair.c): at each period's end a bucket
 * gains its quota, up to quota + burst and what the cpus keep. What is overrun is owed to the periods that come. Where
 * we differ:
 *
 *   smooth   A bucket may hold the quota of `smooth_periods` periods instead of one's, plus burst. It gains no more
 *            per period for that, so the average is the same. 0 and 1 are the kernel's rule.
 *   debt     In the kernel each cpu's queue owes what it overran until it is paid. Here the bucket owes it, at most a
 *            second's worth and a tick of each cpu: all that can be overrun at once, but not what a clock made up.
 *   advance  In the kernel a cpu draws slices of 5 ms. Here it is charged for what it ran, and only near a bucket's end
 *            takes the time until its next tick in advance (quota.bpf.h).
 *   missed   The kernel's timer stops while a group is idle, and however many periods it missed bring one quota. Here
 *            every period that has ended counts.
 *   edits    A write to cpu.max makes the kernel refill at once and forget what is owed, so writing it again and again
 *            lifts the limit. Here it brings nothing by itself: a higher quota counts from the next period's end.
 *
 * Example: 20 ms in 100, no burst. Two threads on two cpus use 20 ms in 10, and 4 ms more until their ticks: -4. At
 * 100 ms it holds 16, of which they use 15: at 200 ms it holds 21. Idle from then to 900 ms it holds 20; with
 * smooth_periods 5 it would hold 100.
 */
#ifndef TEMPER_BUCKET_H
#define TEMPER_BUCKET_H

enum {
	MAX_CHAIN = 8,		   /* finite ancestors of one cgroup; Kubernetes makes at most four */
	TICK_NS = 4 * 1000 * 1000, /* of Debian's kernels: a slice, and what was consumed, are looked at no sooner */
	KEPT_NS = 1000 * 1000,	   /* what a cpu keeps over a period's end: min_cfs_rq_runtime of kernel/sched/fair.c */
	DEBT_SPAN_NS = 1000 * 1000 * 1000, /* the kernel's longest period: a debt is at most this long's worth */
	PARK_MOST_NS = 1500 * 1000 * 1000,
};

#define BUCKET_FILLING (~0ULL) /* in place of the next refill's time, while a cpu is at it */

static __always_inline s64 bucket_tokens(const struct temper_quota *q)
{
	return *(const volatile int64_t *)&q->tokens_ns;
}

static __always_inline bool bucket_is_empty(const struct temper_quota *q)
{
	return bucket_tokens(q) <= 0;
}

/* What a period's end may fill it to. 512 cpus' worth of a second, saved up 255 times: far from an overflow. */
static __always_inline s64 bucket_cap(const struct temper_quota *q)
{
	u32 saved = q->smooth_periods;

	return (saved > 1 ? saved : 1) * q->quota_ns + q->burst_ns;
}

/*
 * What it may hold beyond that after a period in which it was used, and not to its end.
 *
 * In the kernel each cpu keeps a millisecond of what it drew and did not use over the period's end, so a group of many
 * threads that sleep has that much more than its quota now and then, and less at another time (sched-bwc.rst tells of
 * it). Kept here in one place, at most a quarter of the quota, and not by a group that rested: it drew nothing.
 * Advances that come back may lift it past that, until the next refill. overrun_ns: a tick of each cpu.
 */
static __always_inline s64 bucket_kept(const struct temper_quota *q, u64 overrun_ns)
{
	u64 kept_ns = overrun_ns / (TICK_NS / KEPT_NS), most_kept_ns = q->quota_ns / 4;

	if (q->smooth_periods > 1)
		return 0;
	return kept_ns < most_kept_ns ? kept_ns : most_kept_ns;
}

/* Less than nothing: what was taken in advance comes back. */
static __always_inline void bucket_spend(struct temper_quota *q, s64 delta_ns)
{
	__sync_fetch_and_sub(&q->tokens_ns, delta_ns);
}

/*
 * The periods that have ended since next_ns, and what they bring.
 *
 * One cpu at a time: were two of them at it, of two periods, both would mend the same debt. Whoever comes meanwhile
 * goes by what is there, and looks again soon. Time that others take meanwhile is not lost: tokens are only added to.
 */
static __noinline void bucket_fill(struct temper_quota *q, u64 now_ns, u64 next_ns, u64 overrun_ns)
{
	u64 period_ns = q->period_ns, quota_ns = q->quota_ns, n;
	s64 had, least, tokens, cap;

	if (!period_ns || !quota_ns)
		return;
	if (__sync_val_compare_and_swap(&q->next_refill_ns, next_ns, BUCKET_FILLING) != next_ns)
		return;
	n = (now_ns - next_ns) / period_ns + 1;
	q->nr_periods += n;
	cap = bucket_cap(q);
	least = -(s64)(quota_ns * (DEBT_SPAN_NS / period_ns) + overrun_ns);
	had = bucket_tokens(q);
	if (n == 1 && had < cap)
		cap += bucket_kept(q, overrun_ns);
	tokens = had > least ? had : least;
	/* n * quota overflows after long idling, so ask how many periods fill it. */
	if (tokens >= cap || n > (u64)(cap - tokens) / quota_ns)
		tokens = cap;
	else
		tokens += n * quota_ns;
	__sync_fetch_and_add(&q->tokens_ns, tokens - had);
	/* With a barrier: whoever sees the new time sees the tokens. */
	__sync_lock_test_and_set(&q->next_refill_ns, next_ns + n * period_ns);
}

/*
 * Up to now; overrun_ns is a tick of each cpu. A cpu whose clock is behind brings nothing, and what one whose clock is
 * ahead has brought, no other brings again.
 */
static __always_inline void bucket_refill(struct temper_quota *q, u64 now_ns, u64 overrun_ns)
{
	u64 next_ns = *(volatile uint64_t *)&q->next_refill_ns;

	if (now_ns >= next_ns)
		bucket_fill(q, now_ns, next_ns, overrun_ns);
}

/* A bucket that had no limit, as the kernel has a new one: one quota, and the first period begins now. */
static __always_inline void bucket_init(struct temper_quota *q, u64 period_ns, u64 quota_ns, u64 burst_ns, u64 now_ns)
{
	q->nr_periods = q->nr_throttled = q->throttled_ns = q->throttled_since_ns = 0;
	q->tokens_ns = quota_ns;
	q->next_refill_ns = now_ns + period_ns;
	q->period_ns = period_ns;
	q->quota_ns = quota_ns;
	q->burst_ns = burst_ns;
}

/*
 * Its limit is now another one. Periods that have ended count by the old one; the one that runs ends when it would
 * have. Tolerated race: a cpu that refills at the same time may read half of the new limit, and time that is taken
 * between the two looks at the tokens spares them the cut; the next refill puts either right.
 */
static __always_inline void bucket_edit(struct temper_quota *q, u64 period_ns, u64 quota_ns, u64 burst_ns, u64 now_ns,
					u64 overrun_ns)
{
	s64 tokens, cap;

	bucket_refill(q, now_ns, overrun_ns);
	q->period_ns = period_ns;
	q->quota_ns = quota_ns;
	q->burst_ns = burst_ns;
	tokens = bucket_tokens(q);
	cap = bucket_cap(q) + bucket_kept(q, overrun_ns);
	if (tokens > cap)
		__sync_val_compare_and_swap(&q->tokens_ns, tokens, cap);
}

/*
 * Of the buckets of a cgroup and its ancestors the first that is empty, or -1. Those without a quota have none now.
 * tight: one of those before it holds so little that who goes on has to take the time until its tick in advance. Three
 * times what cpus use from tick to tick: what they run now and have not told, what they take for that which they go on
 * with, and what they take at their next tick, if it comes before that of who took nothing. So the debt is one cpu's.
 */
static __always_inline s32 chain_empty(struct temper_quota *quotas, const u16 *chain, u32 nr_chain, u64 now_ns,
				       u64 overrun_ns, bool *tight)
{
	u32 i;

	*tight = false;
	bpf_for(i, 0, MAX_CHAIN) {
		u32 index = chain[i % MAX_CHAIN] % TEMPER_MAX_QUOTAS;
		struct temper_quota *q = &quotas[index];

		if (i >= nr_chain)
			break;
		if (!q->quota_ns)
			continue;
		bucket_refill(q, now_ns, overrun_ns);
		if (bucket_is_empty(q))
			return index;
		if (bucket_tokens(q) < 3 * (s64)overrun_ns)
			*tight = true;
	}
	return -1;
}

static __always_inline void chain_spend(struct temper_quota *quotas, const u16 *chain, u32 nr_chain, s64 delta_ns)
{
	u32 i;

	bpf_for(i, 0, MAX_CHAIN) {
		if (i >= nr_chain)
			break;
		bucket_spend(&quotas[chain[i % MAX_CHAIN] % TEMPER_MAX_QUOTAS], delta_ns);
	}
}

/* May a parked task go on? As many as what is there feeds for a moment, who is called, and who is there too long. */
static __always_inline bool leaves_park(s64 room_ns, bool is_called, u64 parked_ns)
{
	return room_ns > 0 || is_called || parked_ns > PARK_MOST_NS;
}

#endif
