// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#ifndef __VMLINUX_H__
#define __VMLINUX_H__
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u32 u32;
typedef __u64 u64;

enum bpf_map_type {
	BPF_MAP_TYPE_ARRAY = 2,
};

struct trace_event_raw_sched_switch {
	int next_prio;
} __attribute__((preserve_access_index));
#endif
