/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The system's <bpf/bpf_core_read.h>, with additions of newer versions.
 */
#include_next <bpf/bpf_core_read.h>

#ifndef QUARTERDECK_BPF_CORE_READ_H
#define QUARTERDECK_BPF_CORE_READ_H

#ifndef bpf_core_cast /* 1.4: a pointer that may be followed directly, checked by the verifier */
extern void *bpf_rdonly_cast(const void *obj, unsigned int btf_id) __attribute__((section(".ksyms"), weak));
#define bpf_core_cast(ptr, type)                                                                                   \
	((typeof(type) *)bpf_rdonly_cast((ptr), __builtin_btf_type_id(*(typeof(type) *)0, 1)))
#endif

#ifndef bpf_core_type_matches /* 1.0 */
#define bpf_core_type_matches(type) __builtin_preserve_type_info(*(typeof(type) *)0, 2)
#endif

#ifndef BPF_CORE_WRITE_BITFIELD /* 1.4: needs a pointer that may be written, such as a context's */
#define BPF_CORE_WRITE_BITFIELD(s, field, new_val)                                                                 \
	({                                                                                                         \
		void *qd_at = (void *)(s) + __CORE_RELO(s, field, BYTE_OFFSET);                                    \
		unsigned int qd_left = __CORE_RELO(s, field, LSHIFT_U64);                                          \
		unsigned int qd_right = __CORE_RELO(s, field, RSHIFT_U64);                                         \
		unsigned long long qd_mask = (~0ULL << qd_right) >> qd_left;                                  \
		unsigned long long qd_val = (unsigned long long)(new_val) << qd_right >> qd_left & qd_mask;        \
		switch (__CORE_RELO(s, field, BYTE_SIZE)) {                                                        \
		case 1: *(unsigned char *)qd_at = (*(unsigned char *)qd_at & ~qd_mask) | qd_val; break;            \
		case 2: *(unsigned short *)qd_at = (*(unsigned short *)qd_at & ~qd_mask) | qd_val; break;          \
		case 4: *(unsigned int *)qd_at = (*(unsigned int *)qd_at & ~qd_mask) | qd_val; break;              \
		case 8: *(unsigned long long *)qd_at = (*(unsigned long long *)qd_at & ~qd_mask) | qd_val; break;  \
		}                                                                                                  \
	})
#endif

#endif
