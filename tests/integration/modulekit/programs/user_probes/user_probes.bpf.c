// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// User-space probes: attached by the manifest, with six arguments; and a USDT probe.
#include <bpf/usdt.bpf.h>

struct call_event {
	u32 pid;
	u64 arguments[6];
	long returned;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} calls SEC(".maps");

SEC("uprobe")
int BPF_UPROBE(called, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	struct call_event event = { .arguments = { a, b, c, d, e, f } };

	bpf_ringbuf_output(&calls, &event, sizeof(event), 0);
	return 0;
}

SEC("uretprobe/malloc")
int BPF_URETPROBE(returned, void *result)
{
	struct call_event event = { .returned = (long)result };

	bpf_ringbuf_output(&calls, &event, sizeof(event), 0);
	return 0;
}

SEC("usdt")
int BPF_USDT(collected, long generation)
{
	struct call_event event = { .returned = generation };

	bpf_ringbuf_output(&calls, &event, sizeof(event), 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
