/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cpu.max and cpu.idle on kernels that don't tell a scheduler of them (before 6.17 and 6.19): the engine has this
 * program look at every cgroup once a beat, a read or two each. Elsewhere it is not loaded.
 */
#ifndef TEMPER_CGROUP_POLL_BPF_H
#define TEMPER_CGROUP_POLL_BPF_H

/* The cgroup's part of the cpu controller, or NULL where that is not enabled. */
static __always_inline struct task_group *cpu_controller(const struct cgroup *cgroup)
{
	u64 offset = bpf_core_field_offset(struct cgroup, subsys);
	struct task_group *group = NULL;

	offset += sizeof(group) * bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id);
	bpf_probe_read_kernel(&group, sizeof(group), (void *)cgroup + offset); /* css is its first member */
	return group;
}

/* As a write to cpu.max would have, if it is another one than the one in force. */
static __always_inline void poll_quota(u64 cgroup_id, const struct task_group *group)
{
	struct temper_quota *q;
	u64 period_us, quota_us, burst_us;
	u32 *known;

	if (!bpf_core_field_exists(group->cfs_bandwidth.quota))
		return; /* a kernel without cpu.max */
	period_us = (u64)BPF_CORE_READ(group, cfs_bandwidth.period) / NSEC_PER_USEC;
	quota_us = BPF_CORE_READ(group, cfs_bandwidth.quota) / NSEC_PER_USEC;
	burst_us = BPF_CORE_READ(group, cfs_bandwidth.burst) / NSEC_PER_USEC;
	known = bpf_map_lookup_elem(&quota_of, &cgroup_id);
	if (known) {
		q = &quotas[*known % TEMPER_MAX_QUOTAS];
		if (q->period_ns == period_us * NSEC_PER_USEC && q->burst_ns == burst_us * NSEC_PER_USEC &&
		    q->quota_ns == usable_quota_ns(period_us, quota_us))
			return;
	}
	set_quota(cgroup_id, period_us, quota_us, burst_us);
}

static __always_inline void poll_cgroup(const struct cgroup *cgroup)
{
	const struct task_group *group = cpu_controller(cgroup);
	u64 cgroup_id = BPF_CORE_READ(cgroup, kn, id);
	struct share *share = find_share(cgroup_id);

	/* Without the controller a cgroup has no part of its own, and the kernel never told of it. */
	if (!group || !share)
		return;
	poll_quota(cgroup_id, group);
	set_idle(share, bpf_core_field_exists(group->idle) && BPF_CORE_READ(group, idle));
}

SEC("?syscall")
int temper_poll_cgroups(void *ctx)
{
	struct cgroup_subsys_state *css;
	struct cgroup *root;

	bpf_rcu_read_lock();
	root = bpf_cgroup_ancestor(bpf_get_current_task_btf()->cgroups->dfl_cgrp, 0);
	if (root) {
		bpf_for_each(css, css, &root->self, BPF_CGROUP_ITER_DESCENDANTS_PRE)
			poll_cgroup(css->cgroup);
		bpf_cgroup_release(root);
	}
	bpf_rcu_read_unlock();
	return 0;
}

#endif
