/* SPDX-License-Identifier: GPL-2.0-only */
/* Which cpu a wake-up goes to. */
#ifndef TEMPER_PLACE_BPF_H
#define TEMPER_PLACE_BPF_H

/* A cpu that p may run on and that no higher class keeps, or -1. */
static __always_inline s32 unhogged_cpu(struct task_struct *p)
{
	struct bpf_cpumask *mask = only_mask(&unhogged);
	s32 cpu;

	if (!mask)
		return -1;
	cpu = bpf_cpumask_any_and_distribute((const struct cpumask *)mask, p->cpus_ptr);
	return (u32)cpu < nr_cpus ? cpu : -1;
}

/* May it run on a cpu that is in both of these? */
static __always_inline bool may_run_in_both(struct task_struct *p, const struct cpumask *one,
					    const struct cpumask *other)
{
	struct bpf_cpumask *both = only_mask(&scratch);

	return both && bpf_cpumask_and(both, one, other) &&
	       bpf_cpumask_intersects((const struct cpumask *)both, p->cpus_ptr);
}

/* Where a guest waits: on its cpu, unless a higher class keeps that and it may run elsewhere. */
static __always_inline s32 guest_cpu(struct task_struct *p, s32 cpu)
{
	s32 other = cpu_ctx(cpu)->hogged && !task_cannot_move(p) ? unhogged_cpu(p) : -1;

	return other >= 0 ? other : cpu;
}

/* Can it run on some cpu that its layer may use? */
static __always_inline bool has_home(struct task_struct *p, u32 slot, u32 layer)
{
	const struct cpumask *all;
	struct bpf_cpumask *free;

	if (task_cannot_move(p))
		return may_use(config_of(slot), scx_bpf_task_cpu(p), layer);
	if (is_unrestricted(p) && !nr_hogged)
		return true;
	all = layer_mask(slot, layer, MASK_ALL);
	if (!all)
		return false;
	free = nr_hogged ? only_mask(&unhogged) : NULL;
	return free ? may_run_in_both(p, all, (const struct cpumask *)free) : bpf_cpumask_intersects(all, p->cpus_ptr);
}

static __always_inline bool has_siblings(s32 cpu)
{
	return next_sibling(cpu) != cpu;
}

/* Does a sibling of this cpu run an exclusive thread? Then the core is its layer's alone, but for the due share. */
static __always_inline bool beside_exclusive(s32 cpu)
{
	s32 other;
	u32 i;

	for_each_sibling(i, other, cpu) if (cpu_ctx(other)->exclusive) return true;
	return false;
}

/* Does nothing of ours run on its siblings? A real-time task is not seen, and costs this one a shared core. */
static __always_inline bool is_core_idle(s32 cpu)
{
	s32 other;
	u32 i;

	for_each_sibling(i, other, cpu) if (cpu_ctx(other)->rank != RANK_NONE) return false;
	return true;
}

/* Guests that run beside a thread which begins to have its core to itself: their free time is over. */
static __always_inline void expel_guests(s32 cpu)
{
	s32 other;
	u32 i;

	for_each_sibling(i, other, cpu) if (cpu_ctx(other)->guest) scx_bpf_kick_cpu(other, KICK_PREEMPT);
}

/*
 * An idle cpu of `mask` that p may use, of cache `llc` first; its idle bit is cleared, so the caller must use or
 * kick it. flags: PICK_IDLE_CORE for cpus whose whole core is idle.
 */
static __noinline s32 pick_idle(struct task_struct *p, const struct cpumask *mask, u32 llc, u64 flags)
{
	bool unrestricted = is_unrestricted(p);
	struct bpf_cpumask *both;
	struct mask *near;
	s32 cpu;

	if (nr_llcs == 1 && unrestricted)
		return scx_bpf_pick_idle_cpu(mask, flags);
	both = only_mask(&scratch);
	if (!both)
		return -1;
	if (nr_llcs > 1) {
		near = bpf_map_lookup_elem(&llc_masks, &llc);
		if (near && near->cpus) {
			bpf_cpumask_and(both, mask, (const struct cpumask *)near->cpus);
			if (!unrestricted)
				bpf_cpumask_and(both, (const struct cpumask *)both, p->cpus_ptr);
			cpu = scx_bpf_pick_idle_cpu((const struct cpumask *)both, flags);
			if (cpu >= 0)
				return cpu;
		}
		if (unrestricted)
			return scx_bpf_pick_idle_cpu(mask, flags);
	}
	bpf_cpumask_and(both, mask, p->cpus_ptr);
	return scx_bpf_pick_idle_cpu((const struct cpumask *)both, flags);
}

/* From one of the layer's masks: its own cpus, or all that it may use. */
static __always_inline s32 pick_idle_of(struct task_struct *p, u32 slot, u32 layer, u32 which, u32 llc, u64 flags)
{
	const struct cpumask *mask = layer_mask(slot, layer, which);

	return mask ? pick_idle(p, mask, llc, flags) : -1;
}

/* From the layer's own cpus, then from all that it may use. */
static __noinline s32 pick_idle_of_layer(struct task_struct *p, u32 slot, u32 layer, u32 llc, u64 flags)
{
	s32 cpu = -1;

	if (layer_of(config_of(slot), layer)->kind == TEMPER_GROUPED)
		cpu = pick_idle_of(p, slot, layer, MASK_OWN, llc, flags);
	return cpu >= 0 ? cpu : pick_idle_of(p, slot, layer, MASK_ALL, llc, flags);
}

/* It is idle, and from now on the caller's to use or kick. One that runs a task of ours need not be asked. */
static __always_inline bool take_if_idle(s32 cpu)
{
	return cpu_ctx(cpu)->rank == RANK_NONE && scx_bpf_test_and_clear_cpu_idle(cpu);
}

/*
 * Its previous cpu while that is idle and warm, then the layer's own cpus, then any that it may use; near ones first.
 * With hardware threads a whole idle core anywhere comes before a busy one: two hot threads on siblings lose a fifth.
 */
static __always_inline s32 find_idle(struct task_struct *p, u32 slot, u32 layer, s32 prev_cpu)
{
	struct temper_config *config = config_of(slot);
	bool home = may_use(config, prev_cpu, layer);
	u32 llc = llc_of(prev_cpu);
	s32 cpu;

	if (task_cannot_move(p))
		return home && take_if_idle(prev_cpu) ? prev_cpu : -1;
	home = home && bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr) &&
	       (layer_of(config, layer)->kind != TEMPER_GROUPED || owner_of(config, prev_cpu) == layer);
	if (!has_siblings(prev_cpu)) {
		if (home && take_if_idle(prev_cpu))
			return prev_cpu;
		return pick_idle_of_layer(p, slot, layer, llc, 0);
	}
	if (home && is_core_idle(prev_cpu) && take_if_idle(prev_cpu))
		return prev_cpu;
	cpu = pick_idle_of_layer(p, slot, layer, llc, PICK_IDLE_CORE);
	if (cpu >= 0)
		return cpu;
	if (home && take_if_idle(prev_cpu))
		return prev_cpu;
	return pick_idle_of_layer(p, slot, layer, llc, 0);
}

/* With hardware threads: it shares its core, and a whole core that it may use is idle. */
static __noinline bool has_better_core(struct task_struct *p, u32 slot, u32 layer, s32 cpu)
{
	const struct cpumask *all, *idle;
	bool found;

	if (!has_siblings(cpu) || is_core_idle(cpu) || task_cannot_move(p))
		return false;
	all = layer_mask(slot, layer, MASK_ALL);
	if (!all)
		return false;
	idle = scx_bpf_get_idle_smtmask();
	found = may_run_in_both(p, all, idle);
	scx_bpf_put_idle_cpumask(idle);
	return found;
}

/* Any idle cpu that it may use. */
static __always_inline s32 pick_idle_any(struct task_struct *p, u32 slot, u32 layer, s32 cpu)
{
	return task_cannot_move(p) ? -1 : pick_idle_of_layer(p, slot, layer, llc_of(cpu), 0);
}

/* One claim per cpu and PREEMPT_INTERVAL_NS: of several wakers that see the same victim, one takes it. */
static __always_inline bool claim(struct cpu_ctx *cctx, u64 now)
{
	u64 before = *(volatile u64 *)&cctx->preempted_ns;

	return elapsed_ns(now, before) >= PREEMPT_INTERVAL_NS &&
	       __sync_val_compare_and_swap(&cctx->preempted_ns, before, now) == before;
}

/* Whoever runs on this cpu, of this rank or a lower one, ends at the next tick. Of several ranks the highest counts. */
static __always_inline void ask_to_hurry(struct cpu_ctx *cctx, u32 rank)
{
	if (!cctx->hurry || rank + 1 < cctx->hurry)
		cctx->hurry = rank + 1;
}

/*
 * One cpu, for a wake-up that found none idle: one between two tasks is kicked, for it may be about to idle and not see
 * the task; one that runs a lower rank is taken (true), if the layer preempts, and one that runs an idle cgroup's in
 * any case. One that itself preempts is taken by our own two processes alone, which decide over the node's state.
 */
static __always_inline bool take_cpu(struct task_struct *p, struct temper_config *config, u32 layer, s32 cpu, u64 now)
{
	struct temper_layer *mine = layer_of(config, layer);
	struct cpu_ctx *cctx = cpu_ctx(cpu);

	if (!may_use(config, cpu, layer) || !bpf_cpumask_test_cpu(cpu, p->cpus_ptr) || cctx->released_ns)
		return false;
	if (cctx->rank == RANK_NONE) {
		scx_bpf_kick_cpu(cpu, KICK_IDLE);
		return false;
	}
	if (cctx->rank != RANK_IDLE &&
	    (!mine->preempts || (!cctx->guest && (cctx->rank <= mine->rank || (cctx->preempts && !is_our_own(p))))))
		return false;
	if (!claim(cctx, now)) {
		ask_to_hurry(cctx, mine->rank + 1); /* who took it just now may be gone before the slice ends */
		return false;
	}
	count(layer, nr_preempts);
	count(cctx->layer, nr_preempted);
	scx_bpf_kick_cpu(cpu, KICK_PREEMPT);
	return true;
}

/*
 * A wake-up found no idle cpu. Look at a few that its layer may use, from the one it was on. The task itself waits in
 * its layer's queue, where whichever cpu looks first finds it, so a kick that comes too late costs one needless switch
 * and never strands anybody.
 * Tolerated race: a cpu that stops, finds its queues empty and idles between this look and the insert is not seen: the
 * service timer finds the task.
 */
static __always_inline void seek_cpu(struct task_struct *p, u32 slot, u32 layer, s32 first, u64 now)
{
	struct temper_config *config = config_of(slot);
	u32 most = nr_cpus < SEEK_PROBES ? nr_cpus : SEEK_PROBES, i;
	const struct cpumask *all;

	if (task_cannot_move(p)) {
		if (!take_cpu(p, config, layer, first, now))
			ask_to_hurry(cpu_ctx(first), layer_of(config, layer)->rank); /* it waits for this one alone */
		return;
	}
	if (!may_use(config, first, layer)) {
		all = layer_mask(slot, layer, MASK_ALL);
		if (all)
			first = bpf_cpumask_any_and_distribute(all, p->cpus_ptr);
		if ((u32)first >= nr_cpus)
			return;
	}
	bpf_for(i, 0, most) {
		s32 cpu = first + (s32)i;

		if (cpu >= (s32)nr_cpus)
			cpu -= nr_cpus;
		if (take_cpu(p, config, layer, cpu, now))
			return;
	}
}

#endif
