// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// Output chosen at run time: a ring buffer where the kernel has one, else a perf buffer.
struct event {
	u64 timestamp;
	u32 pid, uid;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} rb SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct event);
} scratch SEC(".maps");

static __always_inline void *reserve(__u64 size)
{
	static const u32 zero = 0;

	if (bpf_core_type_exists(struct bpf_ringbuf))
		return bpf_ringbuf_reserve(&rb, size, 0);
	return bpf_map_lookup_elem(&scratch, &zero);
}

SEC("tp/sched/sched_process_fork")
int forked(struct trace_event_raw_sched_process_fork *ctx)
{
	struct event *event = reserve(sizeof(*event));

	if (!event)
		return 0;
	event->timestamp = bpf_ktime_get_ns();
	event->pid = ctx->child_pid;
	event->uid = bpf_get_current_uid_gid();
	if (bpf_core_type_exists(struct bpf_ringbuf))
		bpf_ringbuf_submit(event, 0);
	else
		bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, event, sizeof(*event));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
