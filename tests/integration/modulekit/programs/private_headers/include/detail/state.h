// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The member `state` is gone since Linux 5.14; programs for both kernels name both.
struct task_struct___new {
	unsigned int __state;
} __attribute__((preserve_access_index));

static __always_inline s64 state_of(void *task)
{
	if (bpf_core_field_exists(((struct task_struct___new *)task)->__state))
		return BPF_CORE_READ((struct task_struct___new *)task, __state);
	return BPF_CORE_READ((struct task_struct *)task, state);
}
