// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// A vmlinux.h of its own, of two types, wins over the generated one.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} runs SEC(".maps");

SEC("tracepoint/sched/sched_switch")
int switched(struct trace_event_raw_sched_switch *ctx)
{
	u64 *run = bpf_map_lookup_elem(&runs, &(u32){ 1 });

	if (run)
		*run += ctx->next_prio;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
