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
FUNCTIONS = """
extern int64_t tick_ns, debt_span_ns, park_most_ns;
extern uint32_t max_chain;
extern bool racing;
void init(struct temper_quota *q, uint64_t period_ns, uint64_t quota_ns, uint64_t burst_ns, uint64_t now_ns);
void edit(struct temper_quota *q, uint64_t period_ns, uint64_t quota_ns, uint64_t burst_ns, uint64_t now_ns,
          uint64_t overrun_ns);
void refill(struct temper_quota *q, uint64_t now_ns, uint64_t overrun_ns);
int64_t cap(const struct temper_quota *q, uint64_t overrun_ns);
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


@pytest.fixture(scope="session")
def ffi():
    ffi = cffi.FFI()
    ffi.cdef(abi((BPF / "temper_abi.h").read_text()) + FUNCTIONS)
    return ffi


@pytest.fixture(scope="session")
def lib(ffi, tmp_path_factory):
    """bpf/bucket.h, behind the functions of bucket.c."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)))
    library = tmp_path_factory.mktemp("bpf") / "bucket.so"
    watched = "-fsanitize-coverage=func,trace-loads,trace-stores"
    subprocess.run([compiler, *FLAGS, watched, f"-I{BPF}", HERE / "bucket.c", "-o", library], check=True)
    return ffi.dlopen(str(library))
