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
 *   guests     a task that can run on no cpu of its layer, and a task that waited half a second, goes to the
 *              guest queue of a cpu that it can use. Every cpu serves guests, but at most an eighth of its time
 *              while it has work of its own. So nothing starves, and a fence holds but for that stated share.
 *
 * Example, 4 cpus, Critical confined to 1-3, cpu 0 open, eight Background spinners: the spinners share cpu 0.
 * A Critical thread wakes: cpu 2 is idle, it runs there. A Normal thread wakes: cpu 0 is busy and Normal does
 * not preempt, so it waits for at most the 5 ms slice (and the 4 ms tick that ends it), then goes first. A
 * Background thread pinned to cpu 2 is a guest there: 1 ms at a time when Critical is busy, freely when not.
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

	if (tctx->generation == config->generation && tctx->cgroup_id == cgroup_id)
		return;
	if ((p->flags & PF_KTHREAD) || p->tgid == knobs.agent_tgid || p->tgid == knobs.engine_tgid)
		tctx->layer = config->system_layer;
	else
		tctx->layer = resolve_layer(slot, cgroup);
	tctx->generation = config->generation;
	tctx->cgroup_id = cgroup_id;
	/* The new layer's clock may be far from the old one's. */
	task_set_vtime(p, layer_clocks[tctx->layer % TEMPER_MAX_LAYERS].vtime);
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
 * Take a cpu from a lower rank. The task itself waits in its layer's queue, where whichever cpu looks first
 * finds it, so a kick that comes too late costs one needless switch and never strands anybody.
 * Tolerated race: two wakers may take one victim; the second finds preempted_ns fresh and looks elsewhere,
 * or both pass the test together and one kick is spent for nothing.
 */
static __always_inline void preempt_lower(struct task_struct *p, u32 slot, u32 layer)
{
	struct temper_config *config = config_of(slot);
	u32 rank = layer_of(config, layer)->rank, i;
	s32 first = scx_bpf_task_cpu(p);
	u64 now = bpf_ktime_get_ns();

	bpf_for(i, 0, PREEMPT_PROBES) {
		s32 cpu = first + (s32)i;
		struct cpu_ctx *cctx;

		if (i >= nr_cpus)
			break;
		if (cpu >= (s32)nr_cpus)
			cpu -= nr_cpus;
		if (!may_use(config, cpu, layer) || !bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			continue;
		cctx = cpu_ctx(cpu);
		if (cctx->rank == 255 || now - cctx->preempted_ns < PREEMPT_INTERVAL_NS)
			continue;
		if (!cctx->guest && (cctx->preempts || cctx->rank <= rank))
			continue;
		cctx->preempted_ns = now;
		count(layer, nr_preempts);
		count(cctx->layer, nr_preempted);
		scx_bpf_kick_cpu(cpu, KICK_PREEMPT);
		return;
	}
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
	dsq_insert(p, DSQ_LOCAL, layer_of(config_of(slot), tctx->layer)->slice_us * NSEC_PER_USEC, 0);
	return cpu;
}

static __always_inline u64 queue_vtime(struct task_struct *p, u32 layer)
{
	u64 clock = layer_clocks[layer % TEMPER_MAX_LAYERS].vtime;
	u64 vtime = p->scx.dsq_vtime;

	if ((s64)(vtime - (clock - VTIME_LAG_NS)) < 0)
		return clock - VTIME_LAG_NS;
	if ((s64)(vtime - (clock + VTIME_LAG_NS)) > 0)
		return clock + VTIME_LAG_NS;
	return vtime;
}

/* A cpu that can't be found by pick_idle may be idle all the same: the one that a pinned task waits for. */
static __always_inline void kick_if_idle(s32 cpu)
{
	scx_bpf_kick_cpu(cpu, KICK_IDLE);
}

static __always_inline void enqueue_guest(struct task_struct *p, struct task_ctx *tctx)
{
	s32 cpu = scx_bpf_task_cpu(p);

	tctx->guest = true;
	count(tctx->layer, nr_guest_runs);
	dsq_insert(p, DSQ_GUEST(cpu), GUEST_SLICE_NS, 0);
	kick_if_idle(cpu);
}

void BPF_STRUCT_OPS(temper_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 slot = active_slot();
	struct task_ctx *tctx = task_ctx(p);
	struct temper_layer *layer;
	bool wakeup = enq_flags & ENQ_WAKEUP;
	s32 cpu;

	if (is_percpu_kthread(p)) {
		dsq_insert(p, DSQ_LOCAL, GUEST_SLICE_NS, wakeup ? ENQ_PREEMPT : 0);
		return;
	}
	if (!tctx) {
		/* No memory for its record: serve it as a guest rather than lose it. */
		dsq_insert(p, DSQ_GUEST(scx_bpf_task_cpu(p)), GUEST_SLICE_NS, 0);
		kick_if_idle(scx_bpf_task_cpu(p));
		return;
	}
	classify(p, tctx, slot);
	tctx->queued_ns = bpf_ktime_get_ns();
	layer = layer_of(config_of(slot), tctx->layer);
	if (!has_home(p, slot, tctx->layer)) {
		enqueue_guest(p, tctx);
		return;
	}
	tctx->guest = false;
	dsq_insert_vtime(p, DSQ_LAYER(tctx->layer), layer->slice_us * NSEC_PER_USEC,
			 queue_vtime(p, tctx->layer), 0);

	if (task_cannot_move(p))
		kick_if_idle(scx_bpf_task_cpu(p));
	/* Look for an idle cpu where select_cpu did not, and where one may have gone idle since it did. */
	cpu = find_idle(p, slot, tctx->layer, scx_bpf_task_cpu(p));
	if (cpu >= 0)
		kick_if_idle(cpu);
	else if (wakeup && layer->preempts)
		preempt_lower(p, slot, tctx->layer);
}

/* ---- what a cpu does next ---- */

static __always_inline bool serve_guest(s32 cpu, struct cpu_ctx *cctx)
{
	if (!dsq_move_to_local(DSQ_GUEST(cpu)))
		return false;
	cctx->guest_taken = true;
	return true;
}

void BPF_STRUCT_OPS(temper_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 slot = active_slot(), i;
	struct temper_config *config = config_of(slot);
	struct cpu_ctx *cctx = cpu_ctx(cpu);
	struct task_ctx *tctx;

	if (scx_bpf_dsq_nr_queued(DSQ_GUEST(cpu)) && bpf_ktime_get_ns() >= cctx->guest_next_ns &&
	    serve_guest(cpu, cctx))
		return;
	bpf_for(i, 0, TEMPER_MAX_LAYERS) {
		u32 layer = config->order[i % TEMPER_MAX_LAYERS];

		if (i >= config->nr_layers)
			break;
		if (may_use(config, cpu, layer) && dsq_move_to_local(DSQ_LAYER(layer)))
			return;
	}
	if (serve_guest(cpu, cctx))
		return;
	/* Nobody else: let it go on, unless the rules here changed under it. */
	if (prev && (prev->scx.flags & TASK_QUEUED)) {
		tctx = task_ctx(prev);
		if (tctx && may_use(config, cpu, tctx->layer))
			task_set_slice(prev, layer_of(config, tctx->layer)->slice_us * NSEC_PER_USEC);
	}
}

/* ---- what ran, and for how long ---- */

static __always_inline void account_wait(struct task_ctx *tctx, u64 now)
{
	struct temper_layer_stats *s = layer_stats(tctx->layer);
	u64 wait_ns = tctx->queued_ns && now > tctx->queued_ns ? now - tctx->queued_ns : 0;

	tctx->queued_ns = 0;
	if (!s)
		return;
	s->nr_runs++;
	s->wait_ns += wait_ns;
	if (wait_ns > s->max_wait_ns)
		s->max_wait_ns = wait_ns;
}

void BPF_STRUCT_OPS(temper_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tctx = task_ctx(p);

	if (tctx)
		tctx->queued_ns = bpf_ktime_get_ns();
}

void BPF_STRUCT_OPS(temper_running, struct task_struct *p)
{
	u32 slot = active_slot();
	struct temper_config *config = config_of(slot);
	struct task_ctx *tctx = task_ctx(p);
	struct cpu_ctx *cctx = cpu_ctx(bpf_get_smp_processor_id());
	struct temper_layer *layer;
	u64 *clock;

	if (!tctx)
		return;
	account_wait(tctx, bpf_ktime_get_ns());
	tctx->run_base_ns = p->se.sum_exec_runtime;
	layer = layer_of(config, tctx->layer);
	cctx->layer = tctx->layer;
	cctx->preempts = layer->preempts;
	cctx->guest = tctx->guest || cctx->guest_taken;
	cctx->guest_taken = false;
	/* Per-cpu kernel threads can't be put elsewhere: never a victim. */
	cctx->rank = is_percpu_kthread(p) ? 0 : layer->rank;
	clock = &layer_clocks[tctx->layer % TEMPER_MAX_LAYERS].vtime;
	if ((s64)(p->scx.dsq_vtime - *clock) > 0)
		*clock = p->scx.dsq_vtime;
}

void BPF_STRUCT_OPS(temper_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tctx = task_ctx(p);
	struct cpu_ctx *cctx = cpu_ctx(bpf_get_smp_processor_id());
	struct temper_layer_stats *s;
	u64 delta_ns;

	cctx->rank = 255;
	if (!tctx)
		return;
	delta_ns = p->se.sum_exec_runtime - tctx->run_base_ns;
	if (delta_ns > MAX_DELTA_NS)
		delta_ns = MAX_DELTA_NS;
	tctx->run_base_ns = p->se.sum_exec_runtime;
	task_set_vtime(p, p->scx.dsq_vtime + delta_ns * 100 / (p->scx.weight ?: 1));
	s = layer_stats(tctx->layer);
	if (s)
		s->run_ns += delta_ns;
	if (cctx->guest)
		cctx->guest_next_ns = bpf_ktime_get_ns() + delta_ns * GUEST_PAUSE_FACTOR;
	cctx->guest = false;
}

/* ---- the service timer: the dead-man's switch and the rescue ---- */

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

u32 rescue_seen;	/* a global, so the verifier need not follow it through the loop */

static __noinline int rescue_layer(u32 slot, u32 layer, u64 now)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *queued;

	if (!scx_bpf_dsq_nr_queued(DSQ_LAYER(layer)))
		return 0;
	rescue_seen = 0;
	bpf_iter_scx_dsq_new(&it, DSQ_LAYER(layer), 0);
	while ((queued = bpf_iter_scx_dsq_next(&it))) {
		struct task_struct *p;
		struct task_ctx *tctx;
		s32 cpu;

		if (rescue_seen++ >= RESCUE_BATCH)
			break;
		/* The iterator's pointer may not be looked through on every kernel; this one may. NULL: it is exiting. */
		p = bpf_task_from_pid(queued->pid);
		if (!p)
			continue;
		tctx = task_ctx(p);
		if (tctx && tctx->queued_ns && now > tctx->queued_ns + RESCUE_AGE_NS) {
			cpu = rescue_cpu(p, slot, layer);
			if (dsq_move(&it, queued, DSQ_GUEST(cpu))) {
				count(layer, nr_rescued);
				scx_bpf_kick_cpu(cpu, KICK_IDLE);
			}
		}
		bpf_task_release(p);
	}
	bpf_iter_scx_dsq_destroy(&it);
	return 0;
}

static int service(void *map, int *key, struct service_timer *timer)
{
	u64 now = bpf_ktime_get_ns(), beat_ns = *(volatile u64 *)&control.beat_ns;
	u32 slot = active_slot(), layer;

	if (now > beat_ns && now - beat_ns > knobs.deadman_ns) {
		static char why[] = "agent heartbeat lost";
		unsigned long long none = 0;

		scx_bpf_exit_bstr(TEMPER_EXIT_DEADMAN, why, &none, 0);
		return 0;
	}
	bpf_for(layer, 0, TEMPER_MAX_LAYERS)
		rescue_layer(slot, layer, now);
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
		cpu_ctxs[cpu % TEMPER_MAX_CPUS].rank = 255;
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
	.timeout_ms = 5000,
	.name = "temper",
};
