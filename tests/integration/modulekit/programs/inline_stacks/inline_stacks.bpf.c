// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

// Addresses in the record itself, ports as they are in a packet, room that the program reserves as it goes; and a struct
// in a map that has nothing to do with what is sent.
typedef u64 frames_t[16];

struct config {
	u32 depth, level;
};

struct wakeup_event_hdr {
	u32 pid;
	__be16 ports[2];
	s32 kstack_size;
	frames_t kstack, ustack;
	double weights[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} sent SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct config);
} configs SEC(".maps");

SEC("raw_tp/sys_enter")
int BPF_PROG(entered, struct pt_regs *regs, long id)
{
	struct config *config = bpf_map_lookup_elem(&configs, &(u32){ 0 });
	struct wakeup_event_hdr event = { .pid = bpf_get_current_pid_tgid() >> 32 };
	struct bpf_dynptr room;

	if (!config || config->level)
		return 0;
	event.ports[0] = __builtin_bswap16(80);
	event.ports[1] = __builtin_bswap16(443);
	event.kstack_size = bpf_get_stack(ctx, event.kstack, sizeof(event.kstack), 0);
	bpf_get_stack(ctx, event.ustack, sizeof(event.ustack), BPF_F_USER_STACK);
	if (!bpf_ringbuf_reserve_dynptr(&sent, sizeof(event), 0, &room))
		bpf_dynptr_write(&room, 0, &event, sizeof(event), 0);
	bpf_ringbuf_submit_dynptr(&room, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
