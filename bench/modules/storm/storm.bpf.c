// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// An event for each time that one process enters one system call.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "event.h"

const volatile __u32 only_pid = 0;
const volatile __u32 only_syscall = 0;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} events SEC(".maps");

SEC("tp_btf/sys_enter")
int BPF_PROG(on_enter, struct pt_regs *regs, long number)
{
	__u64 task = bpf_get_current_pid_tgid();
	struct event *event;

	if (task >> 32 != only_pid || number != only_syscall)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	event->time = bpf_ktime_get_ns();
	event->pid = task >> 32;
	event->tid = task;
	event->syscall = number;
	event->cpu = bpf_get_smp_processor_id();
	event->args[0] = PT_REGS_PARM1(regs);
	event->args[1] = PT_REGS_PARM2(regs);
	event->args[2] = PT_REGS_PARM3(regs);
	event->args[3] = PT_REGS_PARM4_SYSCALL(regs);
	event->args[4] = PT_REGS_PARM5(regs);
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
