// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// Counters on each CPU, in maps declared by size alone.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 8);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u64));
} counts SEC(".maps");

struct traffic {
	u64 packets, bytes;
	u64 last_seen_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 64);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct traffic));
} by_port SEC(".maps");

SEC("raw_tp/softirq_entry")
int BPF_PROG(softirq, unsigned int vector)
{
	u32 slot = vector & 7;
	u64 *count = bpf_map_lookup_elem(&counts, &slot);
	struct traffic *seen, first = { .packets = 1 };

	if (count)
		*count += 1;
	seen = bpf_map_lookup_elem(&by_port, &slot);
	if (seen)
		seen->packets += 1;
	else
		bpf_map_update_elem(&by_port, &slot, &first, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
