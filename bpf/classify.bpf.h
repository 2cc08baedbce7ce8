/* SPDX-License-Identifier: GPL-2.0-only */
/* Which layer a task belongs to. */
#ifndef TEMPER_CLASSIFY_BPF_H
#define TEMPER_CLASSIFY_BPF_H

/* The id of a cgroup's ancestor, `up` levels above it: itself at 0, 0 above the root. */
static __always_inline u64 ancestor_id(struct cgroup *cgroup, u32 up)
{
	int level = BPF_CORE_READ(cgroup, level) - (int)up;
	u64 offset = bpf_core_field_offset(struct cgroup, ancestors);
	struct cgroup *ancestor = NULL;

	if (level < 0)
		return 0;
	bpf_probe_read_kernel(&ancestor, sizeof(ancestor), (void *)cgroup + offset + 8 * level);
	return ancestor ? BPF_CORE_READ(ancestor, kn, id) : 0;
}

/* The nearest mapped ancestor's layer, the task's own cgroup first; the default layer when none is mapped. */
static __noinline u32 resolve_layer(u32 slot, struct cgroup *cgroup)
{
	u32 fallback = config_of(slot)->default_layer, i;
	void *cgroups = bpf_map_lookup_elem(&cgroup_slots, &slot);

	if (!cgroups)
		return fallback;
	bpf_for(i, 0, MAX_DEPTH) {
		u64 id = ancestor_id(cgroup, i);
		u32 *layer;

		if (!id)
			break;
		layer = bpf_map_lookup_elem(cgroups, &id);
		if (layer)
			return *layer;
	}
	return fallback;
}

/* The buckets of its cgroup's ancestors (quota.bpf.h), its own cgroup's first. */
static __noinline void resolve_chain(struct cgroup *cgroup, struct task_ctx *tctx)
{
	u32 i;

	tctx->nr_chain = 0;
	bpf_for(i, 0, MAX_DEPTH) {
		u64 id = ancestor_id(cgroup, i);
		u32 *index;

		if (!id || tctx->nr_chain >= MAX_CHAIN)
			break;
		index = bpf_map_lookup_elem(&quota_of, &id);
		if (index)
			tctx->chain[tctx->nr_chain++ % MAX_CHAIN] = *index;
	}
}

/* Resolve again only what changed since the last time: the generation, the task's cgroup, the set of quotas. */
static __always_inline void classify(struct task_struct *p, struct task_ctx *tctx, u32 slot)
{
	struct temper_config *config = config_of(slot);
	struct cgroup *cgroup = p->cgroups->dfl_cgrp;
	u64 cgroup_id = cgroup->kn->id;
	u64 generation = config->generation;
	u32 layer;

	if (tctx->quota_generation != quota_generation || tctx->cgroup_id != cgroup_id) {
		tctx->quota_generation = quota_generation;
		resolve_chain(cgroup, tctx);
	}
	if (tctx->generation == generation && tctx->cgroup_id == cgroup_id)
		return;
	if ((p->flags & PF_KTHREAD) || p->tgid == knobs.agent_tgid || p->tgid == knobs.engine_tgid)
		layer = config->system_layer;
	else
		layer = resolve_layer(slot, cgroup);
	/* Another layer's clock may be far from this one's. A task that stays keeps what it owes. */
	if (layer != tctx->layer || !tctx->generation)
		task_set_vtime(p, queue_ctx(layer, tctx->llc)->vtime);
	tctx->layer = layer;
	tctx->generation = generation;
	tctx->cgroup_id = cgroup_id;
}

#endif
