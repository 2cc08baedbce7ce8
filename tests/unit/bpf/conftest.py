"""The scheduler's pure headers, compiled for this machine: the tests run the very text that the kernel runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cffi
import pytest

from temper.engine.bindings import abi

HERE = Path(__file__).parent
BPF = HERE.parents[2] / "bpf"
COMPILERS = ("clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang")
FLAGS = ["-O2", "-g", "-shared", "-fPIC", "-Wl,-z,defs", "-Wall", "-Wextra", "-Werror"]
# Each load and store calls into the source, which may give its cpu away there.
WATCHED = ["-fsanitize-coverage=func,trace-loads,trace-stores"]
BUCKET = """
extern int64_t tick_ns, debt_span_ns, park_most_ns;
extern uint32_t max_chain;
extern bool racing;
void init(struct temper_quota *q, uint64_t period_ns, uint64_t quota_ns, uint64_t burst_ns, uint64_t now_ns);
void edit(struct temper_quota *q, uint64_t period_ns, uint64_t quota_ns, uint64_t burst_ns, uint64_t now_ns,
          uint64_t overrun_ns);
void refill(struct temper_quota *q, uint64_t now_ns, uint64_t overrun_ns);
int64_t most(const struct temper_quota *q, uint64_t overrun_ns);
void spend(struct temper_quota *q, int64_t delta_ns);
int32_t first_empty(struct temper_quota *quotas, const uint16_t *chain, uint32_t nr_chain, uint64_t now_ns,
                    uint64_t overrun_ns);
void spend_all(struct temper_quota *quotas, const uint16_t *chain, uint32_t nr_chain, int64_t delta_ns);
bool leaves(int64_t room_ns, bool is_called, uint64_t parked_ns);
uint64_t spin(struct temper_quota *quotas, const uint16_t *chain, uint32_t nr_chain, uint32_t cpus, uint64_t now_ns,
              uint64_t ticks, uint64_t overrun_ns);
uint64_t spin_staggered(struct temper_quota *quotas, const uint16_t *chain, uint32_t nr_chain, uint32_t cpus,
                        uint64_t now_ns, uint64_t ticks, bool back_and_forth);
int64_t hammer(struct temper_quota *q, uint64_t *clock_ns, uint64_t until_ns, uint64_t step_ns, uint64_t spend_ns,
               uint64_t overrun_ns);
"""
CLOCK = """
extern uint64_t real_ns, remembered_ns, delays_ns[3];
extern int64_t ahead_ns;
extern uint32_t slew_shift;
void begin(void);
uint64_t now(void);
"""


def compiled(source, declarations, folder, flags=()):
    """A source of this folder, which includes one of bpf/, as a library; and cffi's view of what it declares."""
    ffi = cffi.FFI()
    ffi.cdef(declarations)
    compiler = next(filter(None, map(shutil.which, COMPILERS)))
    library = folder / f"{source}.so"
    subprocess.run([compiler, *FLAGS, *flags, f"-I{BPF}", HERE / source, "-o", library], check=True)
    return ffi, ffi.dlopen(str(library))


@pytest.fixture(scope="session")
def bucket(tmp_path_factory):
    """bpf/bucket.h, behind the functions of bucket.c."""
    declarations = abi((BPF / "temper_abi.h").read_text()) + BUCKET
    return compiled("bucket.c", declarations, tmp_path_factory.mktemp("bpf"), WATCHED)


@pytest.fixture(scope="session")
def ffi(bucket):
    return bucket[0]


@pytest.fixture(scope="session")
def lib(bucket):
    return bucket[1]


@pytest.fixture(scope="session")
def clock(tmp_path_factory):
    """bpf/clock.h, behind the functions of clock.c."""
    return compiled("clock.c", CLOCK, tmp_path_factory.mktemp("bpf"))[1]
