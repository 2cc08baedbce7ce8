/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cpu.weight: how fast a task's virtual time goes.
 *
 * The tasks of a layer wait in one queue by virtual time, so a cgroup's share is not a queue of its own but a price: a
 * nanosecond of running moves a task's virtual time by 1 / (its part of the layer), where its part is the product, up
 * the tree, of weight / (the weights of all siblings with tasks in the same layer), and in its own cgroup its weight
 * (nice) among the runnable tasks. The parts of a layer's runnable tasks add up to one. So pods share by their weights
 * whatever their thread counts, containers inside a pod likewise, and a queue's clock runs as fast as cpus serve it.
 *
 * How many tasks of a cgroup are runnable is counted as they wake and sleep, one addition each. Who has tasks in which
 * layer, further up, is looked at by the service timer, and only while somebody waits: a cgroup that appears between
 * two looks pays as if it were alone until the next one (SERVICE_FULL_EVERY).
 *
 * Kernel threads and our own two processes are in no cgroup's share: they pay by their nice level alone.
 */
#ifndef TEMPER_SHARES_BPF_H
#define TEMPER_SHARES_BPF_H

static __always_inline struct share *share_at(u32 index)
{
	return &shares[index % MAX_SHARES];
}

/* Its price now, in PRICE_ONE per nanosecond. */
static __always_inline u32 price(u32 task_weight, const struct task_ctx *tctx)
{
	struct share *share = share_at(tctx->share);
	u64 weight = task_weight ?: 1, all = WEIGHT_DEFAULT, up = PRICE_ONE;

	if (tctx->share) {
		all = *(volatile u32 *)&share->tasks_weight + share->children_weight;
		if (all < weight)
			all = weight; /* it is not counted yet */
		up = share->price;
	}
	up = up * all / weight;
	return up < PRICE_MAX ? up : PRICE_MAX;
}

/* It is runnable, and competes in its cgroup. */
static __always_inline void compete(u32 weight, struct task_ctx *tctx)
{
	if (tctx->competing || !tctx->share)
		return;
	tctx->competing = weight ?: 1;
	__sync_fetch_and_add(&share_at(tctx->share)->tasks_weight, tctx->competing);
}

static __always_inline void stop_competing(struct task_ctx *tctx)
{
	if (!tctx->competing)
		return;
	__sync_fetch_and_sub(&share_at(tctx->share)->tasks_weight, tctx->competing);
	tctx->competing = 0;
}

/* Its cgroup is another one now, or its layer is. */
static __always_inline void join_share(u32 weight, struct task_ctx *tctx, u32 index)
{
	struct share *share = share_at(index);

	if (tctx->share != index) {
		bool competed = tctx->competing;

		stop_competing(tctx);
		tctx->share = index;
		if (competed)
			compete(weight, tctx);
	}
	if (share->layer != tctx->layer)
		share->layer = tctx->layer;
	tctx->price = price(weight, tctx);
}

/* Does its cgroup, or one above it, run only when nothing else would? */
__noinline bool is_share_idle(u32 index)
{
	u32 i;

	bpf_for(i, 0, MAX_DEPTH) {
		struct share *share = share_at(index);

		if (!index)
			break;
		if (share->idle)
			return true;
		index = share->parent;
	}
	return false;
}

/* A cgroup comes to be: its parent did before it. Without room its tasks pay by their nice level alone. */
static __noinline int add_share(u64 cgroup_id, u64 parent_id, u32 weight, bool idle)
{
	u32 *parent = bpf_map_lookup_elem(&share_of, &parent_id), i;

	bpf_for(i, 1, MAX_SHARES) {
		u32 index = (last_share + i) % MAX_SHARES;
		struct share *share = share_at(index);

		if (!index || *(volatile u64 *)&share->cgroup_id ||
		    !__sync_bool_compare_and_swap(&share->cgroup_id, 0, cgroup_id))
			continue;
		share->tasks_weight = share->children_weight = 0;
		share->price = PRICE_ONE;
		share->weight = weight;
		share->idle = idle;
		share->parent = parent ? *parent : 0;
		last_share = index;
		if (index >= nr_shares)
			nr_shares = index + 1;
		bpf_map_update_elem(&share_of, &cgroup_id, &index, 0);
		return 0;
	}
	__sync_fetch_and_add(&no_room.shares, 1);
	return 0;
}

/* A cgroup's, or NULL where there was no room for it. */
static __always_inline struct share *find_share(u64 cgroup_id)
{
	u32 *index = bpf_map_lookup_elem(&share_of, &cgroup_id);

	return index ? share_at(*index) : NULL;
}

static __always_inline void remove_share(u64 cgroup_id)
{
	struct share *share = find_share(cgroup_id);

	if (!share)
		return;
	share->cgroup_id = 0;
	bpf_map_delete_elem(&share_of, &cgroup_id);
}

static __always_inline void set_weight(u64 cgroup_id, u32 weight)
{
	struct share *share = find_share(cgroup_id);

	if (share)
		share->weight = weight;
}

static __always_inline void set_idle(struct share *share, bool idle)
{
	if (!share || share->idle == idle)
		return;
	share->idle = idle;
	__sync_fetch_and_add(&cgroup_generation, 1);
}

/* Begin a look: nobody is known to have tasks anywhere. */
__noinline int forget_actives(u32 nr)
{
	u32 i;

	bpf_for(i, 0, nr) {
		struct share_look *look = &share_looks[i % MAX_SHARES];

		if (look->active)
			__builtin_memset(look, 0, sizeof(*look));
	}
	return 0;
}

/* Tell each ancestor of a cgroup with tasks in a layer, up to the first that knows, of its child's weight. */
__noinline int climb(u32 index, u32 layer)
{
	u32 bit = 1U << (layer % TEMPER_MAX_LAYERS), i;

	bpf_for(i, 0, MAX_DEPTH) {
		struct share *share = share_at(index);
		struct share_look *look = &share_looks[index % MAX_SHARES];

		if (look->active & bit)
			break;
		look->active |= bit;
		if (!share->parent)
			break;
		index = share->parent;
		look = &share_looks[index % MAX_SHARES];
		look->children_weight[layer % TEMPER_MAX_LAYERS] += share->weight;
		/* So that it is cleared, should the ancestor be one that nobody climbs to. */
		look->active |= 1U << 31;
	}
	return 0;
}

/* What the tasks of a cgroup pay before its own share is divided among them. */
__noinline u64 price_up(u32 index, u32 layer)
{
	u64 up = PRICE_ONE;
	u32 i;

	bpf_for(i, 0, MAX_DEPTH) {
		struct share *share = share_at(index), *parent = share_at(share->parent);
		u64 all;

		if (!share->parent)
			break;
		all = share_looks[share->parent % MAX_SHARES].children_weight[layer % TEMPER_MAX_LAYERS];
		if (parent->layer == layer)
			all += *(volatile u32 *)&parent->tasks_weight;
		up = up * all / (share->weight ?: 1);
		if (up > PRICE_MAX)
			up = PRICE_MAX;
		index = share->parent;
	}
	return up < PRICE_ONE ? PRICE_ONE : up;
}

__noinline int look_at_shares(void)
{
	u32 nr = nr_shares, i;

	forget_actives(nr);
	bpf_for(i, 0, nr) {
		struct share *share = share_at(i);

		if (!share->cgroup_id || (!*(volatile u32 *)&share->tasks_weight && !share->ran))
			continue;
		climb(i, share->layer);
	}
	bpf_for(i, 0, nr) {
		struct share *share = share_at(i);
		u32 layer = share->layer % TEMPER_MAX_LAYERS;

		share->ran = 0;
		if (!(share_looks[i % MAX_SHARES].active & (1U << layer)))
			continue;
		share->children_weight = share_looks[i % MAX_SHARES].children_weight[layer];
		share->price = price_up(i, layer);
	}
	return 0;
}

#endif
