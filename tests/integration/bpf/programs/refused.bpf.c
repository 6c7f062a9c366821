/* Programs of which some cannot load: on any kernel, or on kernels like this one. */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct no_such_struct {
	int no_such_field;
} __attribute__((preserve_access_index));

struct {
	__uint(type, 9999);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} impossible SEC(".maps");

__u64 hits;

SEC("raw_tp/sys_enter") int good(__u64 *args)
{
	hits++;
	return 0;
}

SEC("raw_tp/sys_enter") int unsafe(__u64 *args)
{
	return *(int *)args[0];
}

SEC("tp_btf/no_such_event") int no_event(__u64 *args)
{
	return 0;
}

SEC("raw_tp/sys_enter") int no_field(__u64 *args)
{
	struct no_such_struct *strange = (void *)args;

	return strange->no_such_field;
}

SEC("raw_tp/sys_enter") int no_map(__u64 *args)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&impossible, &key) != 0;
}

SEC("quarterdeck/unheard_of") int no_section(__u64 *args)
{
	return 0;
}

SEC("tcx/ingress") int younger(void *packet)
{
	return -1;
}
