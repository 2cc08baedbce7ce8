/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel functions, and every difference between kernels. We probe for the function or the type, never
 * for a version. libbpf strips one ___suffix from an extern before it looks the name up, so each variant
 * of one function carries a suffix of its own, and names that end in ___v2 in the kernel carry two.
 */
#ifndef TEMPER_COMPAT_H
#define TEMPER_COMPAT_H

#define __ksym_weak __ksym __weak

#define BPF_STRUCT_OPS(name, args...) \
	SEC("struct_ops/" #name)      \
	BPF_PROG(name, ##args)
#define BPF_STRUCT_OPS_SLEEPABLE(name, args...) \
	SEC("struct_ops.s/" #name)              \
	BPF_PROG(name, ##args)

s32 scx_bpf_create_dsq(u64 dsq_id, s32 node) __ksym;
s32 scx_bpf_dsq_nr_queued(u64 dsq_id) __ksym;
s32 scx_bpf_pick_idle_cpu(const cpumask_t *cpus_allowed, u64 flags) __ksym;
bool scx_bpf_test_and_clear_cpu_idle(s32 cpu) __ksym;
const struct cpumask *scx_bpf_get_idle_smtmask(void) __ksym;
void scx_bpf_put_idle_cpumask(const struct cpumask *mask) __ksym;
void scx_bpf_kick_cpu(s32 cpu, u64 flags) __ksym;
s32 scx_bpf_task_cpu(const struct task_struct *p) __ksym;
void scx_bpf_dump_bstr(char *fmt, unsigned long long *data, u32 data__sz) __ksym;
void scx_bpf_exit_bstr(s64 exit_code, char *fmt, unsigned long long *data, u32 data__sz) __ksym;

struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
void bpf_cpumask_release(struct bpf_cpumask *cpumask) __ksym;
void bpf_cpumask_clear(struct bpf_cpumask *cpumask) __ksym;
void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *cpumask) __ksym;
void bpf_cpumask_clear_cpu(u32 cpu, struct bpf_cpumask *cpumask) __ksym;
bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *cpumask) __ksym;
bool bpf_cpumask_and(struct bpf_cpumask *dst, const struct cpumask *src1, const struct cpumask *src2) __ksym;
bool bpf_cpumask_intersects(const struct cpumask *src1, const struct cpumask *src2) __ksym;
u32 bpf_cpumask_any_and_distribute(const struct cpumask *src1, const struct cpumask *src2) __ksym;

struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;
void bpf_rcu_read_lock(void) __ksym;
void bpf_rcu_read_unlock(void) __ksym;

struct cgroup *bpf_cgroup_ancestor(struct cgroup *cgrp, int level) __ksym;
void bpf_cgroup_release(struct cgroup *cgrp) __ksym;
int bpf_iter_css_new(struct bpf_iter_css *it, struct cgroup_subsys_state *start, unsigned int flags) __ksym;
struct cgroup_subsys_state *bpf_iter_css_next(struct bpf_iter_css *it) __ksym;
void bpf_iter_css_destroy(struct bpf_iter_css *it) __ksym;

int bpf_iter_scx_dsq_new(struct bpf_iter_scx_dsq *it, u64 dsq_id, u64 flags) __ksym;
struct task_struct *bpf_iter_scx_dsq_next(struct bpf_iter_scx_dsq *it) __ksym;
void bpf_iter_scx_dsq_destroy(struct bpf_iter_scx_dsq *it) __ksym;

/* Insert: bool scx_bpf_dsq_insert___v2 since 6.19, void scx_bpf_dsq_insert since 6.13, scx_bpf_dispatch in 6.12. */
bool scx_bpf_dsq_insert___v2___new(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym_weak;
void scx_bpf_dsq_insert___old(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym_weak;
void scx_bpf_dispatch___old(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym_weak;

static __always_inline void dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice_ns, u64 enq_flags)
{
	if (bpf_ksym_exists(scx_bpf_dsq_insert___v2___new))
		scx_bpf_dsq_insert___v2___new(p, dsq_id, slice_ns, enq_flags);
	else if (bpf_ksym_exists(scx_bpf_dsq_insert___old))
		scx_bpf_dsq_insert___old(p, dsq_id, slice_ns, enq_flags);
	else
		scx_bpf_dispatch___old(p, dsq_id, slice_ns, enq_flags);
}

/* Insert by vtime: an argument structure since 6.19, five arguments since 6.13, another name in 6.12. */
bool __scx_bpf_dsq_insert_vtime(struct task_struct *p, struct scx_bpf_dsq_insert_vtime_args *args) __ksym_weak;
void scx_bpf_dsq_insert_vtime___old(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags) __ksym_weak;
void scx_bpf_dispatch_vtime___old(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags) __ksym_weak;

static __always_inline void dsq_insert_vtime(struct task_struct *p, u64 dsq_id, u64 slice_ns, u64 vtime, u64 enq_flags)
{
	if (bpf_core_type_exists(struct scx_bpf_dsq_insert_vtime_args)) {
		struct scx_bpf_dsq_insert_vtime_args args = {
			.dsq_id = dsq_id,
			.slice = slice_ns,
			.vtime = vtime,
			.enq_flags = enq_flags,
		};

		__scx_bpf_dsq_insert_vtime(p, &args);
	} else if (bpf_ksym_exists(scx_bpf_dsq_insert_vtime___old)) {
		scx_bpf_dsq_insert_vtime___old(p, dsq_id, slice_ns, vtime, enq_flags);
	} else {
		scx_bpf_dispatch_vtime___old(p, dsq_id, slice_ns, vtime, enq_flags);
	}
}

/* Take the head that may run here: a second argument since 7.1, this name since 6.13, scx_bpf_consume in 6.12. */
bool scx_bpf_dsq_move_to_local___v2___new(u64 dsq_id, u64 enq_flags) __ksym_weak;
bool scx_bpf_dsq_move_to_local___old(u64 dsq_id) __ksym_weak;
bool scx_bpf_consume___old(u64 dsq_id) __ksym_weak;

static __always_inline bool dsq_move_to_local(u64 dsq_id)
{
	if (bpf_ksym_exists(scx_bpf_dsq_move_to_local___v2___new))
		return scx_bpf_dsq_move_to_local___v2___new(dsq_id, 0);
	if (bpf_ksym_exists(scx_bpf_dsq_move_to_local___old))
		return scx_bpf_dsq_move_to_local___old(dsq_id);
	return scx_bpf_consume___old(dsq_id);
}

/* Move one task found by iteration: this name since 6.13, scx_bpf_dispatch_from_dsq in 6.12. */
bool scx_bpf_dsq_move___new(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id, u64 enq_flags) __ksym_weak;
bool scx_bpf_dispatch_from_dsq___old(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id,
				     u64 enq_flags) __ksym_weak;

void scx_bpf_dsq_move_set_slice___new(struct bpf_iter_scx_dsq *it, u64 slice) __ksym_weak;
void scx_bpf_dispatch_from_dsq_set_slice___old(struct bpf_iter_scx_dsq *it, u64 slice) __ksym_weak;

static __always_inline bool dsq_move(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id, u64 slice_ns)
{
	if (bpf_ksym_exists(scx_bpf_dsq_move___new)) {
		scx_bpf_dsq_move_set_slice___new(it, slice_ns);
		return scx_bpf_dsq_move___new(it, p, dsq_id, 0);
	}
	scx_bpf_dispatch_from_dsq_set_slice___old(it, slice_ns);
	return scx_bpf_dispatch_from_dsq___old(it, p, dsq_id, 0);
}

/* The same into a queue by vtime; the iterator takes the vtime first. */
bool scx_bpf_dsq_move_vtime___new(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id,
				  u64 enq_flags) __ksym_weak;
bool scx_bpf_dispatch_vtime_from_dsq___old(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id,
					   u64 enq_flags) __ksym_weak;
void scx_bpf_dsq_move_set_vtime___new(struct bpf_iter_scx_dsq *it, u64 vtime) __ksym_weak;
void scx_bpf_dispatch_from_dsq_set_vtime___old(struct bpf_iter_scx_dsq *it, u64 vtime) __ksym_weak;

static __always_inline bool dsq_move_vtime(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id, u64 vtime)
{
	if (bpf_ksym_exists(scx_bpf_dsq_move_vtime___new)) {
		scx_bpf_dsq_move_set_vtime___new(it, vtime);
		return scx_bpf_dsq_move_vtime___new(it, p, dsq_id, 0);
	}
	scx_bpf_dispatch_from_dsq_set_vtime___old(it, vtime);
	return scx_bpf_dispatch_vtime_from_dsq___old(it, p, dsq_id, 0);
}

/* From inside cpu_release: a count to be returned until it became void in 6.19. */
void scx_bpf_reenqueue_local___v2___new(void) __ksym_weak;
u32 scx_bpf_reenqueue_local___old(void) __ksym_weak;

static __always_inline void reenqueue_local(void)
{
	if (bpf_ksym_exists(scx_bpf_reenqueue_local___v2___new))
		scx_bpf_reenqueue_local___v2___new();
	else
		scx_bpf_reenqueue_local___old();
}

/*
 * The runqueue's clock, already read, since 6.14. Not monotonic from one cpu to another: see elapsed_ns(). Nor is it
 * CLOCK_MONOTONIC, which NTP slews away from it by seconds in a day: never compare the two.
 */
u64 scx_bpf_now(void) __ksym_weak;

static __always_inline u64 clock_ns(void)
{
	return bpf_ksym_exists(scx_bpf_now) ? scx_bpf_now() : bpf_ktime_get_ns();
}

/* From an instant that perhaps another cpu took: a clock that is behind that one's has seen no time pass. */
static __always_inline u64 elapsed_ns(u64 now_ns, u64 since_ns)
{
	return now_ns > since_ns ? now_ns - since_ns : 0;
}

/* Slice and vtime are written through functions since 6.19, by plain stores before. */
bool scx_bpf_task_set_slice___new(struct task_struct *p, u64 slice) __ksym_weak;
bool scx_bpf_task_set_dsq_vtime___new(struct task_struct *p, u64 vtime) __ksym_weak;

static __always_inline void task_set_slice(struct task_struct *p, u64 slice_ns)
{
	if (bpf_ksym_exists(scx_bpf_task_set_slice___new))
		scx_bpf_task_set_slice___new(p, slice_ns);
	else
		p->scx.slice = slice_ns;
}

static __always_inline void task_set_vtime(struct task_struct *p, u64 vtime)
{
	if (bpf_ksym_exists(scx_bpf_task_set_dsq_vtime___new))
		scx_bpf_task_set_dsq_vtime___new(p, vtime);
	else
		p->scx.dsq_vtime = vtime;
}

/* SCX_ENQ_CPU_SELECTED since 6.13: before it, assume that select_cpu ran unless the task could not move. */
static __always_inline bool enq_cpu_selected(const struct task_struct *p, u64 enq_flags)
{
	if (bpf_core_enum_value_exists(enum scx_enq_flags, SCX_ENQ_CPU_SELECTED))
		return enq_flags & scx_enum(scx_enq_flags, SCX_ENQ_CPU_SELECTED);
	return (enq_flags & ENQ_WAKEUP) && p->nr_cpus_allowed > 1;
}

/* p->migration_disabled needs CONFIG_SMP; kernels from 6.18 on always have it. */
static __always_inline bool task_cannot_move(const struct task_struct *p)
{
	if (p->nr_cpus_allowed == 1)
		return true;
	if (!bpf_core_field_exists(p->migration_disabled))
		return false;
	/* Every BPF program disables migration of the task it interrupts: one, for the current task, is ours. */
	if (p->migration_disabled == 1)
		return bpf_get_current_task_btf() != p;
	return p->migration_disabled;
}

#endif
