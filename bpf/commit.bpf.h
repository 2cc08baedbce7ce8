/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Commit: one generation replaces another whole, or is refused whole.
 *
 * Userspace fills an idle slot (configs[slot] and its cgroup map), then runs this program. We check what
 * was written, derive the masks and each cpu's eligible layers, and only then publish the slot with one
 * store. Every step before that store touches idle memory, so a caller that dies half way leaves the old
 * generation; running it again is harmless.
 *
 * Tolerated race: with four slots, a slot is rewritten three commits after it was last active. An operation
 * that started then and still runs would see masks of two generations. The engine spaces commits by more
 * than a millisecond, an operation takes microseconds, and a task is never placed outside its own cpumask
 * whatever a layer's mask says, so the worst is one placement by the newer masks.
 */
#ifndef TEMPER_COMMIT_BPF_H
#define TEMPER_COMMIT_BPF_H

/*
 * Sets gathered while checking. Globals, because a value that lives in memory doesn't multiply the
 * verifier's states from one pass of a loop to the next. Only one commit runs at a time.
 */
u32 checked_ids, spilling_ids, owning_ids, served_ids;

/*
 * An owned cpu that protects serves its owner, and if the owner is only grouped also the system layer.
 * Any other cpu serves its owner and every layer that is not confined. An id left out (kind 0) counts as open.
 */
static __always_inline u32 eligible_on(struct temper_config *config, u32 owner)
{
	u32 bits;

	if (owner >= TEMPER_MAX_LAYERS)
		return spilling_ids;
	bits = 1U << owner;
	if (!config->layers[owner].protects)
		return bits | spilling_ids;
	if (config->layers[owner].kind != TEMPER_CONFINED)
		bits |= 1U << (config->system_layer % TEMPER_MAX_LAYERS);
	return bits;
}

static __always_inline u32 refuse(struct temper_commit *commit, u32 error, u32 culprit)
{
	commit->culprit = culprit;
	commit->error = error;
	return error;
}

static __noinline u32 check_rank(struct temper_config *config, u32 rank, struct temper_commit *commit)
{
	u32 id = config->order[rank % TEMPER_MAX_LAYERS];
	struct temper_layer *layer;

	if (id >= TEMPER_MAX_LAYERS || (checked_ids & (1U << id)))
		return refuse(commit, TEMPER_COMMIT_LAYER, id);
	checked_ids |= 1U << id;
	layer = &config->layers[id];
	if (layer->kind > TEMPER_OPEN || layer->rank != rank || layer->slice_us == 0)
		return refuse(commit, TEMPER_COMMIT_LAYER, id);
	return TEMPER_COMMIT_OK;
}

static __noinline u32 check_layers(struct temper_config *config, struct temper_commit *commit)
{
	u32 i;

	if (config->nr_layers == 0 || config->nr_layers > TEMPER_MAX_LAYERS)
		return refuse(commit, TEMPER_COMMIT_LAYER, TEMPER_MAX_LAYERS);
	if (config->default_layer >= TEMPER_MAX_LAYERS || config->layers[config->default_layer].kind != TEMPER_OPEN)
		return refuse(commit, TEMPER_COMMIT_LAYER, config->default_layer);
	if (config->system_layer >= TEMPER_MAX_LAYERS || config->layers[config->system_layer].kind != TEMPER_OPEN)
		return refuse(commit, TEMPER_COMMIT_LAYER, config->system_layer);
	checked_ids = spilling_ids = 0;
	bpf_for(i, 0, TEMPER_MAX_LAYERS) {
		if (i < config->nr_layers && check_rank(config, i, commit))
			return commit->error;
		if (config->layers[i].kind != TEMPER_CONFINED)
			spilling_ids |= 1U << i;
	}
	return TEMPER_COMMIT_OK;
}

static __noinline u32 check_cpu(struct temper_config *config, u32 cpu, struct temper_commit *commit)
{
	u32 index = cpu % TEMPER_MAX_CPUS, owner = config->owner[index];

	if (owner != TEMPER_OWNER_NONE) {
		if (owner >= TEMPER_MAX_LAYERS || config->layers[owner].kind == TEMPER_OPEN ||
		    config->layers[owner].kind == 0)
			return refuse(commit, TEMPER_COMMIT_OWNER, cpu);
		owning_ids |= 1U << owner;
	}
	config->eligible[index] = eligible_on(config, owner);
	served_ids |= config->eligible[index];
	return TEMPER_COMMIT_OK;
}

static __noinline u32 check_cpus(struct temper_config *config, struct temper_commit *commit)
{
	u32 cpu, i;

	owning_ids = served_ids = 0;
	bpf_for(cpu, 0, nr_cpus)
		if (check_cpu(config, cpu, commit))
			return commit->error;
	bpf_for(i, 0, TEMPER_MAX_LAYERS)
		if (config->layers[i].kind == TEMPER_CONFINED && !(owning_ids & (1U << i)))
			return refuse(commit, TEMPER_COMMIT_UNSERVED, i);
	/* An open cpu serves every id that is not confined: one is enough for all of them. */
	if (!(served_ids & (1U << (config->default_layer % TEMPER_MAX_LAYERS))))
		return refuse(commit, TEMPER_COMMIT_UNSERVED, config->default_layer);
	return TEMPER_COMMIT_OK;
}

/* The mask in map element `index`, made at its first use; NULL without memory. Needs the RCU read lock. */
static __always_inline struct bpf_cpumask *mask_at(u32 index)
{
	struct mask *mask = bpf_map_lookup_elem(&masks, &index);
	struct bpf_cpumask *made;

	if (!mask)
		return NULL;
	if (!mask->cpus) {
		made = bpf_cpumask_create();
		if (!made)
			return NULL;
		keep_mask(mask, made);
	}
	return mask->cpus;
}

/* Layer `layer`'s masks in an idle slot, rewritten in place. */
static __noinline int write_masks(u32 slot, u32 layer)
{
	u32 index = (slot * TEMPER_MAX_LAYERS + layer) * MASKS_PER_LAYER;
	struct temper_config *config = config_of(slot);
	struct bpf_cpumask *own, *all;
	int ret = -1;
	u32 cpu;

	bpf_rcu_read_lock();
	own = mask_at(index + MASK_OWN);
	all = mask_at(index + MASK_ALL);
	if (own && all) {
		bpf_cpumask_clear(own);
		bpf_cpumask_clear(all);
		config->llcs[layer % TEMPER_MAX_LAYERS] = 0;
		bpf_for(cpu, 0, nr_cpus) {
			if (config->owner[cpu % TEMPER_MAX_CPUS] == layer)
				bpf_cpumask_set_cpu(cpu, own);
			if (!may_use(config, cpu, layer))
				continue;
			bpf_cpumask_set_cpu(cpu, all);
			config->llcs[layer % TEMPER_MAX_LAYERS] |= 1ULL << llc_of(cpu);
		}
		ret = 0;
	}
	bpf_rcu_read_unlock();
	return ret;
}

/*
 * Cpus whose rules changed look again at once: foreign tasks leave, queues with a new home are served. Not the one that
 * runs this: whoever commits is about to sleep, and preempted here it would have to wait with its answer.
 */
static __noinline u32 kick_changed(u32 old_slot, u32 new_slot)
{
	struct temper_config *old = config_of(old_slot), *new = config_of(new_slot);
	u32 nr_kicked = 0, self = bpf_get_smp_processor_id(), cpu;

	bpf_for(cpu, 0, nr_cpus) {
		u32 index = cpu % TEMPER_MAX_CPUS;

		if (old->eligible[index] == new->eligible[index] || cpu == self)
			continue;
		scx_bpf_kick_cpu(cpu, KICK_PREEMPT);
		nr_kicked++;
	}
	return nr_kicked;
}

SEC("syscall")
int temper_commit(struct temper_commit *commit)
{
	u64 started_ns = bpf_ktime_get_ns();
	u32 slot = commit->slot, old_slot = active_slot(), layer;
	struct temper_config *config;

	commit->nr_kicked = 0;
	if (slot >= TEMPER_NR_SLOTS || (slot == old_slot && control.generation))
		return refuse(commit, TEMPER_COMMIT_SLOT_BUSY, slot);
	config = config_of(slot);
	if (config->generation <= control.generation)
		return refuse(commit, TEMPER_COMMIT_GENERATION, slot);
	if (check_layers(config, commit) || check_cpus(config, commit))
		return commit->error;
	bpf_for(layer, 0, TEMPER_MAX_LAYERS)
		if (write_masks(slot, layer))
			return refuse(commit, TEMPER_COMMIT_MEMORY, layer);
	control.generation = config->generation;
	__sync_lock_test_and_set(&control.active_slot, slot);
	commit->in_force_ns = bpf_ktime_get_ns();
	bpf_for(layer, 0, TEMPER_MAX_LAYERS)
		set_ceiling(layer, config->layers[layer].ceiling_millicpu, clock_ns());
	commit->nr_kicked = kick_changed(old_slot, slot);
	commit->error = TEMPER_COMMIT_OK;
	commit->elapsed_ns = bpf_ktime_get_ns() - started_ns;
	return 0;
}

#endif
