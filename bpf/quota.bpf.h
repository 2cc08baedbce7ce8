/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cpu.max, which the kernel itself doesn't enforce for tasks of a sched_ext scheduler.
 *
 * A cgroup with a finite quota has a bucket. Each task knows the buckets of its cgroup's ancestors, at most
 * MAX_CHAIN; a cgroup without a finite ancestor costs nothing. Time that a task ran is taken from each of its buckets
 * at the tick and when it stops; a task that is queued again while one of them is empty is parked until that is
 * refilled. What a bucket gains, holds and owes is bucket.h's.
 *
 * Parked tasks lie in queues of the kernel's, one for each bucket, so whatever happens to them (exit, a new affinity,
 * a move to another cgroup) the kernel finds them; nothing is in our custody.
 *
 * A task that is called (to die, to stop, to freeze, to be traced) is never parked, and let out if it is: it goes on as
 * far as it has to, whatever its buckets hold, and what that takes is owed like any other time. A wake-up is queued
 * like any other, and preempted and parked when a cpu has switched to it. So is a task that has been parked for
 * PARK_MOST_NS: the watchdog sees it run. Neither gets as far as its next instruction.
 *
 * Known limit: the border to user space is told to no operation, so a task may be parked inside the kernel, and what it
 * holds there it keeps until its bucket has time again. Not so in an RCU read section, for which all would wait.
 */
#ifndef TEMPER_QUOTA_BPF_H
#define TEMPER_QUOTA_BPF_H

/* What can be overrun at once: each cpu runs a task of the cgroup until its tick. */
#define OVERRUN_NS ((u64)nr_cpus * TICK_NS)

/*
 * The service timer looks at this bucket again before its refill.
 * Tolerated race: a timer that looks just now may see neither; the look for the called, which asks every bucket, does.
 */
static __always_inline void look_soon(u32 index)
{
	u64 *next_ns = &word_refills[index % TEMPER_MAX_QUOTAS / 64].next_ns;
	u64 bits = *(volatile u64 *)&throttled_bits[index % TEMPER_MAX_QUOTAS / 64];

	if ((bits & (1ULL << (index % 64))) && *(volatile u64 *)next_ns)
		__sync_lock_test_and_set(next_ns, 0);
}

/* Its queue may hold tasks: the service timer looks after it from now on. */
static __always_inline void watch_bucket(u32 index, u64 now)
{
	park_ns = parked_ns[index % TEMPER_MAX_QUOTAS] = now;
	__sync_fetch_and_or(&throttled_bits[index % TEMPER_MAX_QUOTAS / 64], 1ULL << (index % 64));
	look_soon(index);
}

/* A free bucket that is now this cgroup's, or -1: all are taken, and the cgroup goes without. */
static __noinline s32 take_bucket(u64 cgroup_id)
{
	u32 i;

	bpf_for(i, 0, TEMPER_MAX_QUOTAS - TEMPER_MAX_LAYERS) {
		u32 index = TEMPER_MAX_LAYERS + i; /* below are the layers' own */
		struct temper_quota *q = &quotas[index % TEMPER_MAX_QUOTAS];

		if (!*(volatile u64 *)&q->cgroup_id && __sync_val_compare_and_swap(&q->cgroup_id, 0, cgroup_id) == 0)
			return index;
	}
	__sync_fetch_and_add(&no_room.quotas, 1);
	return -1;
}

static __always_inline void free_bucket(struct temper_quota *q)
{
	q->quota_ns = q->smooth_periods = q->is_gone = 0;
	q->cgroup_id = 0;
}

/* A quota that is more than every cpu can use is as good as that one, and a figure that no sum overflows with. */
static __always_inline u64 usable_quota_ns(u64 period_us, u64 quota_us)
{
	u64 every_cpu_us = period_us * TEMPER_MAX_CPUS;

	return (quota_us < every_cpu_us ? quota_us : every_cpu_us) * NSEC_PER_USEC;
}

/* One that had a quota is edited, one that had none begins. */
static __always_inline void limit(struct temper_quota *q, u64 period_ns, u64 quota_ns, u64 burst_ns, u64 now)
{
	if (q->quota_ns)
		bucket_edit(q, period_ns, quota_ns, burst_ns, now, OVERRUN_NS);
	else
		bucket_init(q, period_ns, quota_ns, burst_ns, now);
}

/*
 * The cgroup's cpu.max is now this. A quota that nobody can set stands for `max`: the bucket stays the cgroup's, who
 * may have it limited again ten thousand times a second, and its tasks know it.
 */
static __always_inline void set_quota(u64 cgroup_id, u64 period_us, u64 quota_us, u64 burst_us)
{
	u32 *known = bpf_map_lookup_elem(&quota_of, &cgroup_id), index;
	u64 period_ns = period_us * NSEC_PER_USEC, burst_ns = burst_us * NSEC_PER_USEC, quota_ns, now = clock_ns();
	bool finite = quota_us < QUOTA_MAX_US && period_us;
	s32 taken;

	if (!finite) {
		if (known && quotas[*known % TEMPER_MAX_QUOTAS].quota_ns) {
			quotas[*known % TEMPER_MAX_QUOTAS].quota_ns = 0;
			watch_bucket(*known, now); /* its queue may hold tasks: the timer lets them out */
		}
		return;
	}
	quota_ns = usable_quota_ns(period_us, quota_us);
	if (known) {
		limit(&quotas[*known % TEMPER_MAX_QUOTAS], period_ns, quota_ns, burst_ns, now);
		return;
	}
	taken = take_bucket(cgroup_id);
	if (taken < 0)
		return;
	index = taken;
	bucket_init(&quotas[index % TEMPER_MAX_QUOTAS], period_ns, quota_ns, burst_ns, now);
	if (bpf_map_update_elem(&quota_of, &cgroup_id, &index, BPF_NOEXIST)) {
		/* Another writer of the same file was faster, or there is no memory: the bucket is free again. */
		free_bucket(&quotas[index % TEMPER_MAX_QUOTAS]);
		return;
	}
	__sync_fetch_and_add(&cgroup_generation, 1);
}

/* The cgroup is gone. Its queue may still hold tasks: the timer lets them out, then gives the bucket back. */
static __always_inline void remove_quota(u64 cgroup_id)
{
	u32 *known = bpf_map_lookup_elem(&quota_of, &cgroup_id), index;
	struct temper_quota *q;

	if (!known)
		return;
	index = *known;
	q = &quotas[index % TEMPER_MAX_QUOTAS];
	/* First nobody new knows it (tasks live on if the controller was taken away), then it may be another's. */
	bpf_map_delete_elem(&quota_of, &cgroup_id);
	__sync_fetch_and_add(&cgroup_generation, 1);
	q->quota_ns = 0;
	q->is_gone = true;
	watch_bucket(index, clock_ns());
}

/* A layer's ceiling is the bucket at its id: a quota of CEILING_PERIOD_NS. What it had it lets go, when it ends. */
static __always_inline void set_ceiling(u32 layer, u32 millicpu, u64 now)
{
	struct temper_quota *q = &quotas[layer % TEMPER_MAX_LAYERS];
	u64 quota_ns = (u64)millicpu * (CEILING_PERIOD_NS / 1000);

	if (q->quota_ns == quota_ns)
		return;
	limit(q, CEILING_PERIOD_NS, quota_ns, 0, now);
	watch_bucket(layer, now);
}

/* The first of its buckets that is empty, or -1. */
__noinline s32 empty_bucket(struct task_ctx *tctx __arg_nonnull, u64 now)
{
	bool tight;
	s32 empty;

	empty = chain_empty(quotas, tctx->chain, tctx->nr_chain, now, OVERRUN_NS, &tight);
	tctx->tight = tight;
	return empty;
}

/*
 * It ran for so long; what it took in advance was on account of that.
 * Tolerated race: the service timer may resolve the chain of a task that has just left the queue it looks through; an
 * advance that was taken then, at most a tick, comes back to other buckets than it was of.
 */
static __always_inline void spend(struct task_ctx *tctx, u64 delta_ns)
{
	s64 more_ns = (s64)delta_ns - tctx->advance_ns;
	u32 i;

	chain_spend(quotas, tctx->chain, tctx->nr_chain, more_ns);
	tctx->advance_ns = 0;
	if (more_ns >= 0)
		return;
	/* What comes back may be for who is parked. */
	bpf_for(i, 0, MAX_CHAIN) {
		if (i >= tctx->nr_chain)
			break;
		look_soon(tctx->chain[i % MAX_CHAIN]);
	}
}

/*
 * It will run until its cpu's next tick, and then its buckets may be near their ends: it takes that time in advance.
 * Otherwise a cpu knows at its tick nothing of what the others used since theirs, and each goes on for one tick more.
 * Who begins takes nothing, unless it used up its last slice: many that run for a moment only would keep each other
 * from what none of them needs.
 */
static __always_inline void take_advance(struct task_ctx *tctx)
{
	if (!tctx->nr_chain || !tctx->tight || tctx->advance_ns)
		return;
	tctx->advance_ns = TICK_NS;
	chain_spend(quotas, tctx->chain, tctx->nr_chain, TICK_NS);
}

/* Is it bound to its cpu, or in an RCU read section that the whole machine would wait for? */
static __always_inline bool is_held_up(const struct task_struct *p)
{
	/* A BPF program does both to the task that it interrupts: of the current task's, one is ours. */
	s32 ours = bpf_get_current_task_btf() == p;

	if (bpf_core_field_exists(p->rcu_read_lock_nesting) && p->rcu_read_lock_nesting > ours)
		return true;
	return bpf_core_field_exists(p->migration_disabled) && p->migration_disabled > ours;
}

/* Tasks that have to go on: others wait for what they hold, or they are about to be gone. */
static __noinline bool can_park(const struct task_struct *p)
{
	return !(p->flags & (PF_KTHREAD | PF_EXITING)) && !is_called(p) && !is_our_own(p) && !is_held_up(p);
}

/* The empty bucket for which it has to wait, or -1. */
static __always_inline s32 throttled_by(struct task_struct *p, struct task_ctx *tctx, u64 now)
{
	s32 empty = tctx->nr_chain ? empty_bucket(tctx, now) : -1;

	return empty >= 0 && can_park(p) ? empty : -1;
}

static __always_inline void mark_throttled(u32 index, u64 now)
{
	struct temper_quota *q = &quotas[index % TEMPER_MAX_QUOTAS];

	watch_bucket(index, now);
	if (q->throttled_since_ns || __sync_val_compare_and_swap(&q->throttled_since_ns, 0, now))
		return;
	/* What comes back lets somebody out in the middle of a period, who may be parked again in the same one. */
	if (counted_ns[index % TEMPER_MAX_QUOTAS] == q->next_refill_ns)
		return;
	counted_ns[index % TEMPER_MAX_QUOTAS] = q->next_refill_ns;
	__sync_fetch_and_add(&q->nr_throttled, 1);
}

static __always_inline void park(struct task_struct *p, struct task_ctx *tctx, u32 index, u64 now)
{
	stop_competing(tctx);
	mark_throttled(index, now);
	note_oldest(index, tctx->queued_ns);
	dsq_insert(p, DSQ_PARK(index), SHORT_SLICE_NS, arrival_flags(tctx, now));
}

/*
 * Out of one bucket's queue: as many as its tokens feed for a short slice each, those that are called, and those that
 * have been there for too long. Returns how many are left, as far as it looked.
 */
__noinline s32 unpark(u32 index, bool all, u64 now)
{
	struct temper_quota *q = &quotas[index % TEMPER_MAX_QUOTAS];

	if (q->quota_ns)
		bucket_refill(q, now, OVERRUN_NS);
	unpark_room = q->quota_ns ? bucket_tokens(q) : (s64)TURN_NS * LOOK_BATCH;
	/*
	 * Tolerated race: of two that are parked at once the younger may be noted, and so may whoever comes before one
	 * whose insert this look has not seen yet. The next look finds them, if it is not for the called alone: so that
	 * is what it is for half as long as they may stay.
	 */
	only_called = unpark_room <= 0 && oldest_ns[index % TEMPER_MAX_QUOTAS] &&
		      elapsed_ns(now, oldest_ns[index % TEMPER_MAX_QUOTAS]) <= PARK_MOST_NS / 2;
	if (all && !only_called)
		oldest_ns[index % TEMPER_MAX_QUOTAS] = 0; /* whoever stays is noted anew */
	look_through_parked(index, all ? LOOK_ALL : LOOK_BATCH, now);
	return nr_stay;
}

/* So many buckets wait for their refills, the first of which comes then. */
static __always_inline void note_refills(u64 next_ns, u32 nr)
{
	nr_refills += nr;
	if (next_ns < soonest_refill_ns)
		soonest_refill_ns = next_ns;
}

/* Nobody goes before its period ends: nothing to look at until then. */
static __always_inline bool waits_for_refill(const struct temper_quota *q, u64 now)
{
	u64 next_ns = *(volatile u64 *)&q->next_refill_ns;

	if (!q->quota_ns || !bucket_is_empty(q) || now >= next_ns || next_ns == BUCKET_FILLING)
		return false;
	word_nr_refills++;
	if (next_ns < word_next_ns)
		word_next_ns = next_ns;
	return true;
}

/* In how many nanoseconds to look at the buckets again. */
static __always_inline u64 next_look_ns(u64 now)
{
	u64 next_ns = soonest_refill_ns - now;

	if (!somebody_parked && elapsed_ns(now, park_ns) >= PARK_QUIET_NS)
		return SERVICE_PERIOD_NS;
	if (!nr_refills || nr_refills > EXACT_REFILLS || next_ns > QUOTA_PERIOD_NS)
		return QUOTA_PERIOD_NS;
	next_ns += EXACT_AFTER_NS;
	return next_ns > EXACT_LEAST_NS ? next_ns : EXACT_LEAST_NS;
}

/* The bucket's queue is empty, or not: keep its books, and give a bucket back that is no cgroup's any more. */
__noinline int unpark_bucket(u32 index, bool all, u64 now)
{
	struct temper_quota *q = &quotas[index % TEMPER_MAX_QUOTAS];
	u64 bit = 1ULL << (index % 64), since;

	if (unpark(index, all, now) > 0)
		return 0;
	since = q->throttled_since_ns;
	if (since && __sync_val_compare_and_swap(&q->throttled_since_ns, since, 0) == since)
		__sync_fetch_and_add(&q->throttled_ns, elapsed_ns(now, since));
	if (elapsed_ns(now, parked_ns[index % TEMPER_MAX_QUOTAS]) < PARKING_MOST_NS)
		return 0;
	__sync_fetch_and_and(&throttled_bits[index % TEMPER_MAX_QUOTAS / 64], ~bit);
	if (scx_bpf_dsq_nr_queued(DSQ_PARK(index)) > 0)
		mark_throttled(index, now); /* somebody came in between */
	else if (q->is_gone)
		free_bucket(q);
	return 0;
}

/*
 * The buckets of a word of throttled_bits. If all of them wait for their refills, nobody asks them before the first of
 * those comes, but for the called: so hundreds of them cost next to nothing.
 */
static __always_inline void service_word(u32 word, u32 first, u64 now)
{
	struct word_refills *refills = &word_refills[word % (TEMPER_MAX_QUOTAS / 64)];
	bool somebody_due = false;
	u64 bits;
	u32 bit;

	/* Before the bits are read, and a barrier: look_soon() from here on is not undone below. */
	__sync_lock_test_and_set(&refills->next_ns, LOOKING);
	bits = *(volatile u64 *)&throttled_bits[word % (TEMPER_MAX_QUOTAS / 64)];
	word_next_ns = ~0ULL;
	word_nr_refills = 0;
	bpf_for(bit, 0, 64) {
		u32 index = word * 64 + bit;
		bool all, waits;

		if (!(bits & (1ULL << bit)))
			continue;
		all = index >= first && called_room > 0;
		if (all && --called_room == 0)
			called_next = index + 1;
		waits = waits_for_refill(&quotas[index % TEMPER_MAX_QUOTAS], now);
		if (!waits)
			somebody_due = true;
		if (!waits || all)
			unpark_bucket(index, all, now);
	}
	note_refills(word_next_ns, word_nr_refills);
	refills->nr = word_nr_refills;
	__sync_val_compare_and_swap(&refills->next_ns, LOOKING, somebody_due ? 0 : word_next_ns);
}

/* Let out what may go. Returns in how many nanoseconds to look again. */
__noinline u64 service_quotas(u64 now)
{
	u32 first = called_next, word;

	called_room = 0;
	if (elapsed_ns(now, called_looked_ns) >= CALLED_PERIOD_NS) {
		called_looked_ns = now;
		called_next = 0;
		called_room = CALLED_BATCH;
	}
	somebody_parked = false;
	nr_refills = 0;
	soonest_refill_ns = ~0ULL;
	bpf_for(word, 0, TEMPER_MAX_QUOTAS / 64) {
		struct word_refills *refills = &word_refills[word % (TEMPER_MAX_QUOTAS / 64)];
		u64 next_ns = *(volatile u64 *)&refills->next_ns;

		if (!*(volatile u64 *)&throttled_bits[word % (TEMPER_MAX_QUOTAS / 64)])
			continue;
		somebody_parked = true;
		if (now < next_ns && !called_room)
			note_refills(next_ns, refills->nr);
		else
			service_word(word, first, now);
	}
	return next_look_ns(now);
}

#endif
