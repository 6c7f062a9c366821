// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// What the program sends and the transform reads: types of a fixed width, 64 bytes.
struct event {
	__u64 time;
	__u32 pid;
	__u32 tid;
	__u32 syscall;
	__u32 cpu;
	__u64 args[5];
};
