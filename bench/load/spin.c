// SPDX-License-Identifier: Apache-2.0
/*
 * spin: N threads that never sleep, the background load of the demo.
 *
 *	spin THREADS [SECONDS]
 *
 * Plain arithmetic and no PAUSE instruction: an emulator takes PAUSE as leave to switch to another
 * virtual cpu, and the spinner would no longer use up its share. Ends on SIGTERM or after SECONDS and
 * prints the rounds (of 1024 additions) that each thread did: the work that the load got done.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_THREADS = 1024, ADDITIONS = 1024 };

/* One cache line per thread: they must not slow each other down. */
static struct {
	volatile uint64_t rounds;
	uint64_t pad[7];
} work[MAX_THREADS];

static void *spin(void *argument)
{
	volatile uint64_t *rounds = argument;

	for (;;) {
		for (unsigned int i = 0; i < ADDITIONS; i++)
			__asm__ volatile("" : "+r"(i));
		(*rounds)++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	long threads = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
	long seconds = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
	sigset_t ends;
	pthread_t thread;
	int number;

	if (threads < 1 || threads > MAX_THREADS || seconds < 0) {
		fprintf(stderr, "usage: spin THREADS [SECONDS], 1 to %d threads\n", MAX_THREADS);
		return 2;
	}
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGALRM);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	for (long i = 0; i < threads; i++) {
		if (pthread_create(&thread, NULL, spin, (void *)&work[i].rounds)) {
			perror("spin: pthread_create");
			return 2;
		}
	}
	alarm((unsigned int)seconds);
	sigwait(&ends, &number);
	for (long i = 0; i < threads; i++)
		printf("%s%" PRIu64, i ? " " : "", work[i].rounds);
	putchar('\n');
	return 0;
}
