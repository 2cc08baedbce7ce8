/* SPDX-License-Identifier: GPL-2.0-only */
/* Which layer a task belongs to. */
#ifndef TEMPER_CLASSIFY_BPF_H
#define TEMPER_CLASSIFY_BPF_H

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

static __noinline void resolve_chain(struct cgroup *cgroup, struct task_ctx *tctx);

/* Resolve again only when the generation, the task's cgroup or the set of quotas changed since the last time. */
static __always_inline void classify(struct task_struct *p, struct task_ctx *tctx, u32 slot)
{
	struct temper_config *config = config_of(slot);
	struct cgroup *cgroup = p->cgroups->dfl_cgrp;
	u64 cgroup_id = cgroup->kn->id;
	u64 generation = config->generation;
	u32 layer;

	if (tctx->generation == generation && tctx->cgroup_id == cgroup_id &&
	    tctx->quota_generation == quota_generation)
		return;
	tctx->quota_generation = quota_generation;
	resolve_chain(cgroup, tctx);
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
