// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Every file opened on the node, and every attempt that failed.
#include <quarterdeck/errors.h>
#include <quarterdeck/kernel.h>
#include <quarterdeck/text.h>

#define FILENAME_BYTES 512

// 64-bit kernels always add this flag, so it carries no information.
#ifdef __TARGET_ARCH_x86
#define O_LARGEFILE 0100000
#else
#define O_LARGEFILE 0400000
#endif
#define CREAT_FLAGS 01101 // creat(path) is open(path, O_CREAT | O_WRONLY | O_TRUNC)

struct open {
	u64 time;
	u64 duration;
	u64 cgroup;
	u32 pid;
	u32 tid;
	u32 uid;
	u32 flags;
	s32 fd;
	enum error error;
	char comm[TASK_COMM_LEN];
	char filename[FILENAME_BYTES]; // only its used bytes are sent
};

struct call {
	u64 time;
	const char *filename;
	u64 flags; // as wide as the others: kernels before 6.3 refuse padding
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} opens SEC(".maps");

// Calls that have not returned yet, by thread.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, struct call);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct open);
} scratch SEC(".maps");

const volatile u32 only_pid = 0;
const volatile u32 only_uid = -1;
const volatile bool only_failed = false;

static __always_inline bool wanted(void)
{
	if (only_pid && bpf_get_current_pid_tgid() >> 32 != only_pid)
		return false;
	return only_uid == (u32)-1 || (u32)bpf_get_current_uid_gid() == only_uid;
}

static __always_inline int enter(const void *filename, u64 flags)
{
	struct call call = { .time = bpf_ktime_get_ns(), .filename = filename, .flags = flags };
	u32 tid = bpf_get_current_pid_tgid();

	if (wanted())
		bpf_map_update_elem(&calls, &tid, &call, BPF_ANY);
	return 0;
}

// openat2 has its flags in memory, as the first member of struct open_how.
static __always_inline int enter_how(const void *filename, const void *how)
{
	u64 flags = 0;

	bpf_probe_read_user(&flags, sizeof(flags), how);
	return enter(filename, flags);
}

// The name is read when the call returns: its memory is then present, because the kernel has read it.
static __always_inline int emit(u64 since, const char *filename, u32 flags, int result)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 zero = 0;
	struct open *o;
	char next = 0;
	long bytes;

	if (only_failed && result >= 0)
		return 0;
	o = bpf_map_lookup_elem(&scratch, &zero);
	if (!o)
		return 0;
	o->time = bpf_ktime_get_ns();
	o->duration = since ? o->time - since : 0;
	o->cgroup = bpf_get_current_cgroup_id();
	o->pid = id >> 32;
	o->tid = id;
	o->uid = bpf_get_current_uid_gid();
	o->flags = flags & ~O_LARGEFILE;
	o->fd = result >= 0 ? result : -1;
	o->error = result < 0 ? -result : 0;
	bpf_get_current_comm(o->comm, sizeof(o->comm));
	bytes = bpf_probe_read_user_str(o->filename, sizeof(o->filename), filename);
	if (bytes < 0)
		bytes = 0;
	if (bytes > FILENAME_BYTES)
		bytes = FILENAME_BYTES;
	if (bytes == FILENAME_BYTES && !bpf_probe_read_user(&next, 1, filename + FILENAME_BYTES - 1) && next)
		mark_cut(&o->filename[FILENAME_BYTES - 1]);
	bpf_ringbuf_output(&opens, o, sizeof(*o) - FILENAME_BYTES + bytes, 0);
	return 0;
}

static __always_inline int leave(int result)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct call *found = bpf_map_lookup_elem(&calls, &tid);
	struct call call;

	if (!found)
		return 0;
	call = *found;
	bpf_map_delete_elem(&calls, &tid);
	return emit(call.time, call.filename, call.flags, result);
}

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct open_how___kernel {
	u64 flags;
};
struct trace_event_raw_sys_enter {
	long id;
	unsigned long args[6];
};
struct trace_event_raw_sys_exit {
	long ret;
};
#pragma clang attribute pop

// 1. open, creat, openat and openat2 all call this function; it is the cheapest place, if the kernel allows it.
SEC("fexit/do_sys_openat2")
int BPF_PROG(opened, int dfd, const char *filename, struct open_how___kernel *how, long result)
{
	return wanted() ? emit(0, filename, how->flags, result) : 0;
}

// 2. The system calls' own tracepoints.
SEC("tracepoint/syscalls/sys_enter_openat")
int enter_openat(struct trace_event_raw_sys_enter *ctx)
{
	return enter((void *)ctx->args[1], ctx->args[2]);
}

SEC("tracepoint/syscalls/sys_exit_openat")
int leave_openat(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_openat2")
int enter_openat2(struct trace_event_raw_sys_enter *ctx)
{
	return enter_how((void *)ctx->args[1], (void *)ctx->args[2]);
}

SEC("tracepoint/syscalls/sys_exit_openat2")
int leave_openat2(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx->ret);
}

// The two older calls; architectures newer than openat (such as arm64) lack them.
SEC("tracepoint/syscalls/sys_enter_open")
int enter_open(struct trace_event_raw_sys_enter *ctx)
{
	return enter((void *)ctx->args[0], ctx->args[1]);
}

SEC("tracepoint/syscalls/sys_exit_open")
int leave_open(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_creat")
int enter_creat(struct trace_event_raw_sys_enter *ctx)
{
	return enter((void *)ctx->args[0], CREAT_FLAGS);
}

SEC("tracepoint/syscalls/sys_exit_creat")
int leave_creat(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx->ret);
}

// 3. Every system call of any kind: needs no tracefs, but slows all of them a little.
#ifdef __TARGET_ARCH_x86
enum { OPEN = 2, CREAT = 85, OPENAT = 257, OPENAT2 = 437 };
#define ARGUMENTS(regs) \
	{ BPF_CORE_READ((struct pt_regs___x86 *)regs, di), BPF_CORE_READ((struct pt_regs___x86 *)regs, si), \
	  BPF_CORE_READ((struct pt_regs___x86 *)regs, dx) }
#else
enum { OPEN = -1, CREAT = -2, OPENAT = 56, OPENAT2 = 437 };
#define ARGUMENTS(regs) \
	{ BPF_CORE_READ((struct pt_regs___arm64 *)regs, regs[0]), BPF_CORE_READ((struct pt_regs___arm64 *)regs, regs[1]), \
	  BPF_CORE_READ((struct pt_regs___arm64 *)regs, regs[2]) }
#endif

static __always_inline bool opens_a_file(u32 call)
{
	return (call == OPENAT || call == OPENAT2 || call == OPEN || call == CREAT) && !is_compat_syscall();
}

SEC("tp_btf/sys_enter")
int BPF_PROG(enter_any, void *regs, long call)
{
	if (!opens_a_file(call))
		return 0;

	u64 arguments[] = ARGUMENTS(regs);

	switch (call) {
	case OPENAT:
		return enter((void *)arguments[1], arguments[2]);
	case OPENAT2:
		return enter_how((void *)arguments[1], (void *)arguments[2]);
	case OPEN:
		return enter((void *)arguments[0], arguments[1]);
	default:
		return enter((void *)arguments[0], CREAT_FLAGS);
	}
}

SEC("tp_btf/sys_exit")
int BPF_PROG(leave_any, void *regs, long result)
{
	return opens_a_file(syscall_number(regs)) ? leave(result) : 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
