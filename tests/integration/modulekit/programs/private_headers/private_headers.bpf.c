// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Headers of the module's own, in a subfolder and without quotes.
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "include/detail/state.h"
#include "shared.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100);
	__type(key, u32);
	__type(value, struct shared_stat);
} stats SEC(".maps");

extern int LINUX_KERNEL_VERSION __kconfig;

SEC("raw_tp/sched_switch")
int switched(u64 *ctx)
{
	struct shared_stat stat = { .state = state_of((void *)ctx[1]) };
	u32 key = LINUX_KERNEL_VERSION < KERNEL_VERSION(5, 11, 0);

	bpf_map_update_elem(&stats, &key, &stat, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
