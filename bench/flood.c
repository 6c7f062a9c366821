// SPDX-License-Identifier: Apache-2.0
// A flood of statsd packets from one process to a UDP port of this host, as fast as the kernel takes them (sendmmsg).
//
// For each line "PORT METRICS SECONDS RATE" on its input sends packets of so many metrics for so long, RATE a second (0: as
// many as it can), and answers "PACKETS BYTES NANOSECONDS": what was sent, all of it. Ends with its input.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BURST = 64, PACKET_BYTES = 1400, KEYS = 300 };

static long long now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int packet(char *text, int metrics, int number)
{
	static const char *types[] = {"c", "ms", "g"};
	int size = 0;

	for (int i = 0; i < metrics; i++, number++)
		size += snprintf(text + size, PACKET_BYTES - size, "%sshop.requests.page%d:%d|%s", i ? "\n" : "", number % KEYS,
				 number % 1000, types[number % 3]);
	return size;
}

int main(void)
{
	static char texts[BURST * 16][PACKET_BYTES];
	struct mmsghdr messages[BURST * 16] = {0};
	struct iovec pieces[BURST * 16];
	int port, metrics;
	double seconds, rate;

	while (scanf("%d %d %lf %lf", &port, &metrics, &seconds, &rate) == 4) {
		struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		int out = socket(AF_INET, SOCK_DGRAM, 0);
		unsigned long long sent = 0, bytes = 0;

		if (connect(out, (struct sockaddr *)&to, sizeof(to)))
			return 1;
		for (int i = 0; i < BURST * 16; i++) {
			pieces[i] = (struct iovec){texts[i], packet(texts[i], metrics, i * metrics)};
			messages[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i], .msg_iovlen = 1};
		}
		long long began = now(), end = began + (long long)(seconds * 1e9), at = began;
		for (int first = 0; at < end; first = (first + BURST) % (BURST * 16)) {
			int count = sendmmsg(out, messages + first, BURST, 0);

			if (count < 0)
				return 2;
			sent += count;
			for (int i = 0; i < count; i++)
				bytes += messages[first + i].msg_len;
			at = now();
			long long due = rate ? began + (long long)((double)sent / rate * 1e9) : 0;
			if (due > at + 50000) {
				struct timespec pause = {(due - at) / 1000000000, (due - at) % 1000000000};
				nanosleep(&pause, NULL);
				at = now();
			}
		}
		close(out);
		printf("%llu %llu %lld\n", sent, bytes, at - began);
		fflush(stdout);
	}
	return 0;
}
