/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Temper: tiers of pods as layers of cpus.
 *
 * Tasks belong to a layer by the nearest ancestor cgroup that userspace mapped, so a container or thread
 * that starts later is right from its first run. A layer is confined (its cpus, and only those), grouped
 * (preferred cpus, and it may spill onto open ones) or open. Each commit gives every cpu the set of layers
 * that may run there (`eligible`), and everything else follows from that one table:
 *
 *   wake-up    an idle cpu of the layer's own, else one that it may use: run there at once. No idle cpu: queue
 *              by virtual time, and a preempting layer takes a cpu from a lower rank.
 *   dispatch   a cpu serves the layers eligible there by rank, who ran until now before the ranks below its own, then
 *              its guests.
 *   turns      a layer that has waited too long behind higher ranks is served once, for a short slice: often
 *              enough that its whole queue gets through in about a second (TURN_NS). Of many, past an eighth of a
 *              cpu's time, whose turn it is only looks in: it is preempted before it gets as far as user space.
 *   guests     a task that can run on no cpu of its layer, and a task that waited past all of this, goes to
 *              the guest queue of a cpu that it can use. Every cpu serves guests: an eighth of its time while it
 *              has work of its own, more only if its guests are so many that they would wait over a second.
 *
 * So nothing starves, and a fence holds but for that stated share of tasks that can run nowhere else.
 *
 * Example, 4 cpus, Critical confined to 1-3, cpu 0 open, eight Background spinners: the spinners share cpu 0.
 * A Critical thread wakes: cpu 2 is idle, it runs there. A Normal thread wakes: cpu 0 is busy and Normal does
 * not preempt, so it waits for at most a slice of Background's, which ends at the next tick (4 ms), then goes first. A
 * Background thread pinned to cpu 2 is a guest there: 1 ms at a time when Critical is busy, freely when not.
 * A Background queue of 20 behind a busy Normal gets a turn every 50 ms, 1 ms each.
 *
 * With hardware threads, a whole idle core comes before a busy one, and the core of a running exclusive thread serves
 * its layer alone, but for the guests' stated share. A layer queues by last-level cache; a cpu serves its own cache's
 * queue first and then any other. What cgroups promise holds: cpu.max (quota.bpf.h), cpu.weight and cpu.idle
 * (shares.bpf.h).
 *
 * Unbound kernel threads and our own two processes belong to the system layer: rank 0, never on a confined
 * cpu. Per-cpu kernel threads bypass all of this: they run on their cpu, first.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "temper_abi.h"
#include "compat.h"
#include "clock.h"
#include "bucket.h"
#include "state.bpf.h"
#include "shares.bpf.h"
#include "classify.bpf.h"
#include "queues.bpf.h"
#include "place.bpf.h"
#include "service.bpf.h"
#include "quota.bpf.h"
#include "cgroup_poll.bpf.h"
#include "commit.bpf.h"
#include "dump.bpf.h"

char _license[] SEC("license") = "GPL";

/* ---- a task becomes runnable ---- */

s32 BPF_STRUCT_OPS(temper_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	u32 slot = active_slot();
	struct task_ctx *tctx = task_ctx(p);
	struct temper_layer_stats *s;
	s32 cpu;

	if (!tctx)
		return prev_cpu;
	classify(p, tctx, slot);
	cpu = find_idle(p, slot, tctx->layer, prev_cpu);
	if (cpu < 0)
		return prev_cpu;
	s = layer_stats(tctx->layer);
	if (s) {
		s->nr_wakes++;
		s->nr_direct++;
	}
	tctx->guest = false;
	compete(p->scx.weight, tctx);
	tctx->queued_ns = clock_ns();
	place_vtime(p, tctx, queue_llc(config_of(slot), tctx->layer, cpu));
	dsq_insert(p, DSQ_LOCAL, layer_slice(slot, tctx->layer), 0);
	return cpu;
}

void BPF_STRUCT_OPS(temper_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 slot = active_slot();
	struct task_ctx *tctx = task_ctx(p);
	s32 task_cpu = scx_bpf_task_cpu(p), cpu, empty;
	u64 now = clock_ns();

	/* Set once per wait: a change of nice or affinity queues a task anew, but it has waited all the same. */
	if (tctx && !tctx->queued_ns)
		tctx->queued_ns = now;
	if (is_percpu_kthread(p)) {
		enqueue_percpu_kthread(p, task_cpu, now, enq_flags);
		return;
	}
	if (!tctx) {
		enqueue_guest(p, NULL, task_cpu, now);
		return;
	}
	classify(p, tctx, slot);
	if (enq_flags & ENQ_WAKEUP) {
		count(tctx->layer, nr_wakes);
	} else if ((empty = throttled_by(p, tctx, now)) >= 0) {
		park(p, tctx, empty, now);
		return;
	}
	compete(p->scx.weight, tctx);
	if (!has_home(p, slot, tctx->layer)) {
		enqueue_guest(p, tctx, guest_cpu(p, task_cpu), now);
		return;
	}
	enqueue_layer(p, tctx, slot, task_cpu, now);

	/*
	 * Look for an idle cpu where select_cpu did not, and for the best one where cpus share cores; else any one that
	 * has gone idle meanwhile. The kick acts after the insert, which takes effect when this returns.
	 */
	if (has_siblings(task_cpu) || ((enq_flags & ENQ_WAKEUP) && !enq_cpu_selected(p, enq_flags)))
		cpu = find_idle(p, slot, tctx->layer, task_cpu);
	else
		cpu = pick_idle_any(p, slot, tctx->layer, task_cpu);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, KICK_IDLE);
	else if ((enq_flags & ENQ_WAKEUP) || !tctx->slice_ns) /* who has never run has just been made */
		seek_cpu(p, slot, tctx->layer, task_cpu, now);
	else if (enq_flags & ENQ_LAST)
		scx_bpf_kick_cpu(task_cpu, KICK_IDLE);
}

/* ---- what a cpu does next ---- */

/*
 * A queue that higher ranks kept waiting: with n tasks in it it has a turn every TURN_NS / n; of several the one that
 * is the latest.
 * Tolerated race: two cpus may give one layer a turn at the same time; it is served twice.
 */
__noinline bool serve_turn(u32 slot, s32 cpu, u64 now)
{
	struct temper_config *config = config_of(slot);
	struct cpu_ctx *cctx = cpu_ctx(cpu);
	u32 llc = llc_of(cpu), next = MAX_CLASSES, i;
	bool outranked = false, limited = false;
	u64 latest_ns = 0;

	cctx->turn_checked_ns = now;
	bpf_for(i, 0, MAX_CLASSES) {
		u32 rank = i % TEMPER_MAX_LAYERS, layer = config->order[rank], class = layer + (i - rank);
		u64 waited_ns;
		s32 at, nr;

		if (i >= TEMPER_MAX_LAYERS && !any_idle_class)
			break;
		if (rank >= config->nr_layers || !may_use(config, cpu, layer))
			continue;
		at = waiting_llc(class, llc);
		nr = at < 0 ? 0 : scx_bpf_dsq_nr_queued(DSQ_LAYER(class, at));
		if (nr <= 0)
			continue;
		waited_ns = elapsed_ns(now, queue_ctx(class, at)->served_ns);
		if (waited_ns >= TURN_NS / (u32)nr + latest_ns && class + 1 != cctx->turn_failed) {
			latest_ns = waited_ns - TURN_NS / (u32)nr;
			next = class;
			/* Few can't take more than an eighth. */
			limited = (u32)nr > TURN_MOST && (outranked || cctx->rank < (i == rank ? rank : RANK_IDLE));
		}
		outranked = true;
	}
	cctx->turn_failed = 0;
	if (next >= MAX_CLASSES)
		return false;
	if (!serve_class(next, llc, now)) {
		cctx->turn_failed = next + 1; /* none of them may run here: not the next time */
		return false;
	}
	cctx->turn_of = next % TEMPER_MAX_LAYERS + 1;
	cctx->turn_limited = limited;
	cctx->turn_ns = now;
	return true;
}

/*
 * Until when have those had their share of a cpu that may take a part of it only, one of whom ran for so long? Not the
 * same each time, by two runs' length: a cpu looks at its ticks only, and were it the same, and they a multiple of
 * those that go by in it, the same ones would have it for ever.
 */
static __always_inline u64 full_until_ns(u64 full_ns, u64 now, u64 ran_ns, u32 factor)
{
	u64 most_ns = now + GUEST_PAUSE_MAX_NS;

	full_ns = (full_ns > now ? full_ns : now) + ran_ns * (factor - 1);
	full_ns += ran_ns * (bpf_get_prandom_u32() % 512) / 256;
	return full_ns < most_ns ? full_ns : most_ns;
}

/*
 * A guest ran: when is the next one due, and when may one that others wait behind run for more than a moment? Many go
 * by a timetable: this cpu looks only when something ends, and who is late by then comes one after the other. (It is
 * charged when it is about to go on and again when it stops: the second time, for next to nothing, changes little.)
 */
static __always_inline void charge_guest(struct cpu_ctx *cctx, s32 cpu, u64 ran_ns)
{
	u64 now = clock_ns(), pause_ns = cctx->looks_in ? GUEST_PAUSE_MAX_NS : ran_ns * GUEST_PAUSE_FACTOR;
	u64 next_ns = cctx->guest_next_ns;
	s32 nr_guests = scx_bpf_dsq_nr_queued(DSQ_GUEST(cpu));
	u64 turn_ns = TURN_NS / (nr_guests > 0 ? (u32)nr_guests : 1);

	if (pause_ns > GUEST_PAUSE_MAX_NS)
		pause_ns = GUEST_PAUSE_MAX_NS;
	if (turn_ns >= GUEST_PAUSE_MAX_NS) {
		if (next_ns < now + pause_ns)
			next_ns = now + pause_ns;
	} else if (next_ns < now) {
		if (next_ns < now - GUEST_PAUSE_MAX_NS)
			next_ns = now - GUEST_PAUSE_MAX_NS;
		next_ns += pause_ns < turn_ns ? pause_ns : turn_ns;
	}
	cctx->guest_next_ns = next_ns;
	if (!cctx->looks_in)
		cctx->guest_full_ns = full_until_ns(cctx->guest_full_ns, now, ran_ns, GUEST_FULL_FACTOR);
}

/* How long is too long in a crowd is not the same each time: were it, the same ones would have their ticks for ever. */
static __always_inline bool has_waited_in_crowd(const struct task_ctx *tctx, u64 wait_ns)
{
	return wait_ns > CROWD_AGE_NS / 2 && wait_ns > CROWD_AGE_NS / 2 + bpf_get_prandom_u32() % (CROWD_AGE_NS / 2) &&
	       is_crowded(tctx->class, tctx->llc);
}

/*
 * It is its turn: is it for a look only, for the turns have had their eighth? Not for who had no slice for so long, but
 * in a crowd: what it holds in the kernel others may wait for.
 */
static __always_inline bool only_looks_in(const struct cpu_ctx *cctx, const struct task_ctx *tctx, u64 now)
{
	return cctx->turn_limited && now < cctx->turn_full_ns &&
	       (elapsed_ns(now, tctx->slice_ns) < CROWD_AGE_NS || is_crowded(tctx->class, tctx->llc));
}

/*
 * What ran since the last look, charged to the task and its layer. Called when it stops and when it goes on. Not static,
 * so that the verifier does not follow the ways through it once for each through dispatch: a thirteenth of its work.
 */
__noinline int charge(struct task_struct *p __arg_trusted, struct task_ctx *tctx __arg_nonnull,
		      struct cpu_ctx *cctx __arg_nonnull, s32 cpu)
{
	struct temper_layer_stats *s = layer_stats(tctx->layer);
	u64 delta_ns = p->se.sum_exec_runtime - tctx->run_base_ns, paid_ns;

	if (delta_ns > MAX_DELTA_NS)
		delta_ns = MAX_DELTA_NS;
	tctx->run_base_ns = p->se.sum_exec_runtime;
	tctx->price = price(p->scx.weight, tctx);
	/* Otherwise it would be the next again. */
	paid_ns = cctx->looks_in && !cctx->guest && delta_ns < TICK_NS ? TICK_NS : delta_ns;
	task_set_vtime(p, p->scx.dsq_vtime + paid_ns * tctx->price / PRICE_ONE);
	if (!share_at(tctx->share)->ran)
		share_at(tctx->share)->ran = true;
	if (tctx->nr_chain)
		spend(tctx, delta_ns);
	if (s)
		s->run_ns += delta_ns;
	if (!cctx->guest) {
		if (cctx->turn_pid == p->pid && cctx->turn_limited && !cctx->looks_in)
			cctx->turn_full_ns =
				full_until_ns(cctx->turn_full_ns, clock_ns(), delta_ns, GUEST_PAUSE_FACTOR);
		return 0;
	}
	if (s)
		s->guest_ns += delta_ns;
	charge_guest(cctx, cpu, delta_ns);
	return 0;
}

/* For how long the task that ran until now may go on here; 0: it has another place to be, or has to wait. */
static __always_inline u64 slice_to_go_on(struct task_struct *p, struct task_ctx *tctx, u32 slot, s32 cpu, u64 now)
{
	if (is_percpu_kthread(p) || !tctx)
		return SHORT_SLICE_NS;
	classify(p, tctx, slot);
	/* Queued anew, it goes to the idle core: two hot threads don't stay on one. */
	if (throttled_by(p, tctx, now) >= 0 || has_better_core(p, slot, tctx->layer, cpu))
		return 0;
	if (may_use(config_of(slot), cpu, tctx->layer))
		return layer_slice(slot, tctx->layer);
	return has_home(p, slot, tctx->layer) ? 0 : SHORT_SLICE_NS;
}

/*
 * The first rank of which a task waits that may run here, by the hints; TEMPER_MAX_LAYERS when there is none. Without a
 * loop of the kernel's, which costs three calls and one more each time round, for this runs at every switch. By way of
 * memory, so that the verifier does not follow what comes after once for each rank.
 */
static __always_inline u32 first_waiting(struct temper_config *config, s32 cpu, u32 first)
{
	u32 eligible = config->eligible[(u32)cpu % TEMPER_MAX_CPUS], rank;
	struct cpu_ctx *cctx = cpu_ctx(cpu);

#pragma unroll
	for (rank = 0; rank < TEMPER_MAX_LAYERS; rank++) {
		u32 layer = config->order[rank] % TEMPER_MAX_LAYERS;

		if ((eligible & (1U << layer)) && *(volatile u64 *)&queued[(first + layer) % MAX_CLASSES])
			break;
	}
	cctx->first_waiting = rank;
	return *(volatile u8 *)&cctx->first_waiting;
}

static __always_inline bool serve_rank(struct temper_config *config, u32 rank, s32 cpu, u32 first, u64 now)
{
	u32 layer = config->order[rank % TEMPER_MAX_LAYERS];

	return may_use(config, cpu, layer) && serve_class(first + layer, llc_of(cpu), now);
}

/* By rank, until one is reached. first: the class of layer 0, which says whether of idle cgroups. */
__noinline bool serve_ranks(u32 slot, s32 cpu, u32 first, u32 until, u64 now)
{
	struct temper_config *config = config_of(slot);
	u32 rank = first_waiting(config, cpu, first), i;

	if (rank >= until || rank >= TEMPER_MAX_LAYERS)
		return false;
	if (serve_rank(config, rank, cpu, first, now))
		return true;
	bpf_for(i, rank + 1, TEMPER_MAX_LAYERS) {
		if (i >= until || i >= config->nr_layers)
			break;
		if (serve_rank(config, i, cpu, first, now))
			return true;
	}
	return false;
}

/* Does a task wait that may run here, and is of no idle cgroup? By the hints, which may be late. */
__noinline bool somebody_queued(s32 cpu)
{
	struct temper_config *config = config_of(active_slot());
	u32 layer;

	bpf_for(layer, 0, TEMPER_MAX_LAYERS)
		if (may_use(config, cpu, layer) && *(volatile u64 *)&queued[layer % MAX_CLASSES])
			return true;
	return false;
}

/*
 * A guest that is due was taken, though guests have had their quarter: does it have to leave again at once, because
 * others want this cpu? It is switched to all the same, for each has to run within the watchdog's time.
 */
static __always_inline bool has_to_leave(const struct cpu_ctx *cctx, s32 cpu, bool prev_waits, u64 now)
{
	return now < cctx->guest_full_ns &&
	       ((prev_waits && !cctx->guest) || beside_exclusive(cpu) || somebody_queued(cpu));
}

/* Its queue's clock is past it, although it just ran: its like come after it. */
static __always_inline bool is_behind(const struct task_struct *p, const struct task_ctx *tctx)
{
	return (s64)(queue_ctx(tctx->class, tctx->llc)->vtime - p->scx.dsq_vtime) > 0;
}

/* What it is owed has an end: the most that a slice moves a task's virtual time by (queue_slice). */
static __always_inline void limit_lag(struct task_struct *p, const struct task_ctx *tctx)
{
	u64 least = queue_ctx(tctx->class, tctx->llc)->vtime - (u64)TURN_NS * nr_llcs;

	if ((s64)(least - p->scx.dsq_vtime) > 0)
		task_set_vtime(p, least);
}

/* A queue's clock: the place of who ran last. It goes on with who runs alone, so that nothing is owed to newcomers. */
static __always_inline void advance_clock(const struct task_struct *p, const struct task_ctx *tctx)
{
	struct queue_ctx *queue = queue_ctx(tctx->class, tctx->llc);

	if ((s64)(p->scx.dsq_vtime - queue->vtime) > 0)
		queue->vtime = p->scx.dsq_vtime;
}

/* What others have to know of who runs here: what may take the cpu from it, and what may run beside it. */
static __always_inline void note_running(const struct task_struct *p, const struct task_ctx *tctx, struct cpu_ctx *cctx,
					 const struct temper_layer *layer, s32 cpu)
{
	bool exclusive;

	cctx->layer = tctx->layer;
	cctx->preempts = layer->preempts && !is_idle(tctx);
	cctx->guest = tctx->guest;
	/* Per-cpu kernel threads can't be put elsewhere: never a victim, and no reason to clear a core. */
	cctx->rank = is_percpu_kthread(p) ? 0 : is_idle(tctx) ? RANK_IDLE : layer->rank;
	exclusive = layer->exclusive && has_siblings(cpu) && !tctx->guest;
	/* Not when it goes on: a guest that runs beside it by now is due. */
	if (exclusive && !cctx->exclusive)
		expel_guests(cpu);
	cctx->exclusive = exclusive;
}

/* Its layer may have become another one meanwhile. */
static __always_inline void go_on(struct task_struct *prev, struct task_ctx *tctx, u32 slot, s32 cpu, u64 slice_ns)
{
	if (tctx) {
		note_running(prev, tctx, cpu_ctx(cpu), layer_of(config_of(slot), tctx->layer), cpu);
		take_advance(tctx);
		advance_clock(prev, tctx);
	}
	task_set_slice(prev, slice_ns);
}

void BPF_STRUCT_OPS(temper_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 slot = active_slot(), until = TEMPER_MAX_LAYERS;
	struct cpu_ctx *cctx = cpu_ctx(cpu);
	bool hurry = cctx->hurry, in_crowd = cctx->looks_in && !cctx->guest;
	bool yields = cctx->guest || in_crowd; /* prev goes on only when nobody else is there */
	bool prev_waits = prev && (prev->scx.flags & TASK_QUEUED);
	bool kthread_waits = prev_waits && is_percpu_kthread(prev); /* its like come after the ranks, too */
	struct task_ctx *tctx = prev_waits ? task_ctx(prev) : NULL;
	u64 now = clock_ns(), slice_ns = 0;

	cctx->hurry = cctx->turn_of = 0;
	if (tctx)
		charge(prev, tctx, cctx, cpu); /* first: whether a guest is due depends on the one that ran until now */
	cctx->turn_pid = 0;
	cctx->looks_in = cctx->next_leaves = false;
	if (now >= cctx->guest_next_ns && serve_own(DSQ_GUEST(cpu), &cctx->guest_hint_ns, now)) {
		cctx->next_leaves = has_to_leave(cctx, cpu, prev_waits, now);
		return;
	}
	if (!kthread_waits && serve_own(DSQ_KTHREAD(cpu), &cctx->kthread_hint_ns, now))
		return;
	/* In a turn, one looks in after the other, but for somebody who wants this cpu. */
	if (in_crowd && tctx && !hurry && elapsed_ns(now, cctx->turn_ns) < SHORT_SLICE_NS &&
	    cctx->preempted_ns < cctx->turn_ns && serve_class(tctx->class, llc_of(cpu), now)) {
		cctx->turn_of = tctx->layer + 1;
		cctx->turn_checked_ns = now;
		return;
	}
	if (elapsed_ns(now, cctx->turn_checked_ns) >= TURN_CHECK_NS && serve_turn(slot, cpu, now))
		return;
	if (prev_waits) {
		slice_ns = slice_to_go_on(prev, tctx, slot, cpu, now);
		if (tctx && (is_idle(tctx) || (!kthread_waits && !may_use(config_of(slot), cpu, tctx->layer))))
			yields = true;
		/*
		 * It goes on before those that it outranks. It would be queued only when they were asked, and who is
		 * alone in its layer, or has a large share of it, would wait for a cpu at the end of each slice.
		 */
		if (tctx && slice_ns && !yields && !kthread_waits) {
			limit_lag(prev, tctx);
			until = layer_of(config_of(slot), tctx->layer)->rank +
				(hurry || !tctx->share || !is_behind(prev, tctx));
		}
	}
	if (serve_ranks(slot, cpu, 0, until, now))
		return;
	if (kthread_waits && serve_own(DSQ_KTHREAD(cpu), &cctx->kthread_hint_ns, now))
		return;
	/* The task that ran until now is work of this cpu's own too: its guests are not due yet. */
	if (slice_ns && !yields) {
		go_on(prev, tctx, slot, cpu, slice_ns);
		return;
	}
	if (now < cctx->guest_next_ns && beside_exclusive(cpu)) {
		cctx->guest_deferred = true;
		return;
	}
	if (serve_own(DSQ_GUEST(cpu), &cctx->guest_hint_ns, now))
		return;
	if (any_idle_class && serve_ranks(slot, cpu, TEMPER_MAX_LAYERS, TEMPER_MAX_LAYERS, now))
		return;
	if (slice_ns)
		go_on(prev, tctx, slot, cpu, slice_ns);
}

/* ---- what ran, and for how long ---- */

/* By doubling; a loop-free log2, for this runs at every switch. */
static __always_inline u32 wait_bucket(u64 wait_ns)
{
	u64 us = wait_ns / NSEC_PER_USEC;
	u32 bucket = 0;

	if (us >> 22)
		return TEMPER_WAIT_BUCKETS - 1;
	if (us >> 16) {
		us >>= 16;
		bucket += 16;
	}
	if (us >> 8) {
		us >>= 8;
		bucket += 8;
	}
	if (us >> 4) {
		us >>= 4;
		bucket += 4;
	}
	if (us >> 2) {
		us >>= 2;
		bucket += 2;
	}
	if (us >> 1) {
		us >>= 1;
		bucket += 1;
	}
	bucket += (u32)us;
	return bucket < TEMPER_WAIT_BUCKETS ? bucket : TEMPER_WAIT_BUCKETS - 1;
}

static __always_inline void account_run(struct temper_layer_stats *s, u64 wait_ns)
{
	s->nr_runs++;
	s->wait_ns += wait_ns;
	s->wait_hist[wait_bucket(wait_ns)]++;
	if (wait_ns > s->max_wait_ns)
		s->max_wait_ns = wait_ns;
}

/* May be called on another cpu than the task's, when its nice level, affinity or cgroup changes. */
void BPF_STRUCT_OPS(temper_running, struct task_struct *p)
{
	struct task_ctx *tctx = task_ctx(p);
	s32 cpu = scx_bpf_task_cpu(p);
	struct cpu_ctx *cctx = cpu_ctx(cpu);
	struct temper_config *config = config_of(active_slot());
	struct temper_layer_stats *s;
	struct temper_layer *layer;
	u64 now = clock_ns(), wait_ns;
	bool in_turn;

	if (!tctx)
		return;
	in_turn = cctx->turn_of == tctx->layer + 1;
	if (in_turn) {
		cctx->turn_of = 0;
		cctx->turn_pid = p->pid;
		task_set_slice(p, SHORT_SLICE_NS);
	}
	wait_ns = tctx->queued_ns ? elapsed_ns(now, tctx->queued_ns) : 0;
	layer = layer_of(config, tctx->layer);
	note_running(p, tctx, cctx, layer, cpu);
	s = layer_stats(tctx->layer);
	if (s) {
		account_run(s, wait_ns);
		if (layer->kind == TEMPER_GROUPED && !tctx->guest && owner_of(config, cpu) != tctx->layer)
			s->nr_spills++;
	}
	/* A change of nice, policy or affinity took it for one that sleeps; a guest out of a park is uncounted. */
	compete(p->scx.weight, tctx);
	tctx->queued_ns = 0;
	tctx->run_base_ns = p->se.sum_exec_runtime;
	if (tctx->guest)
		cctx->looks_in = cctx->next_leaves && can_park(p);
	else
		cctx->looks_in = ((in_turn && only_looks_in(cctx, tctx, now)) || has_waited_in_crowd(tctx, wait_ns)) &&
				 can_park(p);
	if (!cctx->looks_in)
		tctx->slice_ns = now;
	/* Who comes next has not waited for long: enough for this turn. */
	if (cctx->looks_in && (!in_turn || wait_ns < TURN_NS / 2))
		cctx->turn_ns = 0;
	cctx->next_leaves = false;
	/* It may go as far as user space: the kick is heeded on the way there. */
	if (cctx->looks_in || throttled_by(p, tctx, now) >= 0)
		scx_bpf_kick_cpu(cpu, KICK_PREEMPT);
	else if (tctx->used_slice)
		take_advance(tctx);
	tctx->used_slice = false;
	advance_clock(p, tctx);
}

void BPF_STRUCT_OPS(temper_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tctx = task_ctx(p);
	s32 cpu = scx_bpf_task_cpu(p);
	struct cpu_ctx *cctx = cpu_ctx(cpu);

	cctx->rank = RANK_NONE;
	if (tctx) {
		charge(p, tctx, cctx, cpu);
		if (!runnable) {
			tctx->used_slice = false;
			stop_competing(tctx);
		}
	}
	cctx->looks_in = cctx->guest = cctx->exclusive = false;
}

/* Somebody waits for this cpu: whoever is not above him ends, having had a short slice. */
void BPF_STRUCT_OPS(temper_tick, struct task_struct *p)
{
	s32 cpu = scx_bpf_task_cpu(p);
	struct cpu_ctx *cctx = cpu_ctx(cpu);
	struct task_ctx *tctx = task_ctx(p);
	u32 slot = active_slot();
	u64 ran_ns = tctx ? p->se.sum_exec_runtime - tctx->run_base_ns : 0;

	/* A new limit counts from here, not from the slice's end. What ran until now is charged as it was. */
	if (tctx && (tctx->nr_chain || !is_classified(p, tctx, slot))) {
		tctx->used_slice = !p->scx.slice;
		charge(p, tctx, cctx, cpu);
		classify(p, tctx, slot);
		if (throttled_by(p, tctx, clock_ns()) >= 0)
			task_set_slice(p, 0);
		else
			take_advance(tctx);
	}
	if (cctx->rank == RANK_IDLE && somebody_queued(cpu))
		task_set_slice(p, 0);
	if (!cctx->hurry || cctx->rank < cctx->hurry - 1)
		return;
	if (ran_ns >= SHORT_SLICE_NS)
		task_set_slice(p, 0);
}

/*
 * A yield gives up a part of the slice, not all of it: the fourth one in a row lets the next task in, but none that it
 * outranks: those have turns. Who yields in a loop is there soon, and who yields with a lock in hand is not sent to the
 * end of the queue each time. (Linux leaves open what sched_yield means for ordinary tasks.)
 */
bool BPF_STRUCT_OPS(temper_yield, struct task_struct *p, struct task_struct *to)
{
	struct task_ctx *tctx = to ? NULL : task_ctx(p);
	u64 slice_ns, step_ns;

	if (!tctx)
		return false;
	step_ns = layer_slice(active_slot(), tctx->layer) / YIELDS_PER_SLICE;
	slice_ns = p->scx.slice;
	task_set_slice(p, slice_ns > step_ns ? slice_ns - step_ns : 0);
	return false;
}

/* ---- a higher class takes a cpu, and gives it back ---- */

/* What was about to run here is queued anew, for another cpu to take. */
void BPF_STRUCT_OPS(temper_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	cpu_ctx(cpu)->released_ns = clock_ns();
	reenqueue_local();
}

void BPF_STRUCT_OPS(temper_cpu_acquire, s32 cpu, struct scx_cpu_acquire_args *args)
{
	struct cpu_ctx *cctx = cpu_ctx(cpu);

	cctx->kept_ns += elapsed_ns(clock_ns(), cctx->released_ns);
	cctx->released_ns = 0;
}

/* A change of nice. */
void BPF_STRUCT_OPS(temper_set_weight, struct task_struct *p, u32 weight)
{
	struct task_ctx *tctx = task_ctx(p);

	if (!tctx || !tctx->competing)
		return;
	stop_competing(tctx);
	compete(p->scx.weight, tctx);
}

/* It exits, or another class has it from now on. */
void BPF_STRUCT_OPS(temper_disable, struct task_struct *p)
{
	struct task_ctx *tctx = task_ctx(p);

	if (!tctx)
		return;
	stop_competing(tctx);
	tctx->queued_ns = 0; /* another class's wait is not one of ours */
}

/* ---- cgroups ---- */

s32 BPF_STRUCT_OPS_SLEEPABLE(temper_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	bool idle = bpf_core_field_exists(args->sched_idle) && args->sched_idle;

	add_share(cgrp->kn->id, ancestor_id(cgrp, cgrp->level - 1), args->weight, idle);
	if (bpf_core_field_exists(args->bw_quota_us))
		set_quota(cgrp->kn->id, args->bw_period_us, args->bw_quota_us, args->bw_burst_us);
	return 0;
}

void BPF_STRUCT_OPS_SLEEPABLE(temper_cgroup_exit, struct cgroup *cgrp)
{
	remove_quota(cgrp->kn->id);
	remove_share(cgrp->kn->id);
	/* The controller goes, not the cgroup: its tasks have a part of the share above from now on. */
	if (cgrp->self.flags & CSS_ONLINE)
		__sync_fetch_and_add(&cgroup_generation, 1);
}

void BPF_STRUCT_OPS(temper_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	set_weight(cgrp->kn->id, weight);
}

void BPF_STRUCT_OPS(temper_cgroup_set_idle, struct cgroup *cgrp, bool idle)
{
	set_idle(find_share(cgrp->kn->id), idle);
}

void BPF_STRUCT_OPS(temper_cgroup_set_bandwidth, struct cgroup *cgrp, u64 period_us, u64 quota_us, u64 burst_us)
{
	set_quota(cgrp->kn->id, period_us, quota_us, burst_us);
}

/* ---- life cycle ---- */

s32 BPF_STRUCT_OPS_SLEEPABLE(temper_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	/* Without memory the task runs as a guest: slower, never lost. */
	bpf_task_storage_get(&task_ctxs, p, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return 0;
}

static __always_inline s32 create_queues(void)
{
	u32 i;
	s32 err;

	bpf_for(i, 0, MAX_CLASSES * TEMPER_MAX_LLCS) {
		if (i % TEMPER_MAX_LLCS >= nr_llcs)
			continue;
		err = scx_bpf_create_dsq(DSQ_LAYER(i / TEMPER_MAX_LLCS, i % TEMPER_MAX_LLCS), -1);
		if (err)
			return err;
	}
	bpf_for(i, 0, TEMPER_MAX_QUOTAS) {
		err = scx_bpf_create_dsq(DSQ_PARK(i), -1);
		if (err)
			return err;
	}
	bpf_for(i, 0, nr_cpus) {
		err = scx_bpf_create_dsq(DSQ_GUEST(i), -1);
		if (!err)
			err = scx_bpf_create_dsq(DSQ_KTHREAD(i), -1);
		if (err)
			return err;
	}
	return 0;
}

/* Room for one intersection on every cpu. */
static __always_inline s32 create_scratch(void)
{
	u32 cpu, zero = 0;

	bpf_for(cpu, 0, nr_cpus) {
		struct mask *room = bpf_map_lookup_percpu_elem(&scratch, &zero, cpu);
		struct bpf_cpumask *made;

		if (!room)
			continue;
		made = bpf_cpumask_create();
		if (!made)
			return -12; /* -ENOMEM */
		keep_mask(room, made);
	}
	return 0;
}

/* The cpus of each cache, where there are several. */
static __always_inline s32 create_llc_masks(void)
{
	u32 llc, cpu;

	if (nr_llcs == 1)
		return 0;
	bpf_for(llc, 0, nr_llcs) {
		struct mask *mask = bpf_map_lookup_elem(&llc_masks, &llc);
		struct bpf_cpumask *made;

		if (!mask)
			continue;
		made = bpf_cpumask_create();
		if (!made)
			return -12;
		bpf_for(cpu, 0, nr_cpus)
			if (llc_of(cpu) == llc)
				bpf_cpumask_set_cpu(cpu, made);
		keep_mask(mask, made);
	}
	return 0;
}

/* Until the service timer finds one taken, all of them. */
static __always_inline s32 create_unhogged(void)
{
	u32 zero = 0, cpu;
	struct mask *mask = bpf_map_lookup_elem(&unhogged, &zero);
	struct bpf_cpumask *made;

	if (!mask)
		return 0;
	made = bpf_cpumask_create();
	if (!made)
		return -12;
	bpf_for(cpu, 0, nr_cpus)
		bpf_cpumask_set_cpu(cpu, made);
	keep_mask(mask, made);
	return 0;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(temper_init)
{
	struct service_timer *timer;
	u32 zero = 0, cpu;
	s32 err;

	if (!control.generation)
		return -22; /* -EINVAL: the first generation comes before the attach */
	bpf_for(cpu, 0, TEMPER_MAX_CPUS)
		cpu_ctxs[cpu % TEMPER_MAX_CPUS].rank = RANK_NONE;
	err = create_queues();
	if (!err)
		err = create_scratch();
	if (!err)
		err = create_llc_masks();
	if (!err)
		err = create_unhogged();
	if (err)
		return err;
	timer_clock_init(&timer_clock);
	control.beat_ns = timer_clock.monotonic_ns;
	timer = bpf_map_lookup_elem(&service_timers, &zero);
	if (!timer)
		return -2;
	bpf_timer_init(&timer->timer, &service_timers, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&timer->timer, service);
	return bpf_timer_start(&timer->timer, SERVICE_PERIOD_NS, 0);
}

void BPF_STRUCT_OPS_SLEEPABLE(temper_exit, struct scx_exit_info *info)
{
	u32 kind = info->kind;

	bpf_probe_read_kernel_str(exit_record.reason, sizeof(exit_record.reason), info->reason);
	bpf_probe_read_kernel_str(exit_record.message, sizeof(exit_record.message), info->msg);
	exit_record.code = info->exit_code;
	/* Last and with a barrier: whoever sees a kind sees the whole record. */
	__sync_lock_test_and_set(&exit_record.kind, kind);
	bpf_ringbuf_output(&events, &kind, sizeof(kind), 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops temper_ops = {
	.select_cpu = (void *)temper_select_cpu,
	.enqueue = (void *)temper_enqueue,
	.dispatch = (void *)temper_dispatch,
	.running = (void *)temper_running,
	.stopping = (void *)temper_stopping,
	.tick = (void *)temper_tick,
	.yield = (void *)temper_yield,
	.cpu_acquire = (void *)temper_cpu_acquire,
	.cpu_release = (void *)temper_cpu_release,
	.dump = (void *)temper_dump,
	.dump_task = (void *)temper_dump_task,
	.cgroup_init = (void *)temper_cgroup_init,
	.cgroup_exit = (void *)temper_cgroup_exit,
	.cgroup_set_weight = (void *)temper_cgroup_set_weight,
	.cgroup_set_idle = (void *)temper_cgroup_set_idle,
	.cgroup_set_bandwidth = (void *)temper_cgroup_set_bandwidth,
	.set_weight = (void *)temper_set_weight,
	.disable = (void *)temper_disable,
	.init_task = (void *)temper_init_task,
	.init = (void *)temper_init,
	.exit = (void *)temper_exit,
	.timeout_ms = 5000,
	.name = "temper",
};
