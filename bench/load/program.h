// SPDX-License-Identifier: Apache-2.0
/*
 * What each load program does the same way: end when told to, give up with a reason. Needs _GNU_SOURCE.
 * A program that has nothing to finish leaves ending to the signal itself.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static volatile sig_atomic_t stopping;

__attribute__((unused)) static void on_signal(int number)
{
	(void)number;
	stopping = 1;
}

/* One line on stderr that begins with the program's name; exit status 2. */
__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(2);
}

#endif
