/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel types this scheduler touches, and of them only the fields it reads. CO-RE relocates each
 * access, so layouts may differ between kernels; field types must agree in kind with the kernel's own
 * (an enum has to be declared as that enum). Written by hand instead of generated: building needs clang
 * and libbpf's headers only, and the object stays small.
 */
#ifndef TEMPER_KERNEL_H
#define TEMPER_KERNEL_H

typedef signed char s8;
typedef unsigned char u8;
typedef unsigned short u16;
typedef int s32;
typedef unsigned int u32;
typedef long long s64;
typedef unsigned long long u64;
typedef _Bool bool;

typedef u8 uint8_t;
typedef u16 uint16_t;
typedef u32 uint32_t;
typedef u64 uint64_t;
typedef s32 int32_t;
typedef s64 int64_t;

/* Names that libbpf's headers expect. */
typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef s32 __s32;
typedef s64 __s64;
typedef u16 __be16;
typedef u32 __be32;
typedef u32 __wsum;

#define true 1
#define false 0
#define NULL ((void *)0)

enum {
	PF_EXITING = 0x4,
	SIGKILL_BIT = 1 << 8,
	SIGSTOP_BIT = 1 << 18,
	/* JOBCTL_STOP_PENDING, _TRAP_STOP, _TRAP_NOTIFY and _TRAP_FREEZE of include/linux/sched/jobctl.h. */
	JOBCTL_PENDING = 1 << 17 | 1 << 19 | 1 << 20 | 1 << 23,
	PF_KTHREAD = 0x200000,
};

enum bpf_map_kinds {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};

enum {
	BPF_F_NO_PREALLOC = 1,
	BPF_NOEXIST = 1,
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
	CLOCK_MONOTONIC = 1,
	BPF_CGROUP_ITER_DESCENDANTS_PRE = 2,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct cpumask {
	unsigned long bits[1];
};

typedef struct cpumask cpumask_t;

struct bpf_cpumask {
	cpumask_t cpumask;
};

struct kernfs_node {
	u64 id;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	unsigned int flags;
};

#define CSS_ONLINE (1 << 1) /* of a nameless enum, so it can't be asked for */

enum cgroup_subsys_id {
	cpu_cgrp_id,
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	int level;
	struct cgroup_subsys_state *subsys[1];
	struct cgroup *ancestors[];
};

struct cfs_bandwidth {
	s64 period;
	u64 quota;
	u64 burst;
};

struct task_group {
	int idle;
	struct cfs_bandwidth cfs_bandwidth;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct sched_ext_entity {
	u32 flags;
	u32 weight;
	u64 slice;
	u64 dsq_vtime;
};

struct sched_entity {
	u64 sum_exec_runtime;
};

typedef struct {
	unsigned long sig[1];
} sigset_t;

struct sigpending {
	sigset_t signal;
};

struct signal_struct {
	struct sigpending shared_pending;
};

struct task_struct {
	unsigned long jobctl;
	struct signal_struct *signal;
	struct sigpending pending;
	unsigned int flags;
	int pid;
	int tgid;
	int nr_cpus_allowed;
	unsigned short migration_disabled;
	int rcu_read_lock_nesting;
	const cpumask_t *cpus_ptr;
	struct css_set *cgroups;
	struct sched_entity se;
	struct sched_ext_entity scx;
};

enum scx_exit_kind {
	SCX_EXIT_NONE = 0,
};

struct scx_exit_info {
	enum scx_exit_kind kind;
	s64 exit_code;
	const char *reason;
	char *msg;
};

struct scx_cgroup_init_args {
	u64 bw_period_us;
	u64 bw_quota_us;
	u64 bw_burst_us;
	u32 weight;
	bool sched_idle;
};

struct scx_cpu_acquire_args {
};

struct scx_cpu_release_args {
};

struct scx_dump_ctx {
};

struct scx_init_task_args {
	bool fork;
};

struct bpf_iter_scx_dsq {
	u64 __opaque[6];
};

struct scx_bpf_dsq_insert_vtime_args {
	u64 dsq_id;
	u64 slice;
	u64 vtime;
	u64 enq_flags;
};

#pragma clang attribute pop

struct bpf_iter_css {
	u64 __opaque[3];
};

struct bpf_iter_num {
	u64 __opaque[1];
};

struct bpf_timer {
	u64 __opaque[2];
};

/* Values come from the running kernel's BTF; what stands here is only a name to relocate. */
enum scx_dsq_id_flags {
	SCX_DSQ_LOCAL = 1,
};

enum scx_enq_flags {
	SCX_ENQ_WAKEUP = 1,
	SCX_ENQ_CPU_SELECTED = 2,
	SCX_ENQ_PREEMPT = 3,
	SCX_ENQ_HEAD = 4,
	SCX_ENQ_LAST = 5,
};

enum scx_kick_flags {
	SCX_KICK_IDLE = 1,
	SCX_KICK_PREEMPT = 2,
};

enum scx_pick_idle_cpu_flags {
	SCX_PICK_IDLE_CORE = 1,
};

enum scx_ent_flags {
	SCX_TASK_QUEUED = 1,
};

enum scx_dsq_iter_flags {
	SCX_DSQ_ITER_REV = 1,
};

#define scx_enum(type, name) bpf_core_enum_value(enum type, name)

#define DSQ_ITER_REV scx_enum(scx_dsq_iter_flags, SCX_DSQ_ITER_REV)
#define DSQ_LOCAL scx_enum(scx_dsq_id_flags, SCX_DSQ_LOCAL)
#define ENQ_WAKEUP scx_enum(scx_enq_flags, SCX_ENQ_WAKEUP)
#define ENQ_HEAD scx_enum(scx_enq_flags, SCX_ENQ_HEAD)
#define ENQ_PREEMPT scx_enum(scx_enq_flags, SCX_ENQ_PREEMPT)
#define ENQ_LAST scx_enum(scx_enq_flags, SCX_ENQ_LAST)
#define KICK_IDLE scx_enum(scx_kick_flags, SCX_KICK_IDLE)
#define KICK_PREEMPT scx_enum(scx_kick_flags, SCX_KICK_PREEMPT)
#define PICK_IDLE_CORE scx_enum(scx_pick_idle_cpu_flags, SCX_PICK_IDLE_CORE)
#define TASK_QUEUED scx_enum(scx_ent_flags, SCX_TASK_QUEUED)

/* The operations we implement; libbpf matches members by name with the kernel's own structure. */
struct sched_ext_ops {
	s32 (*select_cpu)(struct task_struct *p, s32 prev_cpu, u64 wake_flags);
	void (*enqueue)(struct task_struct *p, u64 enq_flags);
	void (*dispatch)(s32 cpu, struct task_struct *prev);
	void (*running)(struct task_struct *p);
	void (*stopping)(struct task_struct *p, bool runnable);
	void (*tick)(struct task_struct *p);
	bool (*yield)(struct task_struct *from, struct task_struct *to);
	void (*cpu_acquire)(s32 cpu, struct scx_cpu_acquire_args *args);
	void (*cpu_release)(s32 cpu, struct scx_cpu_release_args *args);
	void (*dump)(struct scx_dump_ctx *ctx);
	void (*dump_task)(struct scx_dump_ctx *ctx, struct task_struct *p);
	s32 (*cgroup_init)(struct cgroup *cgrp, struct scx_cgroup_init_args *args);
	void (*cgroup_exit)(struct cgroup *cgrp);
	void (*cgroup_set_weight)(struct cgroup *cgrp, u32 weight);
	void (*cgroup_set_idle)(struct cgroup *cgrp, bool idle);
	void (*cgroup_set_bandwidth)(struct cgroup *cgrp, u64 period_us, u64 quota_us, u64 burst_us);
	void (*set_weight)(struct task_struct *p, u32 weight);
	void (*disable)(struct task_struct *p);
	s32 (*init_task)(struct task_struct *p, struct scx_init_task_args *args);
	s32 (*init)(void);
	void (*exit)(struct scx_exit_info *info);
	u64 flags;
	u32 timeout_ms;
	u64 hotplug_seq;
	char name[128];
};

#endif
