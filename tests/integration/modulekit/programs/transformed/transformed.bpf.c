// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// A transform makes the columns of one table; the other's come from the struct.
#include "open.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} opens SEC(".maps");

SEC("raw_tp/sys_enter")
int BPF_PROG(entered, struct pt_regs *regs, long id)
{
	struct open open = { .pid = bpf_get_current_pid_tgid() >> 32, .bytes = id };

	bpf_ringbuf_output(&opens, &open, sizeof(open), 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
