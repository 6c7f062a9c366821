/* One map of each kind the reader knows; sizes left to the loader where a tool would leave them. */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct key {
	__u32 a;
	__u32 b;
};
struct value {
	__u64 packets;
	__u64 bytes;
	__u32 flags;
};

#define TABLE(name, kind, entries, flags) \
	struct { \
		__uint(type, kind); \
		__uint(max_entries, entries); \
		__uint(map_flags, flags); \
		__type(key, struct key); \
		__type(value, struct value); \
	} name SEC(".maps");
#define LIST(name, kind, entries) \
	struct { \
		__uint(type, kind); \
		__uint(max_entries, entries); \
		__type(key, __u32); \
		__type(value, struct value); \
	} name SEC(".maps");

TABLE(hash, BPF_MAP_TYPE_HASH, 20000, 0)
TABLE(hash_lazy, BPF_MAP_TYPE_HASH, 20000, BPF_F_NO_PREALLOC)
TABLE(lru, BPF_MAP_TYPE_LRU_HASH, 20000, 0)
TABLE(percpu_hash, BPF_MAP_TYPE_PERCPU_HASH, 20000, 0)
TABLE(lpm, BPF_MAP_TYPE_LPM_TRIE, 2000, BPF_F_NO_PREALLOC)
TABLE(unsized, BPF_MAP_TYPE_HASH, 0, 0)
LIST(array, BPF_MAP_TYPE_ARRAY, 5000)
LIST(percpu_array, BPF_MAP_TYPE_PERCPU_ARRAY, 5000)

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 64);
	__type(value, __u64);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 64);
	__type(value, __u64);
} stack SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__type(key, __u32);
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
} unsized_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__uint(pinning, 1); /* LIBBPF_PIN_BY_NAME */
	__type(key, __u32);
	__type(value, __u32);
} pinned SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { &inner } };

const volatile __u32 wanted = 7;
const volatile char prefix[8] = "abc";
__u32 seen;

SEC("syscall") int settings(void *context)
{
	seen++;
	return wanted * 1000 + prefix[0];
}

SEC("raw_tp") int record_stack(__u64 *args)
{
	return bpf_get_stackid(args, &stacks, 0);
}
