// SPDX-License-Identifier: Apache-2.0
/*
 * turns: short turns for the virtual cpus under the test bed's virtual clock.
 *
 * QEMU's instruction-counting clock runs the virtual cpus in turn on one thread, and each gets the time to
 * the next deadline divided by the number of cpus. Two things follow for a measurement:
 *
 *   - Far deadlines make long turns, and another cpu's wake-up waits for them. So we let the i8254 count
 *     to 0.1 ms: a deadline that is never further away. The kernel has its interrupt masked.
 *   - The cpus' turns are not equally long. Measured with a spinner on each of four cpus beside timers and
 *     wake-ups, in a machine declared with eight: 0.68, 0.64, 0.69 and 1.01. The last cpu of the list is the
 *     fast one, so the demo gives it to the instruments. With 64 declared all four were within 6 %, at twice
 *     the wall time.
 *
 * idleburn.bpf.c does the rest: an idle cpu uses its turn up.
 */
#include <stdio.h>
#include <sys/io.h>

enum {
	CHANNEL0 = 0x40,
	CONTROL = 0x43,
	SQUARE_WAVE = 0x36, /* channel 0, low byte then high byte, mode 3: an edge each half period */
	COUNT = 239,        /* of 1.193182 MHz: 0.2 ms, an edge each 0.1 ms */
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
