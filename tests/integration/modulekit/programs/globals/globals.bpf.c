// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// Results that a loader reads straight from global variables.
#define CPUS 4

struct hist {
	u32 slots[16];
};

struct hist hists[CPUS];
u64 total, misses;
static volatile s64 balance = -1;
u32 calls[6];

SEC("raw_tp/sched_wakeup")
int BPF_PROG(woken, struct task_struct *task)
{
	u32 cpu = bpf_get_smp_processor_id() & (CPUS - 1);

	hists[cpu].slots[1]++;
	__sync_fetch_and_add(&total, 1);
	__sync_fetch_and_add(&misses, 0);
	balance += 1;
	calls[cpu & 3]++;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
