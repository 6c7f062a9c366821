// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "quarterdeck.h"
#include "open.h"

QD_SETTING(u32, skip_pid, 3)
QD_TABLE((timestamp_ns, time), (u32, pid), (u64, kilobytes))
QD_TRANSFORM(struct open, o)
{
	if (o->pid != skip_pid)
		QD_ROW(.pid = o->pid, .kilobytes = o->bytes >> 10);
}
