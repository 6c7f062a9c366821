// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// How long runnable threads wait for a CPU: a histogram for each process, kept in the kernel.
#include <quarterdeck/kernel.h>

#define SLOTS 26 // the last one holds waits of 2^25 us (33 s) and more
#define TASK_RUNNING 0

struct latency {
	u64 count;
	u64 total;
	u64 slots[SLOTS];
	char comm[TASK_COMM_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, struct latency);
} latencies SEC(".maps");

// When each thread became runnable; 0 while it does not wait. Entries are kept: creating one costs as much as many look-ups.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, u32);
	__type(value, u64);
} waiting SEC(".maps");

const volatile u32 only_pid = 0;
const volatile bool per_process = true;

static const struct latency nothing;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct task_struct___before_5_14 {
	long state;
};
#pragma clang attribute pop

// Programs of tp_btf can follow pointers directly, which is much cheaper than calling a helper.
#define READ(pointer, member) (typed ? (pointer)->member : BPF_CORE_READ(pointer, member))

static __always_inline int starts_waiting(const bool typed, struct task_struct *task)
{
	u32 tid = READ(task, pid);
	u64 now, *since;

	if (!tid || (only_pid && READ(task, tgid) != only_pid)) // 0 is the idle task
		return 0;
	now = bpf_ktime_get_ns();
	since = bpf_map_lookup_elem(&waiting, &tid);
	if (since)
		*since = now;
	else
		bpf_map_update_elem(&waiting, &tid, &now, BPF_ANY);
	return 0;
}

static __always_inline bool is_runnable(const bool typed, struct task_struct *task)
{
	if (bpf_core_field_exists(task->__state))
		return READ(task, __state) == TASK_RUNNING;
	return READ((struct task_struct___before_5_14 *)task, state) == TASK_RUNNING;
}

static __always_inline u32 log2_of(u64 v)
{
	u32 shift, r;

	r = (v > 0xFFFFFFFF) << 5; v >>= r;
	shift = (v > 0xFFFF) << 4; v >>= shift; r |= shift;
	shift = (v > 0xFF) << 3; v >>= shift; r |= shift;
	shift = (v > 0xF) << 2; v >>= shift; r |= shift;
	shift = (v > 0x3) << 1; v >>= shift; r |= shift;
	return r | (v >> 1);
}

static __always_inline void count(const bool typed, struct task_struct *task, u64 waited_us)
{
	u32 slot = log2_of(waited_us), pid = per_process ? READ(task, tgid) : 0;
	struct latency *l = bpf_map_lookup_elem(&latencies, &pid);

	if (!l) {
		bpf_map_update_elem(&latencies, &pid, &nothing, BPF_NOEXIST);
		l = bpf_map_lookup_elem(&latencies, &pid);
		if (!l)
			return;
	}
	if (slot >= SLOTS)
		slot = SLOTS - 1;
	__sync_fetch_and_add(&l->count, 1);
	__sync_fetch_and_add(&l->total, waited_us);
	__sync_fetch_and_add(&l->slots[slot], 1);
	if (per_process) // read each time: exec changes it
		bpf_probe_read_kernel(l->comm, TASK_COMM_LEN, READ(task, group_leader)->comm);
}

static __always_inline int on_switch(const bool typed, bool preempted, struct task_struct *before,
				     struct task_struct *after)
{
	u32 tid = READ(after, pid);
	u64 *since, waited;

	if (preempted || is_runnable(typed, before)) // it has not finished: it waits from now on
		starts_waiting(typed, before);
	if (!tid)
		return 0;
	since = bpf_map_lookup_elem(&waiting, &tid);
	if (!since || !*since)
		return 0;
	waited = bpf_ktime_get_ns() - *since;
	*since = 0;
	count(typed, after, waited / 1000);
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(wakeup_btf, struct task_struct *task) { return starts_waiting(true, task); }

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(wakeup_new_btf, struct task_struct *task) { return starts_waiting(true, task); }

SEC("tp_btf/sched_switch")
int BPF_PROG(switch_btf, bool preempted, struct task_struct *before, struct task_struct *after)
{
	return on_switch(true, preempted, before, after);
}

SEC("raw_tp/sched_wakeup")
int BPF_PROG(wakeup_raw, struct task_struct *task) { return starts_waiting(false, task); }

SEC("raw_tp/sched_wakeup_new")
int BPF_PROG(wakeup_new_raw, struct task_struct *task) { return starts_waiting(false, task); }

SEC("raw_tp/sched_switch")
int BPF_PROG(switch_raw, bool preempted, struct task_struct *before, struct task_struct *after)
{
	return on_switch(false, preempted, before, after);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
