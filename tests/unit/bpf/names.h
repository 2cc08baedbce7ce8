/* SPDX-License-Identifier: GPL-2.0-only */
/* The few names that the kernel's and libbpf's headers bring to those of bpf/. */
#ifndef TEMPER_NAMES_H
#define TEMPER_NAMES_H

#include <stdbool.h>
#include <stdint.h>

typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define bpf_for(i, from, to) for ((i) = (from); (i) < (to); (i)++)

#endif
