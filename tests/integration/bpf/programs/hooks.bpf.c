/* A program for every place; each counts its own hits. */
#include "kernel.h"
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "GPL";

struct hits {
	__u64 tracepoint, raw_tp, tp_btf, fentry, lsm, kprobe, kretprobe, kprobe_multi, ksyscall;
	__u64 uprobe, uretprobe, uprobe_multi, usdt, perf_event;
	__u64 tc, tcx, xdp, socket, cgroup_skb, connect4, sockops, netfilter, iter;
} hits;

#define HOOK(section, name, result) \
	SEC(section) int on_##name(void *context) \
	{ \
		__sync_fetch_and_add(&hits.name, 1); \
		return result; \
	}

HOOK("tracepoint/syscalls/sys_enter_getppid", tracepoint, 0)
HOOK("raw_tp/sys_enter", raw_tp, 0)
HOOK("tp_btf/sys_enter", tp_btf, 0)
HOOK("fentry/do_sys_openat2", fentry, 0)
HOOK("lsm/file_open", lsm, 0)
HOOK("kprobe/do_sys_openat2", kprobe, 0)
HOOK("kretprobe/do_sys_openat2", kretprobe, 0)
HOOK("kprobe.multi/do_sys_open*", kprobe_multi, 0)
HOOK("ksyscall/getppid", ksyscall, 0)
HOOK("uprobe", uprobe, 0)
HOOK("uretprobe/libc:getppid", uretprobe, 0)
HOOK("uprobe.multi/libc:getppid", uprobe_multi, 0)
HOOK("perf_event", perf_event, 0)
HOOK("tc", tc, 0)
HOOK("tcx/egress", tcx, -1)
HOOK("xdp", xdp, 2)
HOOK("socket", socket, 0)
HOOK("cgroup_skb/egress", cgroup_skb, 1)
HOOK("cgroup/connect4", connect4, 1)
HOOK("sockops", sockops, 1)
HOOK("netfilter", netfilter, 1)

SEC("usdt") int on_usdt(struct pt_regs *context)
{
	__sync_fetch_and_add(&hits.usdt, 1);
	return 0;
}

SEC("iter/task") int on_iter(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task;

	if (!task)
		return 0;
	__sync_fetch_and_add(&hits.iter, 1);
	bpf_seq_write(context->meta->seq, &task->tgid, sizeof(task->tgid));
	return 0;
}
