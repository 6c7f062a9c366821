// SPDX-License-Identifier: Apache-2.0
// A storm of system calls from one process: getppid(), the cheapest there is, with arguments that a program can read.
//
// Says its process id and the call's number, then for each line "SECONDS RATE" on its input makes calls for so long, at
// RATE a second (0: as many as it can), and answers "CALLS NANOSECONDS". Ends with its input.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BURST = 256 };

static long long now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(void)
{
	double seconds, rate;
	unsigned long long calls = 0;

	printf("%d %d\n", getpid(), SYS_getppid);
	fflush(stdout);
	while (scanf("%lf %lf", &seconds, &rate) == 2) {
		long long began = now(), end = began + (long long)(seconds * 1e9), at = began;
		unsigned long long before = calls;

		while (at < end) {
			for (int i = 0; i < BURST; i++, calls++)
				syscall(SYS_getppid, calls, calls * 3, calls >> 3, 4, 5);
			at = now();
			long long due = rate ? began + (long long)((double)(calls - before) / rate * 1e9) : 0;
			if (due > at + 100000) {
				struct timespec pause = {(due - at) / 1000000000, (due - at) % 1000000000};
				nanosleep(&pause, NULL);
				at = now();
			}
		}
		printf("%llu %lld\n", calls - before, at - began);
		fflush(stdout);
	}
	return 0;
}
