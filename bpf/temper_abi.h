/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What crosses the border between the scheduler and its engine.
 *
 * Plain C without a preprocessor beyond the guard: clang compiles it into the scheduler and cffi
 * parses the same text for Python. Numbers are explicit, because the other side is another language.
 * Units are in the names. Sizes are checked against the loaded object's maps before anything is written.
 */
#ifndef TEMPER_ABI_H
#define TEMPER_ABI_H

enum temper_limits {
	TEMPER_MAX_CPUS = 512,
	TEMPER_MAX_LAYERS = 16,
	TEMPER_MAX_LLCS = 64, /* last-level caches; ids beyond are folded onto these */
	TEMPER_NAME_LEN = 16, /* of a layer, with its terminating zero */
	TEMPER_WAIT_BUCKETS = 24,
	TEMPER_MAX_QUOTAS = 1024,  /* cgroups with a finite cpu.max */
	TEMPER_MAX_CGROUPS = 8192, /* mapped cgroups in one generation */
	TEMPER_NR_SLOTS = 4,	   /* a power of two: before 7.0 the verifier knows no other remainder's bound */
	TEMPER_OWNER_NONE = 255,   /* an open cpu */
	TEMPER_REASON_LEN = 128,
	TEMPER_MESSAGE_LEN = 1024,
};

enum temper_kind {
	TEMPER_CONFINED = 1,
	TEMPER_GROUPED = 2,
	TEMPER_OPEN = 3,
};

/*
 * One layer of one generation, at the index that is its id. A layer that a generation leaves out keeps its
 * id with kind 0 and is served like an open one, so tasks still queued under it are never lost.
 */
struct temper_layer {
	uint8_t kind;	  /* enum temper_kind; 0: left out */
	uint8_t rank;	  /* 0 is served first */
	uint8_t protects; /* its cpus serve nobody else, even when idle */
	uint8_t preempts; /* its wake-ups may take a cpu from a lower rank */
	uint8_t exclusive;
	uint8_t smooth_periods; /* periods' worth of cpu.max that its cgroups may save up; 0 and 1: the kernel's rule */
	uint8_t pad[2];
	uint32_t slice_us;
	uint32_t ceiling_millicpu;  /* of all its cpu time; 0: none */
	char name[TEMPER_NAME_LEN]; /* for the kernel's debug dump only */
};

/* One generation. Userspace fills an idle slot, then runs the commit program. */
struct temper_config {
	uint64_t generation;
	uint32_t nr_layers;
	uint8_t system_layer; /* ids */
	uint8_t default_layer;
	uint8_t pad[2];
	uint8_t order[TEMPER_MAX_LAYERS]; /* layer ids by rank, nr_layers of them */
	struct temper_layer layers[TEMPER_MAX_LAYERS];
	uint8_t owner[TEMPER_MAX_CPUS]; /* layer id, or TEMPER_OWNER_NONE */
	/* Written by the commit. */
	uint32_t eligible[TEMPER_MAX_CPUS]; /* bit l: layer l may run on that cpu */
	uint64_t llcs[TEMPER_MAX_LAYERS];   /* bit c: cache c has a cpu that the layer may run on */
};

enum temper_commit_error {
	TEMPER_COMMIT_OK = 0,
	TEMPER_COMMIT_SLOT_BUSY = 1,  /* the active slot, or no such slot */
	TEMPER_COMMIT_GENERATION = 2, /* not newer than the active one */
	TEMPER_COMMIT_LAYER = 3,      /* unknown kind, rank out of order, id out of range */
	TEMPER_COMMIT_OWNER = 4,      /* a cpu owned by an open or absent layer */
	TEMPER_COMMIT_UNSERVED = 5,   /* a confined layer without a cpu, or no open cpu at all */
	TEMPER_COMMIT_MEMORY = 6,     /* no memory for a mask */
};

struct temper_commit {
	uint32_t slot;	      /* in */
	uint32_t error;	      /* out: enum temper_commit_error */
	uint32_t culprit;     /* out: the layer id or cpu that the error is about */
	uint32_t nr_kicked;   /* out: cpus told to look again */
	uint64_t elapsed_ns;  /* out: the kernel side's share */
	uint64_t in_force_ns; /* out: when the generation was published, CLOCK_MONOTONIC */
};

/* Counters of one layer; userspace sums them over cpus. All but the last only grow. */
struct temper_layer_stats {
	uint64_t run_ns;
	uint64_t wait_ns;  /* runnable to running, summed */
	uint64_t guest_ns; /* of run_ns, as a guest */
	uint64_t nr_runs;
	uint64_t nr_wakes;
	uint64_t nr_direct;	/* wake-ups placed at once on an idle cpu */
	uint64_t nr_spills;	/* runs of an owning layer on a cpu that it may use and does not own */
	uint64_t nr_preempts;	/* cpus taken from a lower rank */
	uint64_t nr_preempted;	/* cpus lost to a higher rank */
	uint64_t nr_guest_runs; /* ran on a cpu that its layer may not use, for want of another */
	uint64_t nr_rescued;	/* waited past the bound and were moved ahead */
	/* Waits, runnable to running: [0] below 1 us, [i] from 2^(i-1) to below 2^i us, the last one the rest. */
	uint64_t wait_hist[TEMPER_WAIT_BUCKETS];
	uint64_t max_wait_ns;
};

struct temper_cpu_stats {
	struct temper_layer_stats layers[TEMPER_MAX_LAYERS];
};

/* One cgroup's cpu.max and how it fares; cgroup_id is 0 where there is none. Counters begin when it became finite. */
struct temper_quota {
	uint64_t cgroup_id;
	int64_t tokens_ns; /* below 0: owed */
	uint64_t period_ns;
	uint64_t quota_ns; /* 0: no longer finite */
	uint64_t burst_ns;
	uint64_t next_refill_ns;
	uint64_t nr_periods;
	uint64_t nr_throttled;
	uint64_t throttled_ns;
	uint64_t throttled_since_ns; /* 0 while it is not */
	uint32_t smooth_periods;     /* its layer's; 0 for a cgroup above the mapped ones */
	uint32_t is_gone;	     /* its cgroup is, and it is about to be given back */
};

/* Times that a cgroup came and the tables were full, since the attach. Such a cgroup goes without. */
struct temper_no_room {
	uint64_t quotas; /* a finite cpu.max, which is not enforced */
	uint64_t shares; /* a cpu.weight, which is not kept: its tasks pay by their nice level */
};

/* Why the scheduler left. `kind` is the kernel's own enum scx_exit_kind; 0 while attached. */
struct temper_exit {
	int64_t code;
	uint32_t kind;
	uint32_t pad;
	char reason[TEMPER_REASON_LEN];
	char message[TEMPER_MESSAGE_LEN];
};

/* scx_bpf_exit codes of our own: low 32 bits of temper_exit.code when kind is SCX_EXIT_UNREG_BPF. */
enum temper_exit_code {
	TEMPER_EXIT_DEADMAN = 1, /* the agent's heartbeat stopped */
};

/* Set by the engine between open and load; the verifier then sees constants. */
struct temper_knobs {
	uint32_t nr_cpus;   /* highest possible cpu id + 1 */
	uint32_t nr_llcs;   /* at least 1 */
	int32_t agent_tgid; /* our own two processes belong to the system layer */
	int32_t engine_tgid;
	uint8_t llc[TEMPER_MAX_CPUS];	   /* of each cpu, below nr_llcs */
	uint16_t sibling[TEMPER_MAX_CPUS]; /* the next cpu of the same core, round and round; itself when alone */
};

/* Written by the engine while attached, read by the scheduler's service timer. */
struct temper_control {
	uint64_t beat_ns;    /* CLOCK_MONOTONIC of the agent's last beat */
	uint64_t deadman_ns; /* no beat for this long: the scheduler leaves */
	uint64_t generation; /* in force, 0 before the first; this and the next are written by the commit */
	uint32_t active_slot;
	uint32_t pad;
};

#endif
