// SPDX-License-Identifier: Apache-2.0
// Keeps the calls whose second argument is odd (half of them), and computes three columns of what it keeps.
#include "quarterdeck.h"

#include "event.h"

QD_TABLE((timestamp_ns, time), (u32, pid), (u32, tid), (u64, sum), (f64, ratio), (u32, bucket))

QD_TRANSFORM(struct event, e)
{
	if (e->args[1] & 1)
		QD_ROW(.time = (s64)e->time, .pid = e->pid, .tid = e->tid, .sum = e->args[0] + e->args[1] + e->args[2],
		       .ratio = (f64)e->args[2] / (f64)(e->args[1] + 1), .bucket = (u32)__builtin_clzll(e->args[0] | 1));
}
