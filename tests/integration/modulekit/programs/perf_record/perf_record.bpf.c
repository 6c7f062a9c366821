// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// A perf buffer, and a struct that nothing but the stack mentions: the compiler alone would not keep its type.
struct data_t {
	u32 pid;
	int ret;
	u64 delta_us;
	char task[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} output SEC(".maps");

SEC("tracepoint/raw_syscalls/sys_exit")
int left(struct trace_event_raw_sys_exit *ctx)
{
	struct data_t data = {};

	data.pid = bpf_get_current_pid_tgid() >> 32;
	data.ret = ctx->ret;
	bpf_get_current_comm(&data.task, sizeof(data.task));
	bpf_perf_event_output(ctx, &output, BPF_F_CURRENT_CPU, &data, sizeof(data));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
