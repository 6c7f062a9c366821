// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// A map as flow accounting fills it: keys of 40 bytes, values of 48. Its program is run by hand.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct flow {
	__u32 local_address[4];
	__u32 remote_address[4];
	__u16 local_port;
	__u16 remote_port;
	__u32 protocol;
};

struct traffic {
	__u64 first;
	__u64 last;
	__u64 packets_in;
	__u64 packets_out;
	__u64 bytes_in;
	__u64 bytes_out;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 17);
	__type(key, struct flow);
	__type(value, struct traffic);
} flows SEC(".maps");

static long one(__u32 index, void *context)
{
	__u64 now = bpf_ktime_get_ns();
	struct flow flow = {
		.local_address = {0, 0, 0xffff, 0x0a000001},
		.remote_address = {0, 0, 0xffff, index * 2654435761u},
		.local_port = 443,
		.remote_port = index,
		.protocol = 6,
	};
	struct traffic traffic = {now, now, index, index + 1, 1500ull * index, 60ull * index};

	bpf_map_update_elem(&flows, &flow, &traffic, BPF_ANY);
	return 0;
}

SEC("syscall")
int fill(__u32 *entries)
{
	bpf_loop(*entries, one, 0, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
