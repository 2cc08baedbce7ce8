/* SPDX-License-Identifier: GPL-2.0-only */
/* Which layer a task belongs to. */
#ifndef TEMPER_CLASSIFY_BPF_H
#define TEMPER_CLASSIFY_BPF_H

/* The id of a cgroup's ancestor at a level: the root at 0, itself at its own, 0 below that. */
static __always_inline u64 ancestor_id(const struct cgroup *cgroup, s32 level)
{
	u64 offset = bpf_core_field_offset(struct cgroup, ancestors);
	struct cgroup *ancestor = NULL;

	if (level < 0 || level > BPF_CORE_READ(cgroup, level))
		return 0;
	bpf_probe_read_kernel(&ancestor, sizeof(ancestor), (void *)cgroup + offset + 8 * level);
	return ancestor ? BPF_CORE_READ(ancestor, kn, id) : 0;
}

/*
 * Where a task of this cgroup belongs, by its ancestors: the nearest mapped one's layer, which is returned (the default
 * layer when none is mapped), the nearest one's share, and every bucket (quota.bpf.h). The root first: what is
 * too deep or too much for us is then of whoever made it, and what holds above him holds for him.
 */
static __always_inline u32 resolve(u32 slot, struct task_ctx *tctx, u32 *share)
{
	struct temper_config *config = config_of(slot);
	const struct css_set *css_set = (const void *)tctx->css_set_at;
	const struct cgroup *cgroup = BPF_CORE_READ(css_set, dfl_cgrp);
	void *cgroups = bpf_map_lookup_elem(&cgroup_slots, &slot);
	u32 layer = TEMPER_MAX_LAYERS, nr_above = MAX_CHAIN, periods, i;

	tctx->nr_chain = 0;
	bpf_for(i, 0, MAX_DEPTH) {
		u64 id = ancestor_id(cgroup, i);
		u32 *found;

		if (!id)
			break;
		found = bpf_map_lookup_elem(&share_of, &id);
		if (found)
			*share = *found;
		found = cgroups ? bpf_map_lookup_elem(cgroups, &id) : NULL;
		if (found) {
			layer = *found % TEMPER_MAX_LAYERS;
			nr_above = tctx->nr_chain;
		}
		found = bpf_map_lookup_elem(&quota_of, &id);
		if (found && tctx->nr_chain < MAX_CHAIN - 1) /* the last place is the ceiling's */
			tctx->chain[tctx->nr_chain++ % MAX_CHAIN] = *found;
	}
	if (layer == TEMPER_MAX_LAYERS)
		layer = config->default_layer;
	/* What is mapped, and what is in it, may save as its tier does; what is above, several tiers' own, may not. */
	periods = layer_of(config, layer)->smooth_periods;
	bpf_for(i, 0, MAX_CHAIN) {
		struct temper_quota *q = &quotas[tctx->chain[i % MAX_CHAIN] % TEMPER_MAX_QUOTAS];

		if (i < nr_above || i >= tctx->nr_chain)
			continue;
		if (q->smooth_periods != periods)
			q->smooth_periods = periods;
	}
	if (layer_of(config, layer)->ceiling_millicpu && tctx->nr_chain < MAX_CHAIN)
		tctx->chain[tctx->nr_chain++ % MAX_CHAIN] = layer;
	return layer;
}

static __always_inline bool is_our_own(const struct task_struct *p)
{
	return p->tgid == knobs.agent_tgid || p->tgid == knobs.engine_tgid;
}

/*
 * By what it is now: its layer, its class, its share. Is its class another one?
 *
 * Not static, so the verifier looks at it once and not on each way to it, which took longer than all the rest. The css_set
 * is no pointer here, which would have to be a trusted one: tctx->css_set_at is an address, and only probed.
 */
__noinline bool reclassify(u32 slot, struct task_ctx *tctx __arg_nonnull, u32 weight, bool is_system)
{
	u32 layer, class, share = 0;
	bool moves, idle;

	layer = resolve(slot, tctx, &share);
	idle = is_share_idle(share);
	if (is_system) {
		layer = config_of(slot)->system_layer;
		share = tctx->nr_chain = idle = 0;
	}
	if (idle && !any_idle_class)
		any_idle_class = true;
	class = layer + (idle ? TEMPER_MAX_LAYERS : 0);
	moves = class != tctx->class || !tctx->generation;
	tctx->layer = layer;
	tctx->class = class;
	join_share(weight, tctx, share);
	return moves;
}

/* Has nothing changed since it was resolved: the plan, its cgroup and that one's controllers, quotas, idle cgroups? */
static __always_inline bool is_classified(const struct task_struct *p, const struct task_ctx *tctx, u32 slot)
{
	return tctx->generation == config_of(slot)->generation && tctx->css_set_at == (u64)p->cgroups &&
	       tctx->cgroup_id == p->cgroups->dfl_cgrp->kn->id && tctx->cgroup_generation == cgroup_generation;
}

static __always_inline void classify(struct task_struct *p, struct task_ctx *tctx, u32 slot)
{
	struct css_set *css_set = p->cgroups;
	u64 cgroup_id = css_set->dfl_cgrp->kn->id, generation = config_of(slot)->generation;

	if (is_classified(p, tctx, slot))
		return;
	tctx->cgroup_generation = cgroup_generation;
	tctx->css_set_at = (u64)css_set;
	/* Another queue's clock may be far from this one's. A task that stays keeps what it owes. */
	if (reclassify(slot, tctx, p->scx.weight, (p->flags & PF_KTHREAD) || is_our_own(p)))
		task_set_vtime(p, queue_ctx(tctx->class, tctx->llc)->vtime);
	tctx->generation = generation;
	tctx->cgroup_id = cgroup_id;
}

#endif
