/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The kernel types that the built-in modules read, with only the members that they use, in no particular order.
 * preserve_access_index makes the loader find the offset of each member in the running kernel (CO-RE), so a module that
 * includes this header instead of a generated vmlinux.h compiles on any machine and is small.
 */
#ifndef QUARTERDECK_KERNEL_H
#define QUARTERDECK_KERNEL_H

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;
#define true 1
#define false 0

#define TASK_COMM_LEN 16

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
	unsigned long total_vm;
};

struct signal_struct {
	atomic_t live;
	int group_exit_code;
	u64 utime;
	u64 stime;
	short oom_score_adj;
};

struct kernfs_node {
	u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

typedef struct {
	unsigned int val;
} kuid_t;

struct cred {
	kuid_t uid;
};

struct thread_info {
	unsigned long flags;
	u32 status; /* x86 only */
};

struct task_struct {
	struct thread_info thread_info;
	int pid;
	int tgid;
	int exit_code;
	unsigned int __state;
	u64 start_time;
	u64 utime;
	u64 stime;
	char comm[TASK_COMM_LEN];
	struct mm_struct *mm;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct signal_struct *signal;
	struct cred *cred;
	struct css_set *cgroups;
};

struct linux_binprm {
	const char *filename;
};

/* Registers at the entry and the return of a system call. */
struct pt_regs___x86 {
	unsigned long di, si, dx, orig_ax;
};

struct pt_regs___arm64 {
	u64 regs[31];
	s32 syscallno;
};

#pragma clang attribute pop

/* Return the cgroup v2 id of a task, as bpf_get_current_cgroup_id() does for the current task. */
static __always_inline u64 cgroup_id(struct task_struct *task)
{
	return BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
}

/* Return the number of the system call with which these registers entered the kernel. */
static __always_inline u32 syscall_number(const void *regs)
{
#if defined(__TARGET_ARCH_x86)
	return BPF_CORE_READ((const struct pt_regs___x86 *)regs, orig_ax);
#elif defined(__TARGET_ARCH_arm64)
	return BPF_CORE_READ((const struct pt_regs___arm64 *)regs, syscallno);
#else
#error "where the number of a system call is kept is not known for this architecture"
#endif
}

/* Return whether the current system call is one of the 32-bit ABI, whose numbers have another meaning. */
static __always_inline bool is_compat_syscall(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

#if defined(__TARGET_ARCH_x86)
	return BPF_CORE_READ(task, thread_info.status) & 2; /* TS_COMPAT */
#else
	return BPF_CORE_READ(task, thread_info.flags) >> 22 & 1; /* TIF_32BIT */
#endif
}

#endif
