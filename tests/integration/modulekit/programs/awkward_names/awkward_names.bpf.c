// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// Awkward names: columns that tables reserve, upper case, leading underscores, twins, and a struct the kernel also has.
struct file {
	u64 time;
	u32 gid, nid;
	u32 __state, State;
	struct {
		u32 x;
	} a_b;
	u32 a_b_x;
	char names[3][8];
	struct {
		u16 left, right;
	} pairs[2];
	u8 mac[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
	__type(value, struct file);
} files SEC(".maps");

SEC("raw_tp/sched_process_exec")
int BPF_PROG(executed, struct task_struct *task)
{
	struct file file = { .nid = 1 };

	bpf_ringbuf_output(&files, &file, sizeof(file), 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
