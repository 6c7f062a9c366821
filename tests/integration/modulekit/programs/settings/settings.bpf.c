// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// Settings of every type that a loader can set.
enum mode { QUIET, LOUD = 5, LOUDER };

struct config {
	u32 pid;
	bool on;
	u8 mac[6];
};

const volatile bool flag = true;
const volatile s8 small = -3;
const volatile u64 big = 1ULL << 40;
const volatile pid_t target = -1;
const volatile enum mode mode = LOUD;
const volatile char name[16] = "eth0";
const volatile u32 ports[4] = { 80, 443 };
const volatile double ratio = 0.5;
const volatile struct config config = { .pid = 7, .on = true };
volatile const s64 offset = 37;
static const volatile u16 hidden = 9;
const u32 fixed = 11; // not volatile, so it is no setting
pid_t only_pid; // set before the load too, by loaders that know of it: a setting if the manifest says so
int weights[2] = { 1, 2 };

u64 sum;

SEC("raw_tp/sys_enter")
int BPF_PROG(entered, struct pt_regs *regs, long id)
{
	if (only_pid && bpf_get_current_pid_tgid() >> 32 != only_pid)
		return 0;
	sum += weights[1] + flag + small + big + target + mode + name[1] + ports[id & 3] + config.pid + config.mac[2] + offset + hidden + fixed;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
