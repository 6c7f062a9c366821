// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Processes killed because memory ran out: the victim, its size, and the process that requested the memory.
#include <quarterdeck/kernel.h>

#include <linux/ptrace.h>

struct kill {
	u64 time;
	u64 cgroup;
	u64 resident;
	u64 virtual;
	u32 pid;
	u32 uid;
	s32 score_adj;
	u32 trigger_pid;
	char comm[TASK_COMM_LEN];
	char trigger_comm[TASK_COMM_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 10);
} kills SEC(".maps");

#define PAGE_BYTES 4096
#define MM_FILEPAGES 0
#define MM_ANONPAGES 1
#define MM_SHMEMPAGES 3

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct oom_control {
	struct task_struct *chosen;
};

struct percpu_counter {
	s64 count;
};

struct mm_struct___since_6_2 {
	struct percpu_counter rss_stat[4];
};

typedef struct {
	s64 counter;
} atomic_long_t;

struct mm_rss_stat {
	atomic_long_t count[4];
};

struct mm_struct___before_6_2 {
	struct mm_rss_stat rss_stat;
};
#pragma clang attribute pop

static __always_inline u64 resident_pages(void *memory)
{
	struct mm_struct___since_6_2 *mm = memory;
	struct mm_struct___before_6_2 *old = memory;

	if (bpf_core_field_exists(old->rss_stat.count))
		return BPF_CORE_READ(old, rss_stat.count[MM_FILEPAGES].counter) +
		       BPF_CORE_READ(old, rss_stat.count[MM_ANONPAGES].counter) +
		       BPF_CORE_READ(old, rss_stat.count[MM_SHMEMPAGES].counter);
	return BPF_CORE_READ(mm, rss_stat[MM_FILEPAGES].count) + BPF_CORE_READ(mm, rss_stat[MM_ANONPAGES].count) +
	       BPF_CORE_READ(mm, rss_stat[MM_SHMEMPAGES].count);
}

static __always_inline int on_kill(struct task_struct *victim)
{
	struct mm_struct *mm = BPF_CORE_READ(victim, mm);
	struct kill *k = bpf_ringbuf_reserve(&kills, sizeof(*k), 0);

	if (!k)
		return 0;
	k->time = bpf_ktime_get_ns();
	k->cgroup = cgroup_id(victim);
	k->resident = resident_pages(mm) * PAGE_BYTES;
	k->virtual = BPF_CORE_READ(mm, total_vm) * PAGE_BYTES;
	k->pid = BPF_CORE_READ(victim, tgid);
	k->uid = BPF_CORE_READ(victim, cred, uid.val);
	k->score_adj = BPF_CORE_READ(victim, signal, oom_score_adj);
	k->trigger_pid = bpf_get_current_pid_tgid() >> 32;
	BPF_CORE_READ_STR_INTO(&k->comm, victim, group_leader, comm);
	bpf_get_current_comm(k->trigger_comm, sizeof(k->trigger_comm));
	bpf_ringbuf_submit(k, 0);
	return 0;
}

// Since 6.9 the argument of the tracepoint is the victim, before only its process id. The victim's pid is read without
// a helper, so that older kernels refuse the program (a number is not a pointer) instead of running it on invalid data.
SEC("tp_btf/mark_victim")
int BPF_PROG(mark_victim, struct task_struct *victim) { return victim->pid ? on_kill(victim) : 0; }

SEC("fentry/oom_kill_process")
int BPF_PROG(oom_fentry, struct oom_control *control) { return on_kill(BPF_CORE_READ(control, chosen)); }

SEC("kprobe/oom_kill_process")
int BPF_KPROBE(oom_kprobe, struct oom_control *control) { return on_kill(BPF_CORE_READ(control, chosen)); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
