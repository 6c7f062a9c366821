/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The system's <bpf/bpf_helpers.h>, with additions of newer versions. An addition is not defined if the header already
 * has it. libbpf's documentation defines their meaning; the comments name the version that added them.
 */
#include_next <bpf/bpf_helpers.h>

#ifndef QUARTERDECK_BPF_HELPERS_H
#define QUARTERDECK_BPF_HELPERS_H

#ifndef __kptr_untrusted /* 1.2 */
#define __kptr_untrusted __attribute__((btf_type_tag("kptr_untrusted")))
#endif
#ifndef __kptr
#define __kptr __attribute__((btf_type_tag("kptr")))
#endif
#ifndef __percpu_kptr /* 1.3 */
#define __percpu_kptr __attribute__((btf_type_tag("percpu_kptr")))
#endif
#ifndef __uptr /* 1.5 */
#define __uptr __attribute__((btf_type_tag("uptr")))
#endif
#ifndef __contains
#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#endif
#ifndef __arg_ctx /* 1.4 */
#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#define __arg_nonnull __attribute__((btf_decl_tag("arg:nonnull")))
#define __arg_nullable __attribute__((btf_decl_tag("arg:nullable")))
#define __arg_trusted __attribute__((btf_decl_tag("arg:trusted")))
#define __arg_arena __attribute__((btf_decl_tag("arg:arena")))
#endif
#ifndef __arg_untrusted
#define __arg_untrusted __attribute__((btf_decl_tag("arg:untrusted")))
#endif
#ifndef __ulong /* 1.4; earlier libbpf reads numbers of maps only in this form, up to 32 bits */
#define __ulong(name, val) __uint(name, val)
#endif
#ifndef bpf_ksym_exists /* 1.2 */
#define bpf_ksym_exists(sym)                                                                                       \
	({                                                                                                         \
		_Static_assert(!__builtin_constant_p(!!sym), #sym " should be marked as __weak");                  \
		!!sym;                                                                                             \
	})
#endif

/* Open-coded iterators over numbers (kernel 6.4, libbpf 1.2). */
#ifndef bpf_for_each
struct bpf_iter_num;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __attribute__((weak)) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __attribute__((weak)) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __attribute__((weak)) __ksym;

/* for (T *item = next; item; item = next); the iterator is destroyed however the loop ends */
#define bpf_for_each(kind, item, args...)                                                                          \
	for (struct bpf_iter_##kind qd_it __attribute__((aligned(8), cleanup(bpf_iter_##kind##_destroy))),         \
	     *qd_on __attribute__((unused)) =                                                                      \
		     (bpf_iter_##kind##_new(&qd_it, ##args),                                                       \
		      (void)bpf_iter_##kind##_destroy, (void *)0);                                                 \
	     ((item) = bpf_iter_##kind##_next(&qd_it));)

/* for (i = start; i < end; i++) with any number of rounds: the verifier knows the bounds of i */
#define bpf_for(i, start, end)                                                                                     \
	for (struct bpf_iter_num qd_it __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))),                 \
	     *qd_on __attribute__((unused)) = (bpf_iter_num_new(&qd_it, (start), (end)),                           \
					       (void)bpf_iter_num_destroy, (void *)0);                             \
	     ({                                                                                                    \
		     int *qd_next = bpf_iter_num_next(&qd_it);                                                     \
		     (i) = qd_next ? *qd_next : (i);                                                               \
		     qd_next && (i) >= (start) && (i) < (end);                                                     \
	     });)

#define bpf_repeat(N)                                                                                              \
	for (struct bpf_iter_num qd_it __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))),                 \
	     *qd_on __attribute__((unused)) = (bpf_iter_num_new(&qd_it, 0, (N)), (void)bpf_iter_num_destroy,       \
					       (void *)0);                                                         \
	     bpf_iter_num_next(&qd_it);)
#endif

#include <quarterdeck/losses.h>

#endif
