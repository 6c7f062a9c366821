// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

// Process and thread in one number, as the helper returns them, beside a user stack of that process; namespaces.
struct wait_key {
	u64 pid_tgid;
	u32 mnt_ns, pid_ns;
	int user_stack_id;
};

struct wait {
	u64 calls;
	u64 asked_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__type(key, u32);
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct wait_key);
	__type(value, struct wait);
} waits SEC(".maps");

const volatile s32 only_pid = 0;

SEC("tracepoint/syscalls/sys_enter_clock_nanosleep")
int on_sleep(struct trace_event_raw_sys_enter *ctx)
{
	struct wait_key key = { .pid_tgid = bpf_get_current_pid_tgid() };
	struct wait first = {}, *seen;

	if (only_pid && key.pid_tgid >> 32 != only_pid)
		return 0;
	key.user_stack_id = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	bpf_map_update_elem(&waits, &key, &first, BPF_NOEXIST);
	seen = bpf_map_lookup_elem(&waits, &key);
	if (seen)
		__sync_fetch_and_add(&seen->calls, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
