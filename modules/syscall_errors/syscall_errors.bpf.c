// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// System calls that fail: how often, by process, call and error.
#include <quarterdeck/errors.h>
#include <quarterdeck/kernel.h>

#include "names.h"

#define MAX_ERRNO 4095
// Values that the kernel uses internally when a signal arrives: the program receives EINTR or no error.
#define ERESTARTSYS 512
#define ERESTART_RESTARTBLOCK 516

struct key {
	u32 pid;
	enum syscall syscall;
	enum error error;
	char comm[TASK_COMM_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct key);
	__type(value, u64);
} failures SEC(".maps");

const volatile u32 only_pid = 0;
const volatile u32 only_error = 0;

// Runs after every system call: one comparison for those that succeed.
static __always_inline int on_return(const void *regs, long result)
{
	struct key key = {};
	u64 one = 1, *count;

	if (result >= 0 || result < -MAX_ERRNO) // not an error, or an address
		return 0;
	if (result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK) // the call continues after a signal
		return 0;
	key.pid = bpf_get_current_pid_tgid() >> 32;
	if ((only_pid && key.pid != only_pid) || (only_error && -result != only_error) || is_compat_syscall())
		return 0;
	key.syscall = syscall_number(regs);
	key.error = -result;
	bpf_get_current_comm(key.comm, sizeof(key.comm));
	count = bpf_map_lookup_elem(&failures, &key);
	if (!count) {
		if (!bpf_map_update_elem(&failures, &key, &one, BPF_NOEXIST))
			return 0;
		count = bpf_map_lookup_elem(&failures, &key); // another thread added it first
	}
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(return_btf, void *regs, long ret) { return on_return(regs, ret); }

SEC("raw_tp/sys_exit")
int BPF_PROG(return_raw, void *regs, long ret) { return on_return(regs, ret); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
