// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// A ring of records with everything a struct can hold.
enum verdict { PASS, DROP = 7 };

struct endpoint {
	__be32 ip;
	__be16 port;
};

struct event {
	u64 ts;
	u32 pid, tgid;
	char comm[16];
	struct endpoint from, to;
	union {
		u32 v4;
		u8 v6[16];
	} addr;
	unsigned int urgent : 1, level : 5;
	enum verdict verdict;
	u16 ports[4];
	s64 delta_ns;
	bool ok;
	struct in6_addr peer;
	double load;
	void *where;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} events SEC(".maps");

SEC("raw_tp/sys_enter")
int BPF_PROG(entered, struct pt_regs *regs, long id)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 0;
	__builtin_memset(event, 0, sizeof(*event));
	event->ts = bpf_ktime_get_ns();
	event->tgid = bpf_get_current_pid_tgid() >> 32;
	event->level = 9;
	event->verdict = DROP;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
