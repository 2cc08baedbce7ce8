/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel's debug dump says of us: an ejection's record is read by people who know layers by name. */
#ifndef TEMPER_DUMP_BPF_H
#define TEMPER_DUMP_BPF_H

#define dump(fmt, args...)                                        \
	({                                                        \
		static char __fmt[] = fmt;                        \
		unsigned long long __args[] = {args};             \
		scx_bpf_dump_bstr(__fmt, __args, sizeof(__args)); \
	})

static char guest_mark[] = " (guest)", no_mark[] = "";

static __noinline int dump_layer(u32 slot, u32 layer)
{
	struct temper_layer *l = layer_of(config_of(slot), layer);
	u32 llc;

	dump("layer %s: id %u kind %u rank %u\n", (unsigned long)l->name, layer, l->kind, l->rank);
	bpf_for(llc, 0, nr_llcs) {
		s32 nr = scx_bpf_dsq_nr_queued(DSQ_LAYER(layer, llc));

		if (nr > 0)
			dump("  cache %u: %d queued, served_ns %llu, vtime %llu\n", llc, nr,
			     queue_ctx(layer, llc)->served_ns, queue_ctx(layer, llc)->vtime);
	}
	return 0;
}

void BPF_STRUCT_OPS(temper_dump, struct scx_dump_ctx *dctx)
{
	u32 slot = active_slot(), layer;

	dump("temper: generation %llu, now_ns %llu, beat_ns %llu\n", config_of(slot)->generation, bpf_ktime_get_ns(),
	     control.beat_ns);
	bpf_for(layer, 0, TEMPER_MAX_LAYERS)
		if (layer_of(config_of(slot), layer)->slice_us)
			dump_layer(slot, layer);
}

void BPF_STRUCT_OPS(temper_dump_task, struct scx_dump_ctx *dctx, struct task_struct *p)
{
	struct task_ctx *tctx = task_ctx(p);

	if (tctx)
		dump("layer %s%s, queued_ns %llu, cgroup %llu\n",
		     (unsigned long)layer_of(config_of(active_slot()), tctx->layer)->name,
		     (unsigned long)(tctx->guest ? guest_mark : no_mark), tctx->queued_ns, tctx->cgroup_id);
}

#endif
