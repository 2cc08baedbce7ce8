from hypothesis import given
from hypothesis import strategies as st

from temper.engine import libbpf
from temper.engine.knobs import MAX_CPUS, MAX_LLCS, cache_of_cpus, ring_of_siblings
from temper.plan.machine import Cpu, Machine

# Two packages of two SMT cores each; cpu 5, whose sibling is 1, is left out, and so is cpu 8.
MACHINE = Machine(tuple(Cpu(cpu, cpu % 4, cpu % 4 // 2, 0) for cpu in (0, 1, 2, 3, 4, 6, 7)))


def test_each_cpu_has_its_cache():
    assert cache_of_cpus(MACHINE, nr_cpus=9) == [0, 0, 1, 1, 0, 0, 1, 1, 0]


def test_caches_beyond_the_most_are_folded():
    machine = Machine(tuple(Cpu(cpu, cpu, cpu, 0) for cpu in range(MAX_LLCS + 3)))
    caches = cache_of_cpus(machine)
    assert caches[MAX_LLCS - 1 : MAX_LLCS + 4] == [MAX_LLCS - 1, 0, 1, 2, 0]


def test_siblings_are_a_ring():
    assert ring_of_siblings(MACHINE, nr_cpus=9) == [4, 1, 6, 7, 0, 5, 2, 3, 8]
    of_four = Machine(tuple(Cpu(cpu, 0, 0, 0) for cpu in (1, 3, 5, 8)))
    assert ring_of_siblings(of_four, nr_cpus=9) == [0, 3, 2, 5, 4, 8, 6, 7, 1]


@given(st.lists(st.integers(0, 7), min_size=1, max_size=32))
def test_going_round_meets_each_cpu_of_the_core_once(cores):
    machine = Machine(tuple(Cpu(cpu, core, 0, 0) for cpu, core in enumerate(cores)))
    ring = ring_of_siblings(machine)
    for cpus in machine.cores().values():
        met = [cpus[0]]
        while (following := ring[met[-1]]) != cpus[0]:
            met.append(following)
        assert tuple(met) == cpus


def test_they_fill_the_scheduler_s_own_tables():
    knobs = libbpf.ffi.new("struct temper_knobs *")
    knobs.llc, knobs.sibling = cache_of_cpus(MACHINE), ring_of_siblings(MACHINE)
    assert list(knobs.llc)[:4] == [0, 0, 1, 1]
    assert (knobs.sibling[0], knobs.sibling[4], knobs.sibling[MAX_CPUS - 1]) == (4, 0, MAX_CPUS - 1)
