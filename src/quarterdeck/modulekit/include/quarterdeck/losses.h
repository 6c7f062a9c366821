/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Counters of the records for which a ring buffer had no space, and of the entries for which a map had no space. The
 * agent reads the counters and reports them as losses.
 *
 * The helpers below keep their names and meaning; a call costs one more comparison, and only a refusal is counted. They
 * are function-like macros over variadic arguments, so that declarations, casts and compound literals in arguments keep
 * their meaning. QD_RING_FULL and QD_MAP_FULL come from the compiler's command line. Define QD_NO_LOSSES before
 * including bpf_helpers.h to turn the counters off.
 */
#ifndef QUARTERDECK_LOSSES_H
#define QUARTERDECK_LOSSES_H
#if defined(QD_RING_FULL) && !defined(QD_NO_LOSSES)

struct {
	__uint(type, 6); /* BPF_MAP_TYPE_PERCPU_ARRAY, which a small vmlinux.h may lack */
	__uint(key_size, sizeof(unsigned int));
	__uint(value_size, sizeof(unsigned long long));
	__uint(max_entries, QD_LOSS_SLOTS);
} qd_losses SEC(".maps");

static __always_inline void qd_lost(unsigned int slot)
{
	unsigned long long *lost = bpf_map_lookup_elem(&qd_losses, &slot);

	if (lost)
		__sync_fetch_and_add(lost, 1); /* an interrupt on this CPU may lose one too */
}

static __always_inline void *qd_ringbuf_reserve(void *ring, unsigned long long size, unsigned long long flags)
{
	void *record = bpf_ringbuf_reserve(ring, size, flags);

	if (!record)
		qd_lost(QD_RING_FULL);
	return record;
}

static __always_inline long qd_ringbuf_output(void *ring, void *record, unsigned long long size,
					      unsigned long long flags)
{
	long failed = bpf_ringbuf_output(ring, record, size, flags);

	if (failed)
		qd_lost(QD_RING_FULL);
	return failed;
}

static __always_inline long qd_map_update_elem(void *map, const void *key, const void *value, unsigned long long flags)
{
	long failed = bpf_map_update_elem(map, key, value, flags);

	if (failed == -7 || failed == -12) /* E2BIG: the map is full; ENOMEM: no memory for the entry */
		qd_lost(QD_MAP_FULL);
	return failed;
}

#define bpf_ringbuf_reserve_dynptr(...)                                                                                \
	({                                                                                                             \
		long qd_failed = bpf_ringbuf_reserve_dynptr(__VA_ARGS__);                                              \
		if (qd_failed)                                                                                         \
			qd_lost(QD_RING_FULL);                                                                         \
		qd_failed;                                                                                             \
	})
#define bpf_ringbuf_reserve(...) qd_ringbuf_reserve(__VA_ARGS__)
#define bpf_ringbuf_output(...) qd_ringbuf_output(__VA_ARGS__)
#define bpf_map_update_elem(...) qd_map_update_elem(__VA_ARGS__)

#endif
#endif
