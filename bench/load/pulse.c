// SPDX-License-Identifier: Apache-2.0
/*
 * pulse: N threads that each use the cpu for a while, sleep for a while, and so on until the program is ended.
 *
 *	pulse THREADS RUN_US PAUSE_US
 *
 * RUN_US is of the thread's own cpu time, so a thread that shares its cpu does not work less. Plain arithmetic and no
 * PAUSE instruction, for the reason that spin.c gives.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

enum { MAX_THREADS = 1024, ADDITIONS = 1024 };

static uint64_t run_ns;
static struct timespec pause_time;

static uint64_t used_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *pulse(void *unused)
{
	(void)unused;
	for (;;) {
		uint64_t until_ns = used_ns() + run_ns;

		while (used_ns() < until_ns) {
			for (unsigned int i = 0; i < ADDITIONS; i++)
				__asm__ volatile("" : "+r"(i));
		}
		clock_nanosleep(CLOCK_MONOTONIC, 0, &pause_time, NULL);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	long threads = argc == 4 ? strtol(argv[1], NULL, 10) : 0;
	long run_us = argc == 4 ? strtol(argv[2], NULL, 10) : 0, pause_us = argc == 4 ? strtol(argv[3], NULL, 10) : -1;
	pthread_t thread;

	if (threads < 1 || threads > MAX_THREADS || run_us < 1 || pause_us < 0)
		die("usage: pulse THREADS RUN_US PAUSE_US, 1 to %d threads", MAX_THREADS);
	run_ns = (uint64_t)run_us * 1000;
	pause_time = (struct timespec){pause_us / 1000000, pause_us % 1000000 * 1000};
	while (--threads) {
		if (pthread_create(&thread, NULL, pulse, NULL))
			die("cannot start a thread");
	}
	pulse(NULL);
	return 0;
}
