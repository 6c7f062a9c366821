// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// Samples that the loader opens on each CPU, with stack ids; the stack map's sizes are left to the loader.
struct sample_key {
	u32 pid;
	int user_stack_id, kern_stack_id, waker_k_stack_id;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(key_size, sizeof(u32));
} stackmap SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct sample_key);
	__type(value, u64);
} counts SEC(".maps");

SEC("perf_event")
int sampled(struct bpf_perf_event_data *ctx)
{
	struct sample_key key = { .pid = bpf_get_current_pid_tgid() >> 32 };
	u64 one = 1, *count;

	bpf_get_current_comm(key.comm, sizeof(key.comm));
	key.user_stack_id = bpf_get_stackid(ctx, &stackmap, BPF_F_USER_STACK);
	key.kern_stack_id = key.waker_k_stack_id = bpf_get_stackid(ctx, &stackmap, 0);
	count = bpf_map_lookup_elem(&counts, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&counts, &key, &one, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
