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
 *   dispatch   a cpu serves the layers eligible there by rank, then its guests.
 *   turns      a layer that has waited too long behind higher ranks is served once, for a short slice: often
 *              enough that its whole queue gets through in about a second (TURN_NS).
 *   guests     a task that can run on no cpu of its layer, and a task that waited past all of this, goes to
 *              the guest queue of a cpu that it can use. Every cpu serves guests: an eighth of its time while it
 *              has work of its own, more only if its guests are so many that they would wait over a second.
 *
 * So nothing starves, and a fence holds but for that stated share of tasks that can run nowhere else.
 *
 * Example, 4 cpus, Critical confined to 1-3, cpu 0 open, eight Background spinners: the spinners share cpu 0.
 * A Critical thread wakes: cpu 2 is idle, it runs there. A Normal thread wakes: cpu 0 is busy and Normal does
 * not preempt, so it waits for at most the 5 ms slice (and the 4 ms tick that ends it), then goes first. A
 * Background thread pinned to cpu 2 is a guest there: 1 ms at a time when Critical is busy, freely when not.
 * A Background queue of 100 behind a busy Normal gets a turn every 10 ms, 1 ms each.
 *
 * What it does not do yet: last-level caches and SMT siblings (whole cores are confined, but exclusive is not
 * enforced), cgroup weights and quotas. One queue per layer bounds how far it scales.
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
#include "state.bpf.h"
#include "commit.bpf.h"

char _license[] SEC("license") = "GPL";

/* ---- which layer ---- */

/* The nearest mapped ancestor's layer, the task's own cgroup first; the default layer when none is mapped. */
static __noinline u32 resolve_layer(u32 slot, struct cgroup *cgroup)
{
	u32 fallback = config_of(slot)->default_layer, i;
	int level = BPF_CORE_READ(cgroup, level);
	void *cgroups = bpf_map_lookup_elem(&cgroup_slots, &slot);
	u64 offset = bpf_core_field_offset(struct cgroup, ancestors);

	if (!cgroups)
		return fallback;
	bpf_for(i, 0, MAX_DEPTH) {
		struct cgroup *ancestor = NULL;
		u32 *layer;
		u64 id;

		if (level - (int)i < 0)
			break;
		bpf_probe_read_kernel(&ancestor, sizeof(ancestor), (void *)cgroup + offset + 8 * (level - (int)i));
		if (!ancestor)
			break;
		id = BPF_CORE_READ(ancestor, kn, id);
		layer = bpf_map_lookup_elem(cgroups, &id);
		if (layer)
			return *layer;
	}
	return fallback;
}

/* Resolve again only when the generation or the task's cgroup changed since the last time. */
static __always_inline void classify(struct task_struct *p, struct task_ctx *tctx, u32 slot)
{
	struct temper_config *config = config_of(slot);
	struct cgroup *cgroup = p->cgroups->dfl_cgrp;
	u64 cgroup_id = cgroup->kn->id;
	u64 generation = config->generation;
	u32 layer;

	if (tctx->generation == generation && tctx->cgroup_id == cgroup_id)
		return;
	if ((p->flags & PF_KTHREAD) || p->tgid == knobs.agent_tgid || p->tgid == knobs.engine_tgid)
		layer = config->system_layer;
	else
		layer = resolve_layer(slot, cgroup);
	/* Another layer's clock may be far from this one's. A task that stays keeps what it owes. */
	if (layer != tctx->layer || !tctx->generation)
		task_set_vtime(p, layer_ctx(layer)->vtime);
	tctx->layer = layer;
	tctx->generation = generation;
	tctx->cgroup_id = cgroup_id;
}

static __always_inline bool is_percpu_kthread(const struct task_struct *p)
{
	return (p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1;
}

/* ---- where ---- */

/* Can it run on some cpu that its layer may use? */
static __always_inline bool has_home(struct task_struct *p, u32 slot, u32 layer)
{
	const struct cpumask *all;

	if (task_cannot_move(p))
		return may_use(config_of(slot), scx_bpf_task_cpu(p), layer);
	if ((u32)p->nr_cpus_allowed >= nr_cpus)
		return true;
	all = layer_mask(slot, layer, MASK_ALL);
	return all && bpf_cpumask_intersects(all, p->cpus_ptr);
}

/* An idle cpu of `mask`, whole idle cores first; its idle bit is cleared, so the caller must use or kick it. */
static __always_inline s32 pick_idle(const struct cpumask *mask)
{
	s32 cpu = scx_bpf_pick_idle_cpu(mask, PICK_IDLE_CORE);

	return cpu >= 0 ? cpu : scx_bpf_pick_idle_cpu(mask, 0);
}

static __always_inline s32 pick_idle_allowed(struct task_struct *p, const struct cpumask *mask)
{
	u32 zero = 0;
	struct bpf_cpumask *both;
	struct mask *room;

	if ((u32)p->nr_cpus_allowed >= nr_cpus)
		return pick_idle(mask);
	room = bpf_map_lookup_elem(&scratch, &zero);
	both = room ? room->cpus : NULL;
	if (!both)
		return -1;
	bpf_cpumask_and(both, mask, p->cpus_ptr);
	return pick_idle((const struct cpumask *)both);
}

/* Its previous cpu while that is idle and warm, then the layer's own cpus, then any that it may use. */
static __always_inline s32 find_idle(struct task_struct *p, u32 slot, u32 layer, s32 prev_cpu)
{
	struct temper_config *config = config_of(slot);
	const struct cpumask *mask;
	s32 cpu;

	if (task_cannot_move(p))
		return may_use(config, prev_cpu, layer) && scx_bpf_test_and_clear_cpu_idle(prev_cpu) ? prev_cpu : -1;
	if (may_use(config, prev_cpu, layer) && bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr) &&
	    (layer_of(config, layer)->kind != TEMPER_GROUPED ||
	     config->owner[(u32)prev_cpu % TEMPER_MAX_CPUS] == layer) &&
	    scx_bpf_test_and_clear_cpu_idle(prev_cpu))
		return prev_cpu;
	if (layer_of(config, layer)->kind == TEMPER_GROUPED) {
		mask = layer_mask(slot, layer, MASK_OWN);
		cpu = mask ? pick_idle_allowed(p, mask) : -1;
		if (cpu >= 0)
			return cpu;
	}
	mask = layer_mask(slot, layer, MASK_ALL);
	return mask ? pick_idle_allowed(p, mask) : -1;
}

/*
 * A wake-up found no idle cpu. Look at a few that its layer may use, from the one it was on: those between two
 * tasks are kicked, for they may be about to idle and not see it; one that runs a lower rank is taken, if the layer
 * preempts. The task itself waits in its layer's queue, where whichever cpu looks first finds it, so a kick that
 * comes too late costs one needless switch and never strands anybody.
 * Tolerated races: two wakers may take one victim, and one kick is spent for nothing. A cpu that stops, finds its
 * queues empty and idles between this look and the insert is not seen: the service timer finds the task.
 */
static __always_inline void seek_cpu(struct task_struct *p, u32 slot, u32 layer)
{
	struct temper_config *config = config_of(slot);
	struct temper_layer *mine = layer_of(config, layer);
	s32 first = scx_bpf_task_cpu(p);
	u64 now = bpf_ktime_get_ns();
	u32 i;

	bpf_for(i, 0, SEEK_PROBES) {
		s32 cpu = first + (s32)i;
		struct cpu_ctx *cctx;

		if (i >= nr_cpus || (i && task_cannot_move(p)))
			break;
		if (cpu >= (s32)nr_cpus)
			cpu -= nr_cpus;
		if (!may_use(config, cpu, layer) || !bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			continue;
		cctx = cpu_ctx(cpu);
		if (cctx->rank == RANK_NONE) {
			scx_bpf_kick_cpu(cpu, KICK_IDLE);
			continue;
		}
		if (!mine->preempts || now - cctx->preempted_ns < PREEMPT_INTERVAL_NS)
			continue;
		if (!cctx->guest && (cctx->preempts || cctx->rank <= mine->rank))
			continue;
		cctx->preempted_ns = now;
		count(layer, nr_preempts);
		count(cctx->layer, nr_preempted);
		scx_bpf_kick_cpu(cpu, KICK_PREEMPT);
		return;
	}
}

/* Its place in virtual time, no further than the lag from the layer's clock: sleepers gain, and hogs owe, only so much. */
static __always_inline u64 clamp_vtime(struct task_struct *p, u32 layer)
{
	u64 clock = layer_ctx(layer)->vtime, vtime = p->scx.dsq_vtime;

	if ((s64)(vtime - (clock - VTIME_LAG_NS)) < 0)
		vtime = clock - VTIME_LAG_NS;
	else if ((s64)(vtime - (clock + VTIME_AHEAD_NS)) > 0)
		vtime = clock + VTIME_AHEAD_NS;
	else
		return vtime;
	task_set_vtime(p, vtime);
	return vtime;
}

static __always_inline u64 layer_slice(u32 slot, u32 layer)
{
	return layer_of(config_of(slot), layer)->slice_us * NSEC_PER_USEC;
}

/* The layer's slice, shrunk so that a long queue is turned over in TURN_NS. */
static __always_inline u64 queue_slice(u32 slot, u32 layer)
{
	u64 slice_ns = layer_slice(slot, layer);
	s32 nr_queued = scx_bpf_dsq_nr_queued(DSQ_LAYER(layer));
	u64 share_ns = nr_queued > 0 ? TURN_NS / (u32)nr_queued : TURN_NS;

	if (share_ns < SHORT_SLICE_NS)
		share_ns = SHORT_SLICE_NS;
	return share_ns < slice_ns ? share_ns : slice_ns;
}

s32 BPF_STRUCT_OPS(temper_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	u32 slot = active_slot();
	struct task_ctx *tctx = task_ctx(p);
	s32 cpu;

	if (!tctx)
		return prev_cpu;
	classify(p, tctx, slot);
	cpu = find_idle(p, slot, tctx->layer, prev_cpu);
	if (cpu < 0)
		return prev_cpu;
	count(tctx->layer, nr_direct);
	tctx->guest = false;
	clamp_vtime(p, tctx->layer);
	dsq_insert(p, DSQ_LOCAL, layer_slice(slot, tctx->layer), 0);
	return cpu;
}

/* A guest of the cpu it is on. tctx may be NULL: without a record a task is served like this, and never lost. */
static __always_inline void enqueue_guest(struct task_struct *p, struct task_ctx *tctx)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if (tctx) {
		tctx->guest = true;
		count(tctx->layer, nr_guest_runs);
	}
	dsq_insert(p, DSQ_GUEST(cpu), SHORT_SLICE_NS, 0);
	scx_bpf_kick_cpu(cpu, KICK_IDLE);
}

/* Its cpu's own: first when it wakes, in turn with its like when it has used up a slice. */
static __always_inline void enqueue_percpu_kthread(struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if (enq_flags & ENQ_WAKEUP) {
		dsq_insert(p, DSQ_LOCAL, SHORT_SLICE_NS, ENQ_PREEMPT);
		return;
	}
	dsq_insert(p, DSQ_KTHREAD(cpu), SHORT_SLICE_NS, 0);
	scx_bpf_kick_cpu(cpu, KICK_IDLE);
}

void BPF_STRUCT_OPS(temper_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 slot = active_slot();
	struct task_ctx *tctx = task_ctx(p);
	s32 cpu;

	/* Set once per wait: a change of nice or affinity queues a task anew, but it has waited all the same. */
	if (tctx && !tctx->queued_ns)
		tctx->queued_ns = bpf_ktime_get_ns();
	if (is_percpu_kthread(p)) {
		enqueue_percpu_kthread(p, enq_flags);
		return;
	}
	if (!tctx) {
		enqueue_guest(p, NULL);
		return;
	}
	classify(p, tctx, slot);
	if (!has_home(p, slot, tctx->layer)) {
		enqueue_guest(p, tctx);
		return;
	}
	tctx->guest = false;
	dsq_insert_vtime(p, DSQ_LAYER(tctx->layer), queue_slice(slot, tctx->layer), clamp_vtime(p, tctx->layer), 0);

	/*
	 * Look for an idle cpu where select_cpu did not, and where one may have gone idle since it did. The kick
	 * acts after the insert, which takes effect when this returns.
	 */
	cpu = find_idle(p, slot, tctx->layer, scx_bpf_task_cpu(p));
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, KICK_IDLE);
	else if (enq_flags & ENQ_WAKEUP)
		seek_cpu(p, slot, tctx->layer);
	else if (enq_flags & ENQ_LAST)
		scx_bpf_kick_cpu(scx_bpf_task_cpu(p), KICK_IDLE);
}

/* ---- what a cpu does next ---- */

static __always_inline bool serve_layer(u32 layer, u64 now)
{
	if (!dsq_move_to_local(DSQ_LAYER(layer)))
		return false;
	layer_ctx(layer)->served_ns = now;
	return true;
}

/*
 * A layer that higher ranks kept waiting: with n tasks queued it gets a turn every TURN_NS / n.
 * Tolerated race: two cpus may give one layer a turn at the same time; it is served twice.
 */
static __always_inline bool serve_turn(struct temper_config *config, s32 cpu, struct cpu_ctx *cctx, u64 now)
{
	u32 i;

	if (now - cctx->turn_checked_ns < TURN_CHECK_NS)
		return false;
	cctx->turn_checked_ns = now;
	bpf_for(i, 0, TEMPER_MAX_LAYERS) {
		u32 layer = config->order[i % TEMPER_MAX_LAYERS];
		s32 nr_queued;

		if (i >= config->nr_layers)
			break;
		if (!may_use(config, cpu, layer))
			continue;
		nr_queued = scx_bpf_dsq_nr_queued(DSQ_LAYER(layer));
		if (nr_queued <= 0 || now - layer_ctx(layer)->served_ns < TURN_NS / (u32)nr_queued)
			continue;
		if (serve_layer(layer, now)) {
			cctx->turn_of = layer + 1;
			return true;
		}
	}
	return false;
}

/* What ran since the last look, charged to the task and its layer. Called when it stops and when it goes on. */
static __always_inline void charge(struct task_struct *p, struct task_ctx *tctx, struct cpu_ctx *cctx, s32 cpu)
{
	struct temper_layer_stats *s = layer_stats(tctx->layer);
	u64 delta_ns = p->se.sum_exec_runtime - tctx->run_base_ns, pause_ns;
	s32 nr_guests;

	if (delta_ns > MAX_DELTA_NS)
		delta_ns = MAX_DELTA_NS;
	tctx->run_base_ns = p->se.sum_exec_runtime;
	task_set_vtime(p, p->scx.dsq_vtime + delta_ns * 100 / (p->scx.weight ?: 1));
	if (s)
		s->run_ns += delta_ns;
	if (!cctx->guest)
		return;
	nr_guests = scx_bpf_dsq_nr_queued(DSQ_GUEST(cpu));
	pause_ns = delta_ns * GUEST_PAUSE_FACTOR;
	if (pause_ns > GUEST_PAUSE_MAX_NS)
		pause_ns = GUEST_PAUSE_MAX_NS;
	if (nr_guests > 0 && pause_ns > TURN_NS / (u32)nr_guests)
		pause_ns = TURN_NS / (u32)nr_guests;
	cctx->guest_next_ns = bpf_ktime_get_ns() + pause_ns;
}

/* Nobody else wants this cpu: let the task go on, unless it has another place to be. */
static __always_inline void go_on(struct task_struct *p, u32 slot, s32 cpu, struct cpu_ctx *cctx)
{
	struct task_ctx *tctx = task_ctx(p);

	if (is_percpu_kthread(p)) {
		task_set_slice(p, SHORT_SLICE_NS);
		return;
	}
	if (!tctx)
		return;
	charge(p, tctx, cctx, cpu);
	classify(p, tctx, slot);
	if (may_use(config_of(slot), cpu, tctx->layer))
		task_set_slice(p, layer_slice(slot, tctx->layer));
	else if (!has_home(p, slot, tctx->layer))
		task_set_slice(p, SHORT_SLICE_NS);
}

void BPF_STRUCT_OPS(temper_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 slot = active_slot(), i;
	struct temper_config *config = config_of(slot);
	struct cpu_ctx *cctx = cpu_ctx(cpu);
	u64 now = bpf_ktime_get_ns();

	if (now >= cctx->guest_next_ns && dsq_move_to_local(DSQ_GUEST(cpu)))
		return;
	if (dsq_move_to_local(DSQ_KTHREAD(cpu)))
		return;
	if (serve_turn(config, cpu, cctx, now))
		return;
	bpf_for(i, 0, TEMPER_MAX_LAYERS) {
		u32 layer = config->order[i % TEMPER_MAX_LAYERS];

		if (i >= config->nr_layers)
			break;
		if (may_use(config, cpu, layer) && serve_layer(layer, now))
			return;
	}
	/* The task that ran until now is work of this cpu's own too: its guests are not due yet. */
	if (prev && (prev->scx.flags & TASK_QUEUED) && !cctx->guest) {
		go_on(prev, slot, cpu, cctx);
		if (prev->scx.slice)
			return;
	}
	if (dsq_move_to_local(DSQ_GUEST(cpu)))
		return;
	if (prev && (prev->scx.flags & TASK_QUEUED) && cctx->guest)
		go_on(prev, slot, cpu, cctx);
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
	return (bucket + (u32)us) % TEMPER_WAIT_BUCKETS;
}

static __always_inline void account_wait(struct task_ctx *tctx, u64 now)
{
	struct temper_layer_stats *s = layer_stats(tctx->layer);
	u64 wait_ns = tctx->queued_ns && now > tctx->queued_ns ? now - tctx->queued_ns : 0;

	tctx->queued_ns = 0;
	if (!s)
		return;
	s->nr_runs++;
	s->wait_ns += wait_ns;
	s->wait_hist[wait_bucket(wait_ns)]++;
	if (wait_ns > s->max_wait_ns)
		s->max_wait_ns = wait_ns;
}

void BPF_STRUCT_OPS(temper_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tctx = task_ctx(p);

	if (tctx && !tctx->queued_ns)
		tctx->queued_ns = bpf_ktime_get_ns();
}

/* May be called on another cpu than the task's, when its nice level, affinity or cgroup changes. */
void BPF_STRUCT_OPS(temper_running, struct task_struct *p)
{
	struct task_ctx *tctx = task_ctx(p);
	struct cpu_ctx *cctx = cpu_ctx(scx_bpf_task_cpu(p));
	struct temper_layer *layer;
	struct layer_ctx *lctx;

	if (!tctx)
		return;
	account_wait(tctx, bpf_ktime_get_ns());
	tctx->run_base_ns = p->se.sum_exec_runtime;
	layer = layer_of(config_of(active_slot()), tctx->layer);
	cctx->layer = tctx->layer;
	cctx->preempts = layer->preempts;
	cctx->guest = tctx->guest;
	/* Per-cpu kernel threads can't be put elsewhere: never a victim. */
	cctx->rank = is_percpu_kthread(p) ? 0 : layer->rank;
	if (cctx->turn_of == tctx->layer + 1) {
		cctx->turn_of = 0;
		task_set_slice(p, SHORT_SLICE_NS);
	}
	lctx = layer_ctx(tctx->layer);
	if ((s64)(p->scx.dsq_vtime - lctx->vtime) > 0)
		lctx->vtime = p->scx.dsq_vtime;
}

void BPF_STRUCT_OPS(temper_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tctx = task_ctx(p);
	s32 cpu = scx_bpf_task_cpu(p);
	struct cpu_ctx *cctx = cpu_ctx(cpu);

	cctx->rank = RANK_NONE;
	if (tctx)
		charge(p, tctx, cctx, cpu);
	cctx->guest = false;
}

/* ---- the service timer: the dead-man's switch, idle cpus beside waiting tasks, and the rescue ---- */

/* Where a task that waited too long goes: a cpu of its layer's that it can use, else the one it is on. */
static __always_inline s32 rescue_cpu(struct task_struct *p, u32 slot, u32 layer)
{
	const struct cpumask *all = layer_mask(slot, layer, MASK_ALL);
	s32 cpu = scx_bpf_task_cpu(p);

	if (!all || task_cannot_move(p) || may_use(config_of(slot), cpu, layer))
		return cpu;
	if (!bpf_cpumask_intersects(all, p->cpus_ptr))
		return cpu;
	return bpf_cpumask_any_and_distribute(all, p->cpus_ptr);
}

/*
 * Is it past what turns give? An unrestricted task of a layer that is being served has only its own layer to wait
 * for, and its place in virtual time comes. One that can use a few cpus only may find those always taken.
 */
static __always_inline bool is_stranded(struct task_struct *p, struct task_ctx *tctx, u32 layer, u64 now)
{
	if (!tctx->queued_ns || now < tctx->queued_ns + RESCUE_AGE_NS)
		return false;
	return task_cannot_move(p) || (u32)p->nr_cpus_allowed < nr_cpus ||
	       now - layer_ctx(layer)->served_ns > RESCUE_AGE_NS;
}

u32 rescue_seen; /* a global, so the verifier need not follow it through the loop */
u32 nr_services;

static __noinline int rescue_layer(u32 slot, u32 layer, u64 now)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *queued;

	rescue_seen = 0;
	bpf_iter_scx_dsq_new(&it, DSQ_LAYER(layer), 0);
	while ((queued = bpf_iter_scx_dsq_next(&it))) {
		struct task_struct *p;
		struct task_ctx *tctx;
		s32 cpu;

		if (rescue_seen++ >= RESCUE_BATCH)
			break;
		/* The iterator's pointer may not be looked through on every kernel; this one may. */
		p = bpf_task_from_pid(queued->pid);
		if (!p)
			continue;
		tctx = task_ctx(p);
		if (tctx && is_stranded(p, tctx, layer, now)) {
			cpu = rescue_cpu(p, slot, layer);
			if (dsq_move(&it, queued, DSQ_GUEST(cpu), SHORT_SLICE_NS)) {
				tctx->guest = true;
				count(layer, nr_rescued);
				scx_bpf_kick_cpu(cpu, KICK_IDLE);
			}
		}
		bpf_task_release(p);
	}
	bpf_iter_scx_dsq_destroy(&it);
	return 0;
}

/* Tasks wait and a cpu of theirs is idle: it went idle just before they were queued. */
static __always_inline void wake_idle(u32 slot, u32 layer)
{
	const struct cpumask *all = layer_mask(slot, layer, MASK_ALL);
	s32 cpu = all ? pick_idle(all) : -1;

	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, KICK_IDLE);
}

static int service(void *map, int *key, struct service_timer *timer)
{
	u64 now = bpf_ktime_get_ns(), beat_ns = *(volatile u64 *)&control.beat_ns;
	u32 slot = active_slot(), layer;

	if (*(volatile u32 *)&exit_record.kind)
		return 0; /* out already; another scheduler may be in */
	if (now > beat_ns && now - beat_ns > control.deadman_ns) {
		static char why[] = "agent heartbeat lost";
		unsigned long long none = 0;

		scx_bpf_exit_bstr(TEMPER_EXIT_DEADMAN, why, &none, 0);
		return 0;
	}
	nr_services++;
	bpf_for(layer, 0, TEMPER_MAX_LAYERS) {
		if (scx_bpf_dsq_nr_queued(DSQ_LAYER(layer)) <= 0)
			continue;
		wake_idle(slot, layer);
		if (nr_services % SERVICE_RESCUE_EVERY == 0)
			rescue_layer(slot, layer, now);
	}
	bpf_timer_start(&timer->timer, SERVICE_PERIOD_NS, 0);
	return 0;
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

	bpf_for(i, 0, TEMPER_MAX_LAYERS) {
		err = scx_bpf_create_dsq(DSQ_LAYER(i), -1);
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
		made = bpf_kptr_xchg(&room->cpus, made);
		if (made)
			bpf_cpumask_release(made);
	}
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
	if (err)
		return err;
	control.beat_ns = bpf_ktime_get_ns();
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
	.runnable = (void *)temper_runnable,
	.running = (void *)temper_running,
	.stopping = (void *)temper_stopping,
	.init_task = (void *)temper_init_task,
	.init = (void *)temper_init,
	.exit = (void *)temper_exit,
	.timeout_ms = 10000,
	.name = "temper",
};
