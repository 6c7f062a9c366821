// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Every program started on the node, with its arguments, and every process that ended, with its exit code or signal.
#include <quarterdeck/kernel.h>
#include <quarterdeck/text.h>

#define ARGS_BYTES 1024
#define FILENAME_BYTES 256

struct exec {
	u64 time;
	u64 cgroup;
	u32 pid;
	u32 ppid;
	u32 uid;
	u32 args_bytes;
	char comm[TASK_COMM_LEN];
	char parent_comm[TASK_COMM_LEN];
	char filename[FILENAME_BYTES];
	char args[ARGS_BYTES]; // only args_bytes of them are sent
};

struct exit {
	u64 time;
	u64 cgroup;
	u64 duration;
	u64 user_time;
	u64 system_time;
	u32 pid;
	u32 ppid;
	u32 uid;
	s32 exit_code;
	u32 signal;
	u32 core_dumped;
	char comm[TASK_COMM_LEN];
};

// A process id is used again, but not at the same time.
struct process {
	u64 start_time;
	u64 pid;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 << 10);
} execs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 << 10);
} exits SEC(".maps");

// An exec does not fit on the stack of a program. One for each CPU is enough: tracepoints run with preemption off.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct exec);
} scratch SEC(".maps");

// Threads that end at the same time may each find that no other is left; only the first one reports the process.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct process);
	__type(value, u8);
} ended SEC(".maps");

const volatile u32 only_uid = -1;
const volatile u32 only_ppid = 0;

static __always_inline bool wanted(u32 uid, u32 ppid)
{
	if (only_uid != (u32)-1 && uid != only_uid)
		return false;
	return !only_ppid || ppid == only_ppid;
}

static __always_inline int on_exec(struct task_struct *task, struct linux_binprm *bprm)
{
	u32 zero = 0;
	u32 uid = bpf_get_current_uid_gid();
	u32 ppid = BPF_CORE_READ(task, real_parent, tgid);
	struct exec *e;

	if (!wanted(uid, ppid))
		return 0;
	e = bpf_map_lookup_elem(&scratch, &zero);
	if (!e)
		return 0;
	e->time = bpf_ktime_get_ns();
	e->cgroup = bpf_get_current_cgroup_id();
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->ppid = ppid;
	e->uid = uid;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	BPF_CORE_READ_STR_INTO(&e->parent_comm, task, real_parent, group_leader, comm);
	const char *path = BPF_CORE_READ(bprm, filename);
	char next = 0;
	long bytes = bpf_probe_read_kernel_str(e->filename, sizeof(e->filename), path);

	if (bytes < 0)
		e->filename[0] = 0;
	else if (bytes == sizeof(e->filename) && !bpf_probe_read_kernel(&next, 1, path + bytes - 1) && next)
		mark_cut(&e->filename[FILENAME_BYTES - 1]);

	u64 start = BPF_CORE_READ(task, mm, arg_start);
	u64 size = BPF_CORE_READ(task, mm, arg_end) - start;
	bool cut = size > ARGS_BYTES;

	if (cut)
		size = ARGS_BYTES;
	if (bpf_probe_read_user(e->args, size, (void *)start))
		size = 0;
	else if (cut)
		mark_cut(&e->args[ARGS_BYTES]);
	e->args_bytes = size;
	bpf_ringbuf_output(&execs, e, sizeof(*e) - ARGS_BYTES + size, 0);
	return 0;
}

// The times in `signal` are those of ended threads, without the last thread and the first, which stays to the end.
static __always_inline void read_times(struct exit *e, struct task_struct *task, struct task_struct *leader)
{
	struct signal_struct *signal = BPF_CORE_READ(task, signal);

	e->user_time = BPF_CORE_READ(signal, utime) + BPF_CORE_READ(task, utime);
	e->system_time = BPF_CORE_READ(signal, stime) + BPF_CORE_READ(task, stime);
	if (leader != task) {
		e->user_time += BPF_CORE_READ(leader, utime);
		e->system_time += BPF_CORE_READ(leader, stime);
	}
}

static __always_inline int on_exit(struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct signal_struct *signal = BPF_CORE_READ(task, signal);
	struct process process = { .start_time = BPF_CORE_READ(leader, start_time), .pid = BPF_CORE_READ(leader, pid) };
	u32 uid = bpf_get_current_uid_gid();
	u32 ppid = BPF_CORE_READ(task, real_parent, tgid);
	struct exit *e;
	u32 code;
	u8 yes = 1;

	if (BPF_CORE_READ(signal, live.counter) > 0) // another thread of the process still runs
		return 0;
	if (!wanted(uid, ppid) || bpf_map_update_elem(&ended, &process, &yes, BPF_NOEXIST))
		return 0;
	e = bpf_ringbuf_reserve(&exits, sizeof(*e), 0);
	if (!e)
		return 0;
	code = BPF_CORE_READ(signal, group_exit_code) ?: BPF_CORE_READ(task, exit_code);
	e->time = bpf_ktime_get_ns();
	e->cgroup = bpf_get_current_cgroup_id();
	e->duration = e->time - process.start_time;
	read_times(e, task, leader);
	e->pid = process.pid;
	e->ppid = ppid;
	e->uid = uid;
	e->exit_code = (code >> 8) & 0xff;
	e->signal = code & 0x7f;
	e->core_dumped = !!(code & 0x80);
	BPF_CORE_READ_STR_INTO(&e->comm, leader, comm);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec_btf, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	return on_exec(task, bprm);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(exit_btf, struct task_struct *task)
{
	return on_exit(task);
}

// The same programs without types, for kernels that refuse typed programs.
SEC("raw_tp/sched_process_exec")
int BPF_PROG(exec_raw, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	return on_exec(task, bprm);
}

SEC("raw_tp/sched_process_exit")
int BPF_PROG(exit_raw, struct task_struct *task)
{
	return on_exit(task);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
