// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// One thing watched in three ways, of which a kernel may have one; and stacks inside the record.
struct stack_event {
	u32 pid;
	u32 depth;
	u64 frames[32];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} rb SEC(".maps");

static int seen(void *ctx)
{
	struct stack_event *event = bpf_ringbuf_reserve(&rb, sizeof(*event), 0);

	if (!event)
		return 0;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->depth = bpf_get_stack(ctx, event->frames, sizeof(event->frames), 0) / 8;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("fentry/do_exit")
int BPF_PROG(exit_fentry, long code)
{
	return seen(ctx);
}

SEC("kprobe/do_exit")
int BPF_KPROBE(exit_kprobe, long code)
{
	return seen(ctx);
}

SEC("raw_tp/sched_process_exit")
int BPF_PROG(exit_raw, struct task_struct *task)
{
	return seen(ctx);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
