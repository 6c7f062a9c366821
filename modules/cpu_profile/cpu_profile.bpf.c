// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Where CPUs spend their time: samples of the running process's stacks, counted in the kernel.
#include <quarterdeck/kernel.h>

struct key {
	u32 pid;
	s32 user_stack;
	s32 kernel_stack;
	char comm[TASK_COMM_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct key);
	__type(value, u64);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 16384);
	__uint(key_size, sizeof(u32));
	__uint(value_size, 127 * sizeof(u64));
} stacks SEC(".maps");

const volatile u32 only_pid = 0;
const volatile bool idle = false;

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	u64 one = 1, *count;
	struct key key = { .pid = bpf_get_current_pid_tgid() >> 32 };

	if (!idle && (u32)bpf_get_current_pid_tgid() == 0) // the idle task of this CPU
		return 0;
	if (only_pid && key.pid != only_pid)
		return 0;
	key.user_stack = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	key.kernel_stack = bpf_get_stackid(ctx, &stacks, 0);
	bpf_get_current_comm(key.comm, sizeof(key.comm));
	count = bpf_map_lookup_elem(&samples, &key);
	if (!count) {
		if (!bpf_map_update_elem(&samples, &key, &one, BPF_NOEXIST))
			return 0;
		count = bpf_map_lookup_elem(&samples, &key); // another CPU added it first, or the map is full
	}
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
