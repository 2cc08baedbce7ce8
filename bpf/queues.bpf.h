/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Putting tasks into queues, and taking them out.
 *
 * Asking an empty queue costs a hash lookup in the kernel, and a cpu would ask nine of them at each switch. So a
 * hint stands beside each queue: set before every insert, and taken away only by a cpu that found the queue empty
 * when nothing had been put there for QUEUE_HINT_NS. An insert lands within microseconds of its hint; should one be
 * held up for longer than that (a stolen virtual cpu), the service timer finds the task at its next full look.
 */
#ifndef TEMPER_QUEUES_BPF_H
#define TEMPER_QUEUES_BPF_H

/* Its place in virtual time, near the queue's clock: sleepers gain, and hogs owe, only so much. */
static __always_inline u64 place_vtime(struct task_struct *p, struct task_ctx *tctx, u32 llc)
{
	u32 class = tctx->class;
	u64 clock = queue_ctx(class, llc)->vtime, vtime = p->scx.dsq_vtime, ahead_ns = VTIME_AHEAD_NS * (u64)nr_cpus;

	/* What it owes, or is owed, goes with it to another cache's queue. */
	if (nr_llcs > 1 && tctx->llc != llc) {
		vtime += clock - queue_ctx(class, tctx->llc)->vtime;
		tctx->llc = llc;
	}
	if ((s64)(vtime - (clock - VTIME_LAG_NS)) < 0)
		vtime = clock - VTIME_LAG_NS;
	else if ((s64)(vtime - (clock + ahead_ns)) > 0)
		vtime = clock + ahead_ns;
	if (vtime != p->scx.dsq_vtime)
		task_set_vtime(p, vtime);
	return vtime;
}

/* The first of these caches, or `none`. */
__noinline u32 first_llc(u64 llcs, u32 none)
{
	u32 i;

	bpf_for(i, 0, nr_llcs)
		if (llcs & (1ULL << (i % TEMPER_MAX_LLCS)))
			return i % TEMPER_MAX_LLCS;
	return none;
}

/* The cache at which a task of this layer queues: its own while the layer may run there. */
static __always_inline u32 queue_llc(struct temper_config *config, u32 layer, s32 cpu)
{
	u64 llcs = config->llcs[layer % TEMPER_MAX_LAYERS];
	u32 llc = llc_of(cpu);

	return nr_llcs == 1 || (llcs & (1ULL << llc)) ? llc : first_llc(llcs, llc);
}

static __always_inline void hint_class(u32 class, u32 llc, u64 now)
{
	u64 *bits = &queued[class % MAX_CLASSES], bit = 1ULL << (llc % TEMPER_MAX_LLCS);

	queue_ctx(class, llc)->hint_ns = now;
	if (!(*(volatile u64 *)bits & bit))
		__sync_fetch_and_or(bits, bit);
}

/*
 * A slice ends at the first tick that finds it used up, and most begin a moment after one: 4 ms would last 8. So it is
 * made a little less than whole ticks.
 */
static __always_inline u64 whole_ticks(u64 slice_ns)
{
	return slice_ns < TICK_NS ? slice_ns : slice_ns - slice_ns % TICK_NS - TICK_NS / 8;
}

static __always_inline u64 layer_slice(u32 slot, u32 layer)
{
	return whole_ticks(layer_of(config_of(slot), layer)->slice_us * NSEC_PER_USEC);
}

/*
 * The layer's slice, shrunk to what the task's part of it makes in TURN_NS: with n tasks of the same weight queued,
 * each gets an n-th, and one with a tenth of their weight runs a tenth as long at a time, not ten times as rarely.
 */
static __always_inline u64 queue_slice(u32 slot, struct task_ctx *tctx)
{
	u64 slice_ns = layer_slice(slot, tctx->layer), turn_ns = (u64)TURN_NS * PRICE_ONE * nr_llcs;

	if (slice_ns * tctx->price <= turn_ns)
		return slice_ns;
	slice_ns = whole_ticks(turn_ns / tctx->price);
	return slice_ns < SHORT_SLICE_NS ? SHORT_SLICE_NS : slice_ns;
}

static __always_inline void enqueue_layer(struct task_struct *p, struct task_ctx *tctx, u32 slot, s32 cpu, u64 now)
{
	u32 class = tctx->class, llc = queue_llc(config_of(slot), tctx->layer, cpu);

	tctx->guest = false;
	hint_class(class, llc, now);
	dsq_insert_vtime(p, DSQ_LAYER(class, llc), queue_slice(slot, tctx), place_vtime(p, tctx, llc), 0);
}

/*
 * Where in a queue by arrival. Who is queued anew for a change of its affinity or policy comes last each time, but not
 * for longer than a queue takes to be turned over.
 */
static __always_inline u64 arrival_flags(const struct task_ctx *tctx, u64 now)
{
	return elapsed_ns(now, tctx->queued_ns) > TURN_NS ? ENQ_HEAD : 0;
}

/* A guest of this cpu. tctx may be NULL: without a record a task is served like this, and never lost. */
static __noinline void enqueue_guest(struct task_struct *p, struct task_ctx *tctx, s32 cpu, u64 now)
{
	u64 enq_flags = tctx ? arrival_flags(tctx, now) : 0;

	if (tctx) {
		tctx->guest = true;
		count(tctx->layer, nr_guest_runs);
	}
	cpu_ctx(cpu)->guest_hint_ns = now;
	dsq_insert(p, DSQ_GUEST(cpu), SHORT_SLICE_NS, enq_flags);
	scx_bpf_kick_cpu(cpu, KICK_IDLE);
}

/* Its cpu's own: first when it wakes, in turn with its like when it has used up a slice. */
static __always_inline void enqueue_percpu_kthread(struct task_struct *p, s32 cpu, u64 now, u64 enq_flags)
{
	if (enq_flags & ENQ_WAKEUP) {
		dsq_insert(p, DSQ_LOCAL, SHORT_SLICE_NS, ENQ_PREEMPT);
		return;
	}
	cpu_ctx(cpu)->kthread_hint_ns = now;
	dsq_insert(p, DSQ_KTHREAD(cpu), SHORT_SLICE_NS, 0);
	scx_bpf_kick_cpu(cpu, KICK_IDLE);
}

/* A cpu's own queue, which only that cpu serves. */
static __always_inline bool serve_own(u64 dsq_id, u64 *hint_ns, u64 now)
{
	u64 hint = *(volatile u64 *)hint_ns;

	if (!hint)
		return false;
	if (dsq_move_to_local(dsq_id))
		return true;
	if (elapsed_ns(now, hint) > QUEUE_HINT_NS && scx_bpf_dsq_nr_queued(dsq_id) <= 0)
		__sync_val_compare_and_swap(hint_ns, hint, 0);
	return false;
}

static __always_inline bool serve_queue(u32 class, u32 llc, u64 now)
{
	struct queue_ctx *queue = queue_ctx(class, llc);
	u64 dsq_id = DSQ_LAYER(class, llc), hint = *(volatile u64 *)&queue->hint_ns;

	if (dsq_move_to_local(dsq_id)) {
		queue->served_ns = now;
		return true;
	}
	if (elapsed_ns(now, hint) > QUEUE_HINT_NS && scx_bpf_dsq_nr_queued(dsq_id) <= 0) {
		__sync_fetch_and_and(&queued[class % MAX_CLASSES], ~(1ULL << (llc % TEMPER_MAX_LLCS)));
		if (*(volatile u64 *)&queue->hint_ns != hint)
			hint_class(class, llc, now); /* somebody came in between */
	}
	return false;
}

/* A task of this class that may run here: from this cache's queue, else from the nearest other one that has any. */
__noinline bool serve_some(u32 class, u32 llc, u64 now)
{
	u64 bits = *(volatile u64 *)&queued[class % MAX_CLASSES];
	u32 i;

	if ((bits & (1ULL << (llc % TEMPER_MAX_LLCS))) && serve_queue(class, llc, now))
		return true;
	if (nr_llcs == 1)
		return false;
	bpf_for(i, 1, nr_llcs) {
		u32 other = (llc + i) % nr_llcs % TEMPER_MAX_LLCS;

		if ((bits & (1ULL << other)) && serve_queue(class, other, now))
			return true;
	}
	return false;
}

static __always_inline bool serve_class(u32 class, u32 llc, u64 now)
{
	return *(volatile u64 *)&queued[class % MAX_CLASSES] && serve_some(class, llc, now);
}

/* A tick for each that waits there may take longer than the watchdog waits. */
static __always_inline bool is_crowded(u32 class, u32 llc)
{
	return scx_bpf_dsq_nr_queued(DSQ_LAYER(class, llc)) > CROWD;
}

/* The cache where its tasks wait: this one or, when none does here, the next one; -1: none waits. */
__noinline s32 waiting_llc(u32 class, u32 llc)
{
	u64 bits = *(volatile u64 *)&queued[class % MAX_CLASSES];
	u32 i;

	if (!bits)
		return -1;
	bpf_for(i, 0, nr_llcs) {
		u32 other = (llc + i) % nr_llcs % TEMPER_MAX_LLCS;

		if ((bits & (1ULL << other)) && scx_bpf_dsq_nr_queued(DSQ_LAYER(class, other)) > 0)
			return other;
	}
	return -1;
}

#endif
