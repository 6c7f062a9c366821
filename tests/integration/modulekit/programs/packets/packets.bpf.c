// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Packets, without vmlinux.h: the kernel's own user-space headers.
#include <stdbool.h>
#include <stdint.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct flow {
	__be32 source, destination;
	uint8_t protocol;
} __attribute__((packed));

struct flow_counts {
	uint64_t packets, bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct flow);
	__type(value, struct flow_counts);
} flows SEC(".maps");

static __attribute__((noinline)) int count(void *data, void *end)
{
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct flow_counts *counts, first = { .packets = 1 };
	struct flow flow = {};

	if ((void *)(ip + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP))
		return 0;
	flow.source = ip->saddr;
	flow.destination = ip->daddr;
	flow.protocol = ip->protocol;
	counts = bpf_map_lookup_elem(&flows, &flow);
	if (!counts)
		return bpf_map_update_elem(&flows, &flow, &first, BPF_ANY);
	__sync_fetch_and_add(&counts->packets, 1);
	return 0;
}

SEC("tc")
int classify(struct __sk_buff *skb)
{
	count((void *)(long)skb->data, (void *)(long)skb->data_end);
	return TC_ACT_OK;
}

SEC("xdp")
int passed(struct xdp_md *ctx)
{
	count((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
