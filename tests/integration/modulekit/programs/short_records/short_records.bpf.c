// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// Records of different length: one ends in a flexible array, one sends only the used part of its last array, and one
// that of the array it mostly is, though a member stands behind it.
struct line {
	u32 pid;
	u32 length;
	char text[];
};

struct command {
	u32 pid, args_size;
	char args[1024];
};

struct message {
	u32 pid, length;
	u8 text[256];
	u32 direction;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} lines SEC(".maps"), commands SEC(".maps"), messages SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct command);
} scratch SEC(".maps");

SEC("raw_tp/sys_enter")
int BPF_PROG(entered, struct pt_regs *regs, long id)
{
	struct {
		struct line line;
		char text[12];
	} said = { .line = { .length = 12 }, .text = "hello there" };
	struct command *command;
	struct message *message = bpf_ringbuf_reserve(&messages, 11, 0);

	if (message) {
		message->length = 3;
		__builtin_memcpy(message->text, "hi", 3);
		bpf_ringbuf_submit(message, 0);
	}
	bpf_ringbuf_output(&lines, &said, sizeof(said), 0);
	command = bpf_map_lookup_elem(&scratch, &(u32){ 0 });
	if (command) {
		command->args_size = 8;
		bpf_ringbuf_output(&commands, command, 16, 0);
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
