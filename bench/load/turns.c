// SPDX-License-Identifier: Apache-2.0
/*
 * turns: short turns for the virtual cpus under the test bed's virtual clock.
 *
 * QEMU's instruction-counting clock runs the virtual cpus in turn on one thread, and each gets the time to
 * the next deadline divided by the number of cpus. Two things follow for a measurement:
 *
 *   - Far deadlines make long turns, and another cpu's wake-up waits for them. So we let the i8254 count
 *     to 0.5 ms: a deadline that is never further away. Its interrupt costs cpu 0 about 1 % of its time.
 *   - After a deadline QEMU computes the remaining time anew before each cpu's turn, so every turn is
 *     (1 - 1/n) of the one before, and with n = 4 one cpu may get twice the time of another. With the
 *     machine declared larger than the guest's kernel uses it (16 cpus, nr_cpus=4) n is 16 and the cpus'
 *     speeds stay within some 12 % of each other.
 *
 * idleburn.bpf.c does the rest: an idle cpu uses its turn up.
 */
#include <stdio.h>
#include <sys/io.h>

enum {
	CHANNEL0 = 0x40,
	CONTROL = 0x43,
	SQUARE_WAVE = 0x36, /* channel 0, low byte then high byte, mode 3: an edge each half period */
	COUNT = 1193,       /* of 1.193182 MHz: 1 ms, an edge each 0.5 ms */
};

int main(void)
{
	if (ioperm(CHANNEL0, CONTROL - CHANNEL0 + 1, 1)) {
		perror("turns: ioperm");
		return 1;
	}
	outb(SQUARE_WAVE, CONTROL);
	outb(COUNT & 0xff, CHANNEL0);
	outb(COUNT >> 8, CHANNEL0);
	return 0;
}
