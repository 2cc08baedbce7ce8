// SPDX-License-Identifier: GPL-2.0-only
/*
 * idleburn: under the test bed's virtual clock, an idle cpu uses up its turn instead of giving it away.
 *
 * Why. QEMU's instruction-counting clock has one counter for all virtual cpus, which run in turn on one
 * thread: guest time is the *sum* of their instructions. A halted cpu gives its turn away, so the other
 * cpus run faster the more of them idle: one busy cpu of four does four times the work per guest
 * second that four busy ones do each. Real cpus do not behave like that, and a comparison of a loaded
 * machine with an idle one would mostly measure it. With idleburn every cpu has the same, constant
 * speed: a quarter of the counter's rate on four cpus.
 *
 * How. The kernel calls the tracepoint cpu_idle with interrupts off right before it halts. We loop there
 * until the idle task has something to do, seen from memory: a thread flag that it does not always have
 * (a reschedule; perhaps from before we looked), a call from another cpu is queued, or the next timer is due. The pending interrupt then ends the
 * halt at once. As device interrupts show nowhere in memory, a loop also ends after MAX_LOOP_NS;
 * a wake-up of a perf buffer that nobody reads sends this cpu an interrupt, so that the kernel comes
 * back here instead of staying halted.
 *
 * Limits. A device interrupt (console, disk) waits for up to MAX_LOOP_NS on an idle cpu. Other cpus'
 * requests are seen within one round of the loop. Nothing here touches scheduling: the cpu counts as
 * idle for accounting and for every scheduler.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define PWR_EVENT_EXIT ((unsigned int)-1)

enum {
	MAX_LOOP_NS = 4000000,
	MAX_ROUNDS = 1 << 20, /* far more than fit into MAX_LOOP_NS */
	LOOKS_A_ROUND = 64,   /* some 500 instructions: 2 us of one cpu. Reading the clock costs an emulator more */
};

/* Only the fields used; libbpf relocates them against the running kernel. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct thread_info {
	unsigned long flags;
};

struct task_struct {
	struct thread_info thread_info;
};

struct llist_node;

struct llist_head {
	struct llist_node *first;
};

struct hrtimer_cpu_base {
	long long expires_next;
};
#pragma clang attribute pop

extern struct llist_head call_single_queue __ksym;
extern struct hrtimer_cpu_base hrtimer_bases __ksym;

/* Thread flags that the idle task of each cpu has had at every look so far: any other one means work. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, unsigned long);
} never_set SEC(".maps"); /* kept inverted, for a map begins with zeroes */

/* Filled by the loader with one software event per cpu; keys are cpu ids. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} wakeups SEC(".maps");

struct burn {
	struct task_struct *idle;
	struct llist_head *calls;
	struct hrtimer_cpu_base *timers;
	unsigned long work_flags;
	unsigned long long end_ns;
	int expired;
};

static long round(__u64 index, struct burn *burn)
{
	volatile unsigned long *flags = &burn->idle->thread_info.flags;
	struct llist_node *volatile *calls = &burn->calls->first;
	unsigned long long now;

	for (int i = 0; i < LOOKS_A_ROUND; i++) {
		if ((*flags & burn->work_flags) || *calls)
			return 1;
	}
	now = bpf_ktime_get_ns();
	if (burn->timers->expires_next <= (long long)now)
		return 1;
	burn->expired = now >= burn->end_ns;
	return burn->expired;
}

SEC("tp_btf/cpu_idle")
int BPF_PROG(burn_turn, unsigned int state, unsigned int cpu)
{
	struct burn burn = {
		.idle = bpf_get_current_task_btf(),
		.calls = bpf_this_cpu_ptr(&call_single_queue),
		.timers = bpf_this_cpu_ptr(&hrtimer_bases),
		.end_ns = bpf_ktime_get_ns() + MAX_LOOP_NS,
	};
	__u32 zero = 0;
	unsigned long *clear = bpf_map_lookup_elem(&never_set, &zero);
	__u8 wake = 0;

	if (state == PWR_EVENT_EXIT || !clear)
		return 0;
	*clear |= ~burn.idle->thread_info.flags;
	burn.work_flags = *clear;
	bpf_loop(MAX_ROUNDS, round, &burn, 0);
	if (burn.expired)
		bpf_perf_event_output(ctx, &wakeups, BPF_F_CURRENT_CPU, &wake, sizeof(wake));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
