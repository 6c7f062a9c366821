// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// Histograms in a hash whose key is a struct, and a name that key and value share.
#define SLOTS 26

struct key {
	u32 pid;
	u16 dev;
};

struct hist {
	u32 pid;
	u64 count, total_us, max_us;
	u32 slots[SLOTS];
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct key);
	__type(value, struct hist);
} hists SEC(".maps");

static struct hist empty;

SEC("tp_btf/sched_switch")
int BPF_PROG(switched, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct key key = { .pid = next->tgid };
	struct hist *hist = bpf_map_lookup_elem(&hists, &key);

	if (!hist) {
		bpf_map_update_elem(&hists, &key, &empty, BPF_NOEXIST);
		hist = bpf_map_lookup_elem(&hists, &key);
		if (!hist)
			return 0;
	}
	__sync_fetch_and_add(&hist->slots[3], 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
