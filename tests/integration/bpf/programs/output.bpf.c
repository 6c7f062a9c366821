/* Producers for the ring and perf readers, run by test_run: args[0] records, args[1] what kind. */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct event {
	__u64 number;
	__u64 words[7];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} perf SEC(".maps");

struct counters {
	__u64 sent, lost, next;
} counters;

struct task {
	__u64 *args;
};

static int fixed(__u32 index, struct task *task)
{
	struct event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);

	if (!event) {
		counters.lost++;
		return 0;
	}
	event->number = counters.next++;
	event->words[0] = ~event->number;
	counters.sent++;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static int every_third_discarded(__u32 index, struct task *task)
{
	struct event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);

	if (!event)
		return 0;
	event->number = counters.next++;
	if (event->number % 3 == 0) {
		bpf_ringbuf_discard(event, 0);
		return 0;
	}
	counters.sent++;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static int mixed(__u32 index, struct task *task)
{
	struct event event = { .number = counters.next++ };
	__u32 size = 8 + (event.number * 7 & 0x1f);

	if (bpf_ringbuf_output(&ring, &event, size, 0))
		counters.lost++;
	else
		counters.sent++;
	return 0;
}

static int perf_fixed(__u32 index, struct task *task)
{
	struct event event = { .number = counters.next++ };

	if (bpf_perf_event_output(task->args, &perf, BPF_F_CURRENT_CPU, &event, sizeof(event)))
		counters.lost++;
	else
		counters.sent++;
	return 0;
}

static int perf_mixed(__u32 index, struct task *task)
{
	struct event event = { .number = counters.next++ };
	__u32 size = 8 + (event.number * 7 & 0x1f);

	if (bpf_perf_event_output(task->args, &perf, BPF_F_CURRENT_CPU, &event, size))
		counters.lost++;
	else
		counters.sent++;
	return 0;
}

#define PRODUCER(name) \
	SEC("raw_tp") int make_##name(__u64 *args) \
	{ \
		struct task task = { .args = args }; \
		return bpf_loop(args[0], name, &task, 0); \
	}

PRODUCER(fixed)
PRODUCER(every_third_discarded)
PRODUCER(mixed)
PRODUCER(perf_fixed)
PRODUCER(perf_mixed)
