// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Shared by the program and its transform, so only types whose size is the same in both.
struct open {
	unsigned int pid;
	unsigned int unused;
	unsigned long long bytes;
};
