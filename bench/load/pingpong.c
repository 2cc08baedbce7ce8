// SPDX-License-Identifier: Apache-2.0
/*
 * pingpong: two processes that wake each other over two pipes, one byte at a time.
 *
 *	pingpong ROUNDS BATCH [CPU CPU]
 *
 * ROUNDS round trips in batches of BATCH, after a warm-up of one batch. With two cpu numbers each process is pinned to
 * its own. A round trip is two switches: from one process to the other, and back.
 *
 * stdout: one JSON object: rounds, batch_ns (CLOCK_MONOTONIC time of each batch), and switches: how often the two
 * processes left a cpu in those batches, from the kernel. Both kinds count: a process sleeps because nothing is there
 * to read, or it is preempted by the one that it has just woken and finds its byte there when it goes on.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

enum { MAX_BATCHES = 100000 };

static uint64_t batch_ns[MAX_BATCHES];

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static long switches(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_nvcsw + usage.ru_nivcsw;
}

static void pin(const char *cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)strtol(cpu, NULL, 10), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot use cpu %s: %s", cpu, strerror(errno));
}

/* One byte in, one byte out. */
static void answer(int in, int out, long rounds)
{
	char byte;

	while (rounds--) {
		if (read(in, &byte, 1) != 1 || write(out, &byte, 1) != 1)
			die("the other process has gone");
	}
}

static void ask(int out, int in, long rounds)
{
	char byte = 'x';

	while (rounds--) {
		if (write(out, &byte, 1) != 1 || read(in, &byte, 1) != 1)
			die("the other process has gone");
	}
}

int main(int argc, char **argv)
{
	long rounds = argc > 2 ? strtol(argv[1], NULL, 10) : 0, batch = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
	long batches, mine, theirs = 0;
	int there[2], back[2], counts[2], status;
	pid_t child;

	if ((argc != 3 && argc != 5) || rounds < 1 || batch < 1 || rounds % batch || rounds / batch > MAX_BATCHES)
		die("usage: pingpong ROUNDS BATCH [CPU CPU]; ROUNDS is a multiple of BATCH, at most %d times as many",
		    MAX_BATCHES);
	batches = rounds / batch;
	if (pipe(there) || pipe(back) || pipe(counts))
		die("pipe: %s", strerror(errno));
	child = fork();
	if (child < 0)
		die("fork: %s", strerror(errno));
	/* Each keeps its own ends only, so that it sees the other's end. */
	if (!child) {
		close(there[1]);
		close(back[0]);
		if (argc == 5)
			pin(argv[4]);
		answer(there[0], back[1], batch);
		theirs = switches();
		answer(there[0], back[1], rounds);
		theirs = switches() - theirs;
		return write(counts[1], &theirs, sizeof(theirs)) != sizeof(theirs);
	}
	close(there[0]);
	close(back[1]);
	close(counts[1]);
	if (argc == 5)
		pin(argv[3]);
	ask(there[1], back[0], batch);
	mine = switches();
	for (long i = 0; i < batches; i++) {
		uint64_t start_ns = now_ns();

		ask(there[1], back[0], batch);
		batch_ns[i] = now_ns() - start_ns;
	}
	mine = switches() - mine;
	if (read(counts[0], &theirs, sizeof(theirs)) != sizeof(theirs) || waitpid(child, &status, 0) != child || status)
		die("the other process failed");
	printf("{\"rounds\": %ld, \"switches\": %ld, \"batch_ns\": [", rounds, mine + theirs);
	for (long i = 0; i < batches; i++)
		printf("%s%" PRIu64, i ? ", " : "", batch_ns[i]);
	puts("]}");
	return 0;
}
