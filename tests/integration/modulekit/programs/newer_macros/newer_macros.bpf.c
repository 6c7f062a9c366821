// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// What newer libbpf headers bring: numeric iterators, kernel functions, casts that the verifier follows.
extern struct task_struct *bpf_task_acquire(struct task_struct *task) __ksym __weak;

struct record {
	u32 pid;
	u64 sum;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} records SEC(".maps");

SEC("tp_btf/sched_process_exit")
int BPF_PROG(exited, struct task_struct *task)
{
	struct task_struct *self = bpf_core_cast((void *)bpf_get_current_task(), struct task_struct);
	struct record record = { .pid = self->pid };
	int i, *next;

	bpf_for(i, 0, 100) {
		if (i == 90)
			break;
		record.sum += i;
	}
	bpf_repeat(3)
		record.sum++;
	bpf_for_each(num, next, 0, 4)
		record.sum += *next;
	if (bpf_ksym_exists(bpf_task_acquire))
		record.sum++;
	bpf_ringbuf_output(&records, &record, sizeof(record), 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
