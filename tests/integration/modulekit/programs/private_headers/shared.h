// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#ifndef SHARED_H
#define SHARED_H
#include <errno.h>

struct shared_stat {
	__s64 state;
	__u32 hits;
};
#endif
