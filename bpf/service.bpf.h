/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The service timer: the dead-man's switch, idle cpus beside waiting tasks, and a look through every queue for tasks
 * that waited past the bound or belong elsewhere since the last commit.
 *
 * Its functions are not static, so the verifier looks at each of them once: through static ones it follows every way,
 * which for 6.19's took longer than all the rest of the scheduler. Such a function is verified as if temper_init, which
 * may sleep, had called it, so each takes the RCU read lock for the masks and tasks that it reads. None is called with
 * that lock held.
 */
#ifndef TEMPER_SERVICE_BPF_H
#define TEMPER_SERVICE_BPF_H

/* Where a task that waited too long goes: a cpu of its layer's that it can use, else the one it is on. */
static __always_inline s32 rescue_cpu(struct task_struct *p, u32 slot, u32 layer, s32 cpu)
{
	const struct cpumask *all = layer_mask(slot, layer, MASK_ALL);

	if (task_cannot_move(p) || !all || may_use(config_of(slot), cpu, layer) ||
	    !bpf_cpumask_intersects(all, p->cpus_ptr))
		return cpu;
	return bpf_cpumask_any_and_distribute(all, p->cpus_ptr);
}

/*
 * Is it past what turns give? An unrestricted task of a layer that is being served has only its own layer to wait
 * for, and its place in virtual time comes, unless its share is so light that nobody may wait for it. In a crowd all
 * wait that long and look in, and hundreds of guests would only keep each other. One that can use a few cpus only may
 * find those always taken.
 */
static __always_inline bool is_stranded(struct task_struct *p, struct task_ctx *tctx, u64 now)
{
	u64 waited_ns = tctx->queued_ns ? elapsed_ns(now, tctx->queued_ns) : 0;

	if (waited_ns < RESCUE_AGE_NS)
		return false;
	if (task_cannot_move(p) || !is_unrestricted(p) ||
	    elapsed_ns(now, queue_ctx(tctx->class, tctx->llc)->served_ns) > RESCUE_AGE_NS)
		return true;
	return waited_ns > SHARE_AGE_NS + (is_crowded(tctx->class, tctx->llc) ? (u64)TURN_NS : 0);
}

/* Tasks wait and a cpu of theirs is idle: it went idle just before they were queued. */
static __always_inline void wake_idle(u32 slot, u32 layer)
{
	const struct cpumask *all = layer_mask(slot, layer, MASK_ALL);
	s32 cpu = all ? scx_bpf_pick_idle_cpu(all, 0) : -1;

	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, KICK_IDLE);
}

/* The same for one task, which may not use every cpu of its layer's: another one would be woken for nothing. */
static __always_inline void wake_idle_for(struct task_struct *p, u32 slot, u32 layer)
{
	const struct cpumask *all = layer_mask(slot, layer, MASK_ALL);
	struct bpf_cpumask *both = only_mask(&scratch);
	s32 cpu;

	if (!all || !both)
		return;
	bpf_cpumask_and(both, all, p->cpus_ptr);
	cpu = task_cannot_move(p) ? scx_bpf_task_cpu(p) : scx_bpf_pick_idle_cpu((const struct cpumask *)both, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, KICK_IDLE);
}

/* From the queue that is looked through to the guests of a cpu; false when it has just left the queue. */
static __always_inline bool move_to_guests(struct bpf_iter_scx_dsq *it, struct task_struct *found,
					   struct task_ctx *tctx, s32 cpu, u64 now)
{
	cpu_ctx(cpu)->guest_hint_ns = now;
	if (!dsq_move(it, found, DSQ_GUEST(cpu), SHORT_SLICE_NS))
		return false;
	if (tctx)
		tctx->guest = true;
	scx_bpf_kick_cpu(cpu, KICK_IDLE);
	return true;
}

/* To the queue of the layer that it belongs to by now. */
static __always_inline void rehome(struct bpf_iter_scx_dsq *it, struct task_struct *found, struct task_struct *p,
				   struct task_ctx *tctx, u32 slot, s32 cpu, u64 now)
{
	u32 layer = tctx->layer, class = tctx->class, llc = queue_llc(config_of(slot), layer, cpu);

	if (!has_home(p, slot, layer)) {
		move_to_guests(it, found, tctx, guest_cpu(p, cpu), now);
		return;
	}
	tctx->guest = false;
	hint_class(class, llc, now);
	if (!dsq_move_vtime(it, found, DSQ_LAYER(class, llc), place_vtime(p, tctx, llc)))
		return;
	compete(p->scx.weight, tctx);
	/* It does not wake up, so it takes no cpu; but where it was, it need not wait for a lower rank's slice. */
	if (layer_of(config_of(slot), layer)->preempts && may_use(config_of(slot), cpu, layer))
		ask_to_hurry(cpu_ctx(cpu), layer_of(config_of(slot), layer)->rank + 1);
	wake_idle_for(p, slot, layer);
}

u32 tasks_seen; /* a global, so the verifier need not follow it through the loop */
u32 nr_services;
struct timer_clock timer_clock;
u64 serviced_ns; /* when all but the quotas was last looked after */
u32 nr_looks;
bool somebody_waits;   /* at this look */
u64 looked_generation; /* of the last commit after which every queue was looked through */

/* Whose queue is looked through: known to the compiler, so that the verifier has no ways to follow that nobody goes. */
enum look { LAYERS, GUESTS, PARKED };

/*
 * One task of a queue, which is that of class, cpu or bucket `owner`: is it where it belongs? By `found` it is moved,
 * for the iterator knows no other; `p` is for everything but plain fields, for `found` may not be given away on every
 * kernel.
 *
 * lost_cache: a commit took the layer's last cpu at this cache. The others serve their own queue first, for ever if it
 * is long.
 */
static __always_inline void look_at(struct bpf_iter_scx_dsq *it, struct task_struct *found, struct task_struct *p,
				    enum look look, u32 owner, u32 slot, bool lost_cache, u64 now)
{
	struct task_ctx *tctx = task_ctx(p);
	s32 cpu = look == GUESTS ? guest_cpu(p, owner) : scx_bpf_task_cpu(p);

	if (look == GUESTS) {
		if (cpu != (s32)owner)
			move_to_guests(it, found, tctx, cpu, now);
		return;
	}
	if (!tctx)
		return;
	if (look == PARKED && !leaves_park(unpark_room, is_called(p), elapsed_ns(now, tctx->queued_ns))) {
		note_oldest(owner, tctx->queued_ns);
		nr_stay++;
		return;
	}
	classify(p, tctx, slot);
	if (look == PARKED)
		unpark_room -= SHORT_SLICE_NS;
	if (look == PARKED || lost_cache || tctx->class != owner || (nr_hogged && !has_home(p, slot, tctx->layer)))
		rehome(it, found, p, tctx, slot, cpu, now);
	else if (!is_stranded(p, tctx, now)) {
		if (!is_unrestricted(p))
			wake_idle_for(p, slot, tctx->layer);
	} else if (move_to_guests(it, found, tctx, guest_cpu(p, rescue_cpu(p, slot, tctx->layer, cpu)), now))
		count(tctx->layer, nr_rescued);
}

/*
 * A queue, and at most so many of its tasks: of a layer's, those that belong elsewhere or waited too long; of a cpu's
 * guests, those that can run elsewhere, for a higher class keeps it; of a bucket's, those that it has time for again.
 */
static __always_inline void look_through(enum look look, u32 owner, u64 dsq_id, bool lost_cache, u32 most, u64 now)
{
	u32 slot = active_slot();
	/* Who waits longest is at the end, where light shares are, or at the head, if nobody can take him. */
	u64 flags = look == LAYERS && (nr_looks & 1) ? DSQ_ITER_REV : 0;
	struct task_struct *found, *p;
	struct bpf_iter_scx_dsq it;

	tasks_seen = nr_stay = 0;
	bpf_rcu_read_lock();
	bpf_iter_scx_dsq_new(&it, dsq_id, flags);
	while ((found = bpf_iter_scx_dsq_next(&it))) {
		/* They lie roughly as they came. Who is called, or older all the same, the full look finds. */
		if (tasks_seen++ >= most || (look == PARKED && nr_stay && most < LOOK_ALL)) {
			nr_stay++;
			break;
		}
		if (look == PARKED && only_called && !is_called(found)) {
			nr_stay++;
			continue;
		}
		p = bpf_task_from_pid(found->pid);
		if (!p)
			continue;
		look_at(&it, found, p, look, owner, slot, lost_cache, now);
		bpf_task_release(p);
	}
	bpf_iter_scx_dsq_destroy(&it);
	bpf_rcu_read_unlock();
}

__noinline int look_through_layer(u32 class, u32 llc, u32 most, u64 now)
{
	u64 llcs = config_of(active_slot())->llcs[class % TEMPER_MAX_LAYERS];
	bool lost_cache = llcs && !(llcs & (1ULL << (llc % TEMPER_MAX_LLCS)));

	look_through(LAYERS, class, DSQ_LAYER(class, llc), lost_cache, most, now);
	return 0;
}

__noinline int look_through_guests(s32 cpu, u64 now)
{
	look_through(GUESTS, cpu, DSQ_GUEST(cpu), false, LOOK_BATCH, now);
	return 0;
}

__noinline int look_through_parked(u32 index, u32 most, u64 now)
{
	look_through(PARKED, index, DSQ_PARK(index), false, most, now);
	return 0;
}

/* most: how many tasks of every queue are looked at; with 0 only those queues are asked whose hint says so. */
__noinline int service_layers(u32 slot, u64 now, u32 most)
{
	u32 class, llc;

	bpf_for(class, 0, MAX_CLASSES) {
		if (!most && !*(volatile u64 *)&queued[class % MAX_CLASSES])
			continue;
		bpf_for(llc, 0, nr_llcs) {
			if (scx_bpf_dsq_nr_queued(DSQ_LAYER(class, llc)) <= 0)
				continue;
			somebody_waits = true;
			hint_class(class, llc, now);
			bpf_rcu_read_lock();
			wake_idle(slot, class % TEMPER_MAX_LAYERS);
			bpf_rcu_read_unlock();
			if (most)
				look_through_layer(class, llc, most, now);
		}
	}
	return 0;
}

/* A real-time task that never sleeps. No wait shows it: since 7.0 the kernel keeps a twentieth of its cpu for us. */
static __always_inline void judge_hog(struct cpu_ctx *cctx, u32 cpu, u64 now)
{
	struct bpf_cpumask *free = only_mask(&unhogged);
	u64 since_ns = cctx->released_ns, kept_ns = cctx->kept_ns, over_ns = elapsed_ns(now, cctx->judged_ns);
	bool hogged;

	if (over_ns < HOG_LOOK_NS)
		return;
	if (since_ns)
		kept_ns += elapsed_ns(now, since_ns);
	/* Tolerated race: given back between the two reads, a spell counts twice, or not. */
	if (elapsed_ns(kept_ns, cctx->judged_kept_ns) < over_ns / 8 * 7)
		cctx->hog_looks = cctx->hog_looks > 2 ? cctx->hog_looks - 2 : 0;
	else if (cctx->hog_looks < HOG_LOOKS_MAX)
		cctx->hog_looks++;
	cctx->judged_ns = now;
	cctx->judged_kept_ns = kept_ns;
	hogged = cctx->hog_looks >= HOG_LOOKS || (cctx->hogged && cctx->hog_looks);
	if (hogged == cctx->hogged || !free)
		return;
	cctx->hogged = hogged;
	nr_hogged += hogged ? 1 : -1;
	if (hogged)
		bpf_cpumask_clear_cpu(cpu, free);
	else
		bpf_cpumask_set_cpu(cpu, free);
}

__noinline int service_cpus(u64 now)
{
	u32 cpu;

	bpf_for(cpu, 0, nr_cpus) {
		struct cpu_ctx *cctx = cpu_ctx(cpu);

		bpf_rcu_read_lock();
		judge_hog(cctx, cpu, now);
		bpf_rcu_read_unlock();
		if (cctx->guest_deferred) {
			cctx->guest_deferred = false;
			scx_bpf_kick_cpu(cpu, KICK_IDLE);
		}
		if (!cctx->guest_hint_ns && scx_bpf_dsq_nr_queued(DSQ_GUEST(cpu)) > 0) {
			cctx->guest_hint_ns = now;
			scx_bpf_kick_cpu(cpu, KICK_IDLE);
		}
		if (!cctx->kthread_hint_ns && scx_bpf_dsq_nr_queued(DSQ_KTHREAD(cpu)) > 0) {
			cctx->kthread_hint_ns = now;
			scx_bpf_kick_cpu(cpu, KICK_IDLE);
		}
		if (cctx->hogged && cctx->guest_hint_ns)
			look_through_guests(cpu, now);
	}
	return 0;
}

__noinline int service_queues(u64 now)
{
	u32 slot = active_slot();
	u64 generation = config_of(slot)->generation;
	u32 most = ++nr_services % SERVICE_FULL_EVERY ? 0 : LOOK_BATCH;

	/* After a commit everybody is looked at: a task that became Critical may lie deep in Background's queue. */
	if (generation != looked_generation)
		most = LOOK_ALL;
	serviced_ns = now;
	looked_generation = generation;
	somebody_waits = false;
	service_layers(slot, now, most);
	if (!most)
		return 0;
	nr_looks++;
	service_cpus(now);
	if (somebody_waits)
		look_at_shares();
	return 0;
}

__noinline u64 service_quotas(u64 now);

static int service(void *map, int *key, struct service_timer *timer)
{
	u64 beat_ns = *(volatile u64 *)&control.beat_ns, now = timer_clock_ns(&timer_clock), next_ns;

	if (*(volatile u32 *)&exit_record.kind)
		return 0; /* out already; another scheduler may be in */
	if (elapsed_ns(timer_clock.monotonic_ns, beat_ns) > control.deadman_ns) {
		static char why[] = "agent heartbeat lost";
		unsigned long long none = 0;

		scx_bpf_exit_bstr(TEMPER_EXIT_DEADMAN, why, &none, 0);
		return 0;
	}
	next_ns = service_quotas(now);
	if (elapsed_ns(now, serviced_ns) >= SERVICE_PERIOD_NS - NSEC_PER_MSEC)
		service_queues(now);
	bpf_timer_start(&timer->timer, next_ns, 0);
	return 0;
}

#endif
