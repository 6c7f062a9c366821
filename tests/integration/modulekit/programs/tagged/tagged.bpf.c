// Two kinds of records in one ring buffer, told apart by the enum that both begin with; a third is nobody's.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

enum kind { OPEN = -1, CLOSE = 2, OTHER = 3 };

struct head {
	enum kind kind;
	u8 version;
};

struct open_event {
	struct head head;
	u32 flags;
	char name[24];
};

struct close_event {
	struct head head;
	u64 fd;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} events SEC(".maps");

const volatile u32 only_pid = 1;

static void send(int kind, u8 version, u64 number)
{
	if (kind == OPEN) {
		struct open_event e = { .head = { kind, version }, .flags = number, .name = "a file" };
		bpf_ringbuf_output(&events, &e, sizeof(e), 0);
	} else {
		struct close_event e = { .head = { kind, version }, .fd = number };
		bpf_ringbuf_output(&events, &e, sizeof(e), 0);
	}
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int called(void *ctx)
{
	if (bpf_get_current_pid_tgid() >> 32 != only_pid)
		return 0;
	send(OPEN, 1, 10);
	send(CLOSE, 1, 20);
	send(OTHER, 1, 30);
	send(OPEN, 2, 11);
	send(CLOSE, 2, 21);
	send(7, 1, 22);
	return 0;
}
