// SPDX-License-Identifier: Apache-2.0
/*
 * statewatch: writes down which scheduler the kernel really runs, and when that changed.
 *
 *	statewatch --out FILE [--period-us N]
 *
 * Every period it reads /sys/kernel/sched_ext/state and enable_seq, and on any change root/ops too.
 * It appends one line per change, and one for every gap between two looks of more than five periods:
 *
 *	<ns> state <state> <ops or -> <enable_seq>
 *	<ns> gap <ns since the look before>
 *	<ns> end <looks> <longest gap in ns>
 *
 * Times are CLOCK_MONOTONIC, taken right after the read. So a change happened at most one gap before
 * its line, and the longest gap tells how exact all of it is.
 *
 * It runs as SCHED_FIFO: real-time tasks are served ahead of both the stock scheduler and sched_ext,
 * so a machine that is busy, or a scheduler that is going away, cannot delay the observation. A look
 * costs some ten microseconds of one cpu, the same in every phase.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

#define FOLDER "/sys/kernel/sched_ext/"
enum { NAME_BYTES = 136, PRIORITY = 50, GAP_PERIODS = 5 };

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("cannot open %s: %s (a kernel with sched_ext is needed)", path, strerror(errno));
	return fd;
}

/* The file's first line; a sysfs file is made anew when read from its start. */
static void read_line(int fd, char *line)
{
	ssize_t n = pread(fd, line, NAME_BYTES - 1, 0);

	line[n > 0 ? n : 0] = 0;
	line[strcspn(line, "\n")] = 0;
}

/* root/ exists only while a scheduler is there, so it is opened anew. */
static void read_ops(char *ops)
{
	int fd = open(FOLDER "root/ops", O_RDONLY | O_CLOEXEC);

	strcpy(ops, "-");
	if (fd < 0)
		return;
	read_line(fd, ops);
	close(fd);
	if (!*ops)
		strcpy(ops, "-");
}

static void watch(FILE *out, uint64_t period_ns)
{
	int state_fd = open_file(FOLDER "state"), seq_fd = open_file(FOLDER "enable_seq");
	char state[NAME_BYTES], seq[NAME_BYTES], ops[NAME_BYTES];
	char last_state[NAME_BYTES] = "", last_seq[NAME_BYTES] = "", last_ops[NAME_BYTES] = "";
	uint64_t looks = 0, longest = 0, last = now_ns(), next = last;

	while (!stopping) {
		read_line(state_fd, state);
		read_line(seq_fd, seq);
		/* The name may come a moment after the state: look again until it is there. */
		if (strcmp(state, last_state) || strcmp(seq, last_seq) ||
		    (!strcmp(state, "enabled") && !strcmp(last_ops, "-")))
			read_ops(ops);
		uint64_t now = now_ns();

		if (now - last > GAP_PERIODS * period_ns)
			fprintf(out, "%" PRIu64 " gap %" PRIu64 "\n", now, now - last);
		if (now - last > longest)
			longest = now - last;
		if (strcmp(state, last_state) || strcmp(seq, last_seq) || strcmp(ops, last_ops)) {
			fprintf(out, "%" PRIu64 " state %s %s %s\n", now, state, ops, seq);
			strcpy(last_state, state);
			strcpy(last_seq, seq);
			strcpy(last_ops, ops);
		}
		last = now;
		looks++;
		next = next + period_ns > now ? next + period_ns : now + period_ns;

		struct timespec until = {(time_t)(next / 1000000000u), (long)(next % 1000000000u)};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	}
	fprintf(out, "%" PRIu64 " end %" PRIu64 " %" PRIu64 "\n", now_ns(), looks, longest);
}

int main(int argc, char **argv)
{
	struct sched_param fifo = {.sched_priority = PRIORITY};
	struct sigaction action = {.sa_handler = on_signal};
	const char *out_path = NULL;
	long period_us = 2000;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--out"))
			out_path = argv[i + 1];
		else if (!strcmp(argv[i], "--period-us"))
			period_us = strtol(argv[i + 1], NULL, 10);
		else
			die("unknown option %s", argv[i]);
	}
	if (!out_path || argc % 2 == 0 || period_us < 100)
		die("usage: statewatch --out FILE [--period-us N], N at least 100");
	FILE *out = fopen(out_path, "w");
	if (!out)
		die("cannot write %s: %s", out_path, strerror(errno));
	setvbuf(out, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (sched_setscheduler(0, SCHED_FIFO, &fifo))
		die("cannot become SCHED_FIFO: %s", strerror(errno));
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		die("cannot lock memory: %s", strerror(errno));
	watch(out, (uint64_t)period_us * 1000);
	return fclose(out) ? 2 : 0;
}
