// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

// Moments and durations that the program divided before it sent them.
struct event {
	u64 ts_us, span_us, began;
	u32 pid;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} events SEC(".maps");

SEC("raw_tp/sys_enter")
int BPF_PROG(entered, struct pt_regs *regs, long id)
{
	u64 now = bpf_ktime_get_ns();
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 0;
	event->ts_us = now / 1000;
	event->span_us = 1500;
	event->began = now / 1000000;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
