/* SPDX-License-Identifier: GPL-2.0-only */
/* The scheduler's state: knobs, generations, per-cpu and per-task records, and how to reach them. */
#ifndef TEMPER_STATE_BPF_H
#define TEMPER_STATE_BPF_H

/* Defaults make the object load on its own, under veristat for example. */
const volatile struct temper_knobs knobs SEC(".rodata.knobs") = {
	.nr_cpus = 1,
	.nr_llcs = 1,
};

#define nr_cpus (knobs.nr_cpus)
#define nr_llcs (knobs.nr_llcs)

enum {
	NSEC_PER_USEC = 1000,
	NSEC_PER_MSEC = 1000 * 1000,

	/*
	 * The service timer's period: bounds how long a task may wait beside a cpu that went idle meanwhile; five of
	 * them for one that may use some cpus only.
	 */
	SERVICE_PERIOD_NS = 20 * NSEC_PER_MSEC,
	SERVICE_FULL_EVERY = 5, /* periods from one look through every queue to the next */
	/*
	 * Every queue is turned over in about this time, however long it is and whatever outranks it: slices
	 * shrink as a queue grows, a layer that is outranked gets a turn, a guest's pause ends.
	 */
	TURN_NS = 1000 * NSEC_PER_MSEC,
	SHORT_SLICE_NS = NSEC_PER_MSEC, /* of guests, of turns, and the least that a long queue shrinks to */
	/* A task that waited this long, past what the turns give, is moved to a guest queue. */
	RESCUE_AGE_NS = 1500 * NSEC_PER_MSEC,
	SHARE_AGE_NS = 2000 * NSEC_PER_MSEC, /* ... who only waits for its own layer: so light a share ends here */
	/*
	 * In a queue of over CROWD tasks who waited so long, or at random half as long, gets no slice: it looks in. A
	 * tick for each would take longer than the watchdog waits.
	 */
	CROWD_AGE_NS = 2100 * NSEC_PER_MSEC,
	CROWD = 500,
	/* Of more tasks than this the turns take over an eighth: a tick of each in TURN_NS. */
	TURN_MOST = TURN_NS / 8 / TICK_NS,
	LOOK_BATCH = 64,  /* tasks looked at per queue and look */
	LOOK_ALL = 16384, /* ... in the look that follows a commit */
	/*
	 * A cpu that a higher class had for seven eighths of so many looks (100 ms each) is nobody's home, whatever it
	 * leaves us of it. Real-time tasks that come and go, at every tick too, are no hogs.
	 */
	HOG_LOOKS = 5,
	HOG_LOOKS_MAX = 10,
	HOG_LOOK_NS = 80 * NSEC_PER_MSEC, /* a look that a commit brought on is none */
	/* Having run one guest, a cpu with work of its own serves none for seven times as long: an eighth. */
	GUEST_PAUSE_FACTOR = 7,
	GUEST_PAUSE_MAX_NS = 100 * NSEC_PER_MSEC,
	/* So many that they come more often, they get a quarter all the same: see charge_guest. */
	GUEST_FULL_FACTOR = 3,
	TURN_CHECK_NS = NSEC_PER_MSEC, /* a cpu looks for outranked layers this often */
	/*
	 * How far behind its queue's clock a task may be queued, in virtual time; and ahead of it, for each cpu: the
	 * clock of a layer that gets every cpu goes that fast (shares.bpf.h), so this is a second's wait.
	 */
	VTIME_LAG_NS = 100 * NSEC_PER_MSEC,
	VTIME_AHEAD_NS = 1000 * NSEC_PER_MSEC,
	/* A wake-up looks at this many cpus for one to take, and takes one cpu at most once per millisecond. */
	SEEK_PROBES = 8,
	PREEMPT_INTERVAL_NS = NSEC_PER_MSEC,
	RANK_NONE = 255,
	RANK_IDLE = 254, /* of an idle cgroup: whoever wakes may have its cpu */
	YIELDS_PER_SLICE = 4,
	/* A queue is no longer asked once it was empty and nothing was put there for this long. */
	QUEUE_HINT_NS = NSEC_PER_MSEC,
	CEILING_PERIOD_NS = 20 * NSEC_PER_MSEC,
	/* While something is parked, or was within PARK_QUIET_NS, refills are looked for this often. */
	QUOTA_PERIOD_NS = 2 * NSEC_PER_MSEC,
	/* ... and at the very moment, unless they are so many: who begins late has two quotas in one period. */
	EXACT_REFILLS = 16,
	EXACT_AFTER_NS = NSEC_PER_MSEC / 50, /* clocks of a timer and of a cpu are not the same to the microsecond */
	EXACT_LEAST_NS = NSEC_PER_MSEC / 4,  /* short periods out of step with each other make no storm of timers */
	PARK_QUIET_NS = 2000 * NSEC_PER_MSEC,
	/* ... and every parked task is looked at this often: nothing tells that one is called. */
	CALLED_PERIOD_NS = 40 * NSEC_PER_MSEC,
	CALLED_BATCH = 96, /* ... of so many buckets at a time: hundreds that are throttled at once take turns */
	/* A cpu that parks a task may be held up for so long (a stolen virtual cpu) before the task is in the queue. */
	PARKING_MOST_NS = 100 * NSEC_PER_MSEC,
	/* Ancestors looked at to find a task's layer. Kubernetes nests about 6 deep, kind about 9. */
	MAX_DEPTH = 16,
	MAX_SHARES = 8192, /* cgroups with a cpu.weight: their number is this machine's, not the plan's */
	WEIGHT_DEFAULT = 100,
	PRICE_ONE = 1 << 10,
	PRICE_MAX = 1 << 24,
	MAX_CLASSES = 2 * TEMPER_MAX_LAYERS,
	MAX_SIBLINGS = 8, /* hardware threads of one core: POWER's SMT8 is the most there is */
	/* Running time and queue time are sampled by different cpus' clocks; more than this is a phantom. */
	MAX_DELTA_NS = 1000 * NSEC_PER_MSEC,
};

/*
 * Dispatch queues. Two per layer and last-level cache, by virtual time: the second (of class layer + TEMPER_MAX_LAYERS)
 * is that of idle cgroups, served when nothing else is there, and in its turn. Per cpu, first in first out: one for
 * guests (tasks that can run nowhere where their layer may, and tasks that waited past the bound), and one for its own
 * kernel threads that used up a slice. Made once, never destroyed.
 */
#define DSQ_LAYER(class, llc) (0x10000ULL + (class) * TEMPER_MAX_LLCS + (llc))
#define DSQ_GUEST(cpu) (0x20000ULL + (cpu))
#define DSQ_KTHREAD(cpu) (0x30000ULL + (cpu))
#define DSQ_PARK(quota) (0x40000ULL + (quota)) /* tasks whose cgroup has used up its cpu.max */

/* Each shared structure is a section, so a map, of its own: the engine finds it by name and checks its size. */
struct temper_control control SEC(".data.control");
struct temper_config configs[TEMPER_NR_SLOTS] SEC(".data.configs");
struct temper_exit exit_record SEC(".data.exit");
struct temper_quota quotas[TEMPER_MAX_QUOTAS] SEC(".data.quotas");
struct temper_no_room no_room SEC(".data.no_room");

struct cpu_ctx {
	u64 guest_next_ns;   /* no guest before this while there is other work */
	u64 guest_full_ns;   /* before this, guests have had their quarter: who is due only looks in if others wait */
	u64 turn_checked_ns; /* when this cpu last looked for outranked layers */
	u64 turn_ns;	     /* ... and when it gave one a turn */
	u64 turn_full_ns;    /* before this, they have had their eighth: whose turn it is only looks in */
	u64 preempted_ns;    /* when a wake-up last took this cpu */
	u64 guest_hint_ns;   /* when a guest was last put here; 0: there is none (queues.bpf.h) */
	u64 released_ns;     /* since when a higher class (real-time, deadline) has it; 0: it is ours */
	u64 kept_ns;	     /* for how long one had it, in all, until it was last given back */
	u64 judged_ns;	     /* the last look at that, and how long it was then */
	u64 judged_kept_ns;
	u64 kthread_hint_ns; /* the same of its own kernel threads */
	s32 turn_pid;	     /* whose turn it was, until the next dispatch: a change of policy does not end it */
	u8 layer;	     /* of the running task */
	u8 rank;	     /* RANK_NONE between two tasks, when idle or not ours: no victim */
	u8 preempts;	     /* the running task is itself of a preempting layer */
	u8 guest;	     /* the running task is a guest here */
	u8 looks_in;	     /* the running task was told to end at once */
	u8 next_leaves;	     /* the guest that runs here next will be */
	u8 exclusive;	     /* the running task's core is its layer's alone */
	u8 turn_of;	     /* the layer whose turn was taken, plus one; its next task here runs a short slice */
	u8 turn_limited;     /* ... and it is one of many while others of higher ranks wait */
	u8 turn_failed;	     /* the class, plus one, whose turn it was, and none of whose tasks may run here */
	u8 hog_looks;	     /* how often it was found kept by a higher class of late */
	u8 hogged;	     /* a higher class has it for good, as far as anybody can tell */
	u8 guest_deferred;   /* its guests wait for a pause to end, and nobody else will wake it for them */
	u8 first_waiting;    /* the rank at which the look for a task to run begins */
	u8 hurry;	     /* the rank, plus one, from which on whoever runs here ends at the next tick */
} __attribute__((aligned(64)));

struct cpu_ctx cpu_ctxs[TEMPER_MAX_CPUS];
u32 nr_hogged;

/*
 * A class's queue at one cache. vtime: the furthest any task got; racing writers may lose an advance, which the next
 * makes up. hint_ns: when a task was last put there.
 */
struct queue_ctx {
	u64 vtime;
	u64 hint_ns;
	u64 served_ns; /* when a cpu last took one of its tasks */
} __attribute__((aligned(64)));

struct queue_ctx queue_ctxs[MAX_CLASSES * TEMPER_MAX_LLCS];

/* By class. Bit c: its queue at cache c may hold a task. */
u64 queued[MAX_CLASSES] __attribute__((aligned(64)));
u32 any_idle_class; /* an idle cgroup's task was ever queued: dispatch asks their queues too */

/* Written by the scheduler only. `generation` and `cgroup_id` say what `layer` was resolved from. */
struct task_ctx {
	u64 generation;
	u64 cgroup_id;
	u64 queued_ns;	       /* since when it waits; 0 while it runs or sleeps */
	u64 run_base_ns;       /* sum_exec_runtime at the last look */
	u64 slice_ns;	       /* when it last began to run, and not only looked in */
	u64 cgroup_generation; /* by which `chain`, `share` and `idle` were resolved */
	u16 chain[MAX_CHAIN];
	u32 share;
	u64 css_set_at; /* another one when its cgroup is, or that one's controllers are */
	s32 advance_ns; /* of its buckets' time, for what it runs now (quota.bpf.h) */
	u32 price;	/* of a nanosecond, when it last ran */
	u32 competing;	/* the weight with which it is counted in its share; 0 while it isn't */
	u8 nr_chain;
	u8 layer;
	u8 llc;	       /* whose queue's clock its vtime is of */
	u8 guest;      /* queued, or running, as a guest */
	u8 tight;      /* a bucket of its chain was near its end, when it was last asked */
	u8 used_slice; /* at its last tick, and it has not slept since */
	u8 class;      /* whose queue it waits in: `layer`, or past TEMPER_MAX_LAYERS for an idle cgroup's task */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} task_ctxs SEC(".maps");

#define QUOTA_MAX_US (1ULL << 44) /* above what the kernel takes for a quota; `max` is all ones */

u64 cgroup_generation = 1;	   /* which cgroups have a finite cpu.max, and which are idle */
u64 park_ns;			   /* when a task was last parked */
u64 parked_ns[TEMPER_MAX_QUOTAS];  /* ... in this bucket's queue */
u64 counted_ns[TEMPER_MAX_QUOTAS]; /* the end of the last period that was counted as one in which it was throttled */
u64 called_looked_ns;		   /* when every parked task was last looked at */
bool somebody_parked;		   /* at this look */
u64 throttled_bits[TEMPER_MAX_QUOTAS / 64];
s64 unpark_room;		  /* a global, so the verifier need not follow it through the loop */
u64 oldest_ns[TEMPER_MAX_QUOTAS]; /* nobody in the bucket's queue has waited since before this; 0: unknown */
bool only_called;		  /* of the bucket's queue that is looked through, nobody else is due */
u32 nr_stay;			  /* ... so many stay, at least */
u32 called_room;		  /* how many buckets this look for the called may still take */
u32 called_next;		  /* the bucket at which the next look for the called begins */
u64 soonest_refill_ns;		  /* of the buckets that wait for one, at this look */
u32 nr_refills;			  /* ... and how many those are */
u64 word_next_ns;		  /* the same of one word of throttled_bits */
u32 word_nr_refills;

#define LOOKING 1 /* in place of next_ns, while the service timer is at it */

/* By word of throttled_bits: the first refill for which all its buckets wait, and how many they are; 0: not all do. */
struct word_refills {
	u64 next_ns;
	u32 nr;
} word_refills[TEMPER_MAX_QUOTAS / 64];

/* Cgroup id -> the index of its bucket in `quotas`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TEMPER_MAX_QUOTAS);
	__type(key, u64);
	__type(value, u32);
} quota_of SEC(".maps");

/* A cgroup's cpu.weight, and what its tasks pay for it (shares.bpf.h). Index 0 is nobody's. */
struct share {
	u64 cgroup_id;	     /* 0: free */
	u32 tasks_weight;    /* of its runnable tasks */
	u32 children_weight; /* of its children with tasks in the same layer, at the last look */
	u32 price;	     /* of its whole share, at the last look */
	u32 weight;
	u32 parent;
	u8 layer; /* of its own tasks */
	u8 idle;
	u8 ran; /* since the last look */
};

struct share shares[MAX_SHARES];

/* What a look gathers. active: by layer, there are tasks in or below it. */
struct share_look {
	u32 active;
	u32 children_weight[TEMPER_MAX_LAYERS];
};

struct share_look share_looks[MAX_SHARES];
u32 nr_shares = 1; /* the highest index that was ever taken, plus one */
u32 last_share;

/* Cgroup id -> the index of its share. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_SHARES);
	__type(key, u64);
	__type(value, u32);
} share_of SEC(".maps");

/* Mapped cgroups of one generation: cgroup id -> layer id. Filled by the engine while the slot is idle. */
struct cgroup_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC); /* mostly empty, and on the way of every attach */
	__uint(max_entries, TEMPER_MAX_CGROUPS);
	__type(key, u64);
	__type(value, u32);
};

struct cgroup_map cgroups_0 SEC(".maps");
struct cgroup_map cgroups_1 SEC(".maps");
struct cgroup_map cgroups_2 SEC(".maps");
struct cgroup_map cgroups_3 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TEMPER_NR_SLOTS);
	__type(key, u32);
	__array(values, struct cgroup_map);
} cgroup_slots SEC(".maps") = {
	.values = {&cgroups_0, &cgroups_1, &cgroups_2, &cgroups_3},
};

/* Per slot and layer, the cpus it owns and the cpus it may use at all. Made at init, rewritten by commits. */
struct mask {
	struct bpf_cpumask __kptr *cpus;
};

enum { MASK_OWN = 0, MASK_ALL = 1, MASKS_PER_LAYER = 2 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TEMPER_NR_SLOTS *TEMPER_MAX_LAYERS *MASKS_PER_LAYER);
	__type(key, u32);
	__type(value, struct mask);
} masks SEC(".maps");

/* The cpus of each last-level cache; made at init where there are several. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TEMPER_MAX_LLCS);
	__type(key, u32);
	__type(value, struct mask);
} llc_masks SEC(".maps");

/* The cpus that no higher class keeps; made at init. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct mask);
} unhogged SEC(".maps");

/*
 * Room for one intersection, per cpu. Ops do not nest on a cpu, but one may interrupt the service timer's look: then
 * that one wakes a cpu for nothing, or takes a task for a guest that is none, until its next run.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct mask);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct temper_cpu_stats);
} stats SEC(".maps");

/* Wakes the engine when the scheduler has left; the record itself is exit_record. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct service_timer {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct service_timer);
} service_timers SEC(".maps");

static __always_inline struct temper_config *config_of(u32 slot)
{
	return &configs[slot % TEMPER_NR_SLOTS];
}

/* Read once per operation: everything that an operation decides, it decides by one generation. */
static __always_inline u32 active_slot(void)
{
	return *(volatile u32 *)&control.active_slot;
}

static __always_inline struct cpu_ctx *cpu_ctx(s32 cpu)
{
	return &cpu_ctxs[(u32)cpu % TEMPER_MAX_CPUS];
}

static __always_inline u32 llc_of(s32 cpu)
{
	return nr_llcs > 1 ? knobs.llc[(u32)cpu % TEMPER_MAX_CPUS] % TEMPER_MAX_LLCS : 0;
}

static __always_inline s32 next_sibling(s32 cpu)
{
	return knobs.sibling[(u32)cpu % TEMPER_MAX_CPUS];
}

/* Each other hardware thread of a cpu's core, as `other`; `i` bounds the walk for the verifier. */
#define for_each_sibling(i, other, cpu)                       \
	(other) = (cpu);                                      \
	bpf_for(i, 1, MAX_SIBLINGS)                           \
		if (((other) = next_sibling(other)) == (cpu)) \
			break;                                \
		else

static __always_inline struct queue_ctx *queue_ctx(u32 class, u32 llc)
{
	return &queue_ctxs[(class % MAX_CLASSES) * TEMPER_MAX_LLCS + llc % TEMPER_MAX_LLCS];
}

static __always_inline bool is_idle(const struct task_ctx *tctx)
{
	return tctx->class >= TEMPER_MAX_LAYERS;
}

static __always_inline struct temper_layer *layer_of(struct temper_config *config, u32 layer)
{
	return &config->layers[layer % TEMPER_MAX_LAYERS];
}

static __always_inline u32 owner_of(struct temper_config *config, s32 cpu)
{
	return config->owner[(u32)cpu % TEMPER_MAX_CPUS];
}

static __always_inline bool may_use(struct temper_config *config, s32 cpu, u32 layer)
{
	return config->eligible[(u32)cpu % TEMPER_MAX_CPUS] & (1U << (layer % TEMPER_MAX_LAYERS));
}

static __always_inline struct task_ctx *task_ctx(struct task_struct *p)
{
	return bpf_task_storage_get(&task_ctxs, p, NULL, 0);
}

static __always_inline struct temper_layer_stats *layer_stats(u32 layer)
{
	u32 zero = 0;
	struct temper_cpu_stats *cpu = bpf_map_lookup_elem(&stats, &zero);

	return cpu ? &cpu->layers[layer % TEMPER_MAX_LAYERS] : NULL;
}

#define count(layer, field)                                          \
	({                                                           \
		struct temper_layer_stats *__s = layer_stats(layer); \
		if (__s)                                             \
			__s->field++;                                \
	})

/* The mask of a map that has but one (for this cpu); NULL when it was never made. */
static __always_inline struct bpf_cpumask *only_mask(void *map)
{
	u32 zero = 0;
	struct mask *mask = bpf_map_lookup_elem(map, &zero);

	return mask ? mask->cpus : NULL;
}

/* From now on a map's element has this mask, and the one that it had is let go. */
static __always_inline void keep_mask(struct mask *mask, struct bpf_cpumask *made)
{
	made = bpf_kptr_xchg(&mask->cpus, made);
	if (made)
		bpf_cpumask_release(made);
}

static __always_inline const struct cpumask *layer_mask(u32 slot, u32 layer, u32 which)
{
	u32 index = (slot * TEMPER_MAX_LAYERS + layer % TEMPER_MAX_LAYERS) * MASKS_PER_LAYER + which;
	struct mask *mask = bpf_map_lookup_elem(&masks, &index);

	return mask ? (const struct cpumask *)mask->cpus : NULL;
}

static __always_inline bool is_percpu_kthread(const struct task_struct *p)
{
	return (p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1;
}

/* A task that waits since since_ns is in this bucket's queue. */
static __always_inline void note_oldest(u32 index, u64 since_ns)
{
	u64 *oldest = &oldest_ns[index % TEMPER_MAX_QUOTAS];

	if (!*oldest || *oldest > since_ns)
		*oldest = since_ns;
}

static __always_inline bool is_killed(const struct task_struct *p)
{
	return p->pending.signal.sig[0] & SIGKILL_BIT;
}

/*
 * Has somebody asked it to stop, to freeze or to die? Signals that it may handle don't count: sent again and again,
 * they would lift the limit. (One whose default is to end it brings SIGKILL along.) Nor does a stop of the whole
 * process, but for its main thread, whom the kernel tells first: who keeps that one from hearing would lift the others'
 * limit.
 */
static __always_inline bool is_called(const struct task_struct *p)
{
	u64 pending = p->pending.signal.sig[0];

	if (p->pid == p->tgid)
		pending |= p->signal->shared_pending.signal.sig[0];

	return (pending & SIGSTOP_BIT) || is_killed(p) || (p->jobctl & JOBCTL_PENDING);
}

/* May it run on every cpu? */
static __always_inline bool is_unrestricted(const struct task_struct *p)
{
	return (u32)p->nr_cpus_allowed >= nr_cpus;
}

#endif
