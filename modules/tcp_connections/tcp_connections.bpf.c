// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// TCP connections that are opened, closed, or fail to open: their owners, peers, durations, bytes and round-trip times.
#include <quarterdeck/kernel.h>

#include <bpf/bpf_endian.h>

#define AF_INET 2
#define AF_INET6 10

#define IPPROTO_TCP 6
#define SOCK_DONE 1 // the bit of skc_flags that is set when the other side's FIN was received

enum tcp_state {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_FIN_WAIT1 = 4,
	TCP_CLOSE = 7,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10,
};

enum connection_event { OPENED, CLOSED, FAILED };
enum connection_side { UNKNOWN, CLIENT, SERVER };

struct connection {
	u64 time;
	u64 duration;
	u64 cgroup;
	u64 bytes_sent;
	u64 bytes_received;
	u32 rtt;
	u32 retransmits;
	enum connection_event event;
	enum connection_side side;
	u32 pid;
	u32 uid;
	u16 local_port;
	u16 remote_port;
	u8 local_ip[16];
	u8 remote_ip[16];
	char comm[TASK_COMM_LEN];
};

// The known facts of a socket before it closes, without padding, which kernels before 6.3 refuse.
struct opening {
	u64 time; // of connect(), then of the handshake's end; 0: unknown
	u32 pid;
	enum connection_side side;
	char comm[TASK_COMM_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 << 10);
} connections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct sock *);
	__type(value, struct opening);
} openings SEC(".maps");

const volatile u16 only_port = 0;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct in6_addr {
	union {
		u8 u6_addr8[16];
	} in6_u;
};
struct sock_common {
	u16 skc_family;
	__be16 skc_dport;
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	unsigned long skc_flags;
};
struct sock_cgroup_data {
	struct cgroup *cgroup; // since 5.15
};
struct sock {
	struct sock_common __sk_common;
	u16 sk_protocol;
	kuid_t sk_uid;
	struct sock_cgroup_data sk_cgrp_data;
};
struct inet_sock {
	__be16 inet_sport; // unlike skc_num, still set when the socket closes
};
struct tcp_sock {
	u64 bytes_sent;
	u64 bytes_retrans;
	u64 bytes_received;
	u32 srtt_us;
	u32 total_retrans;
};
#pragma clang attribute pop

static __always_inline void read_addresses(struct connection *c, struct sock *sk, u16 family)
{
	if (family == AF_INET6) {
		BPF_CORE_READ_INTO(&c->local_ip, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&c->remote_ip, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
		return;
	}
	// IPv4 as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2): one column holds both
	u32 local = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
	u32 remote = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	__builtin_memset(c->local_ip, 0, 16);
	__builtin_memset(c->remote_ip, 0, 16);
	c->local_ip[10] = c->local_ip[11] = c->remote_ip[10] = c->remote_ip[11] = 0xff;
	__builtin_memcpy(c->local_ip + 12, &local, 4);
	__builtin_memcpy(c->remote_ip + 12, &remote, 4);
}

// FIN takes one sequence number, and the kernel counts it as a byte.
static __always_inline u64 bytes_received(struct sock *sk)
{
	u64 bytes = BPF_CORE_READ((struct tcp_sock *)sk, bytes_received);

	return bytes && BPF_CORE_READ(sk, __sk_common.skc_flags) >> SOCK_DONE & 1 ? bytes - 1 : bytes;
}

static __always_inline bool wanted(u16 local_port, u16 remote_port)
{
	return !only_port || local_port == only_port || remote_port == only_port;
}

static __always_inline void emit(struct sock *sk, struct opening *o, enum connection_event event, u64 now)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	u16 local_port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	u16 remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	struct connection *c;

	if (!wanted(local_port, remote_port))
		return;
	c = bpf_ringbuf_reserve(&connections, sizeof(*c), 0);
	if (!c)
		return;
	c->time = now;
	c->duration = event == OPENED || !o->time ? 0 : now - o->time;
	c->cgroup = 0;
	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		c->cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
	c->bytes_sent = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
	c->bytes_received = bytes_received(sk);
	c->rtt = BPF_CORE_READ(tcp, srtt_us) >> 3;
	c->retransmits = BPF_CORE_READ(tcp, total_retrans);
	c->event = event;
	c->side = o->side;
	c->pid = o->pid;
	c->uid = BPF_CORE_READ(sk, sk_uid.val);
	c->local_port = local_port;
	c->remote_port = remote_port;
	read_addresses(c, sk, BPF_CORE_READ(sk, __sk_common.skc_family));
	__builtin_memcpy(c->comm, o->comm, TASK_COMM_LEN);
	bpf_ringbuf_submit(c, 0);
}

static __always_inline void remember_owner(struct opening *o)
{
	o->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(o->comm, sizeof(o->comm));
}

static __always_inline bool is_tcp(struct sock *sk)
{
	u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP && (family == AF_INET || family == AF_INET6);
}

// Once established, a socket is in one of these states until its end; TIME_WAIT is not a state of the socket.
static __always_inline bool was_established(int state)
{
	return state != TCP_LISTEN && state != TCP_SYN_SENT && state != TCP_SYN_RECV && state != TCP_CLOSE;
}

// The tracepoint runs for every protocol with TCP's states.
static __always_inline int on_state(struct sock *sk, int before, int after)
{
	u64 now = bpf_ktime_get_ns();
	struct opening *known, fresh = {};

	if (!is_tcp(sk))
		return 0;
	known = bpf_map_lookup_elem(&openings, &sk);
	switch (after) {
	case TCP_SYN_SENT: // in connect(), so the current process is the client
		fresh.time = now;
		fresh.side = CLIENT;
		remember_owner(&fresh);
		bpf_map_update_elem(&openings, &sk, &fresh, BPF_ANY);
		break;
	case TCP_ESTABLISHED:
		if (!known) { // in network processing: the current process is unrelated
			fresh.side = before == TCP_SYN_RECV ? SERVER : CLIENT;
			bpf_map_update_elem(&openings, &sk, &fresh, BPF_ANY);
			known = bpf_map_lookup_elem(&openings, &sk);
			if (!known)
				break;
		}
		known->time = now;
		emit(sk, known, OPENED, now);
		break;
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK: // in close() or shutdown(), so the current process is the owner
		if (!known) { // established before the module was loaded
			bpf_map_update_elem(&openings, &sk, &fresh, BPF_ANY);
			known = bpf_map_lookup_elem(&openings, &sk);
		}
		if (known && !known->pid)
			remember_owner(known);
		break;
	case TCP_CLOSE:
		if (was_established(before))
			emit(sk, known ?: &fresh, CLOSED, now);
		else if (known)
			emit(sk, known, FAILED, now);
		if (known)
			bpf_map_delete_elem(&openings, &sk);
		break;
	}
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(state_btf, struct sock *sk, int before, int after)
{
	return on_state(sk, before, after);
}

SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(state_raw, struct sock *sk, int before, int after)
{
	return on_state(sk, before, after);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
