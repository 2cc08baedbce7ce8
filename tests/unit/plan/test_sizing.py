import pytest

from temper.plan.demand import Demand
from temper.plan.machine import Cpu, Machine
from temper.plan.sizing import size
from temper.plan.tiers import Tier
from temper.plan.units import format_cpu_list


def machine(nodes=1, llcs=1, cores=4, smt=1):
    """`cores` in each of `llcs` caches in each of `nodes`; siblings follow the first threads, as on x86."""
    total = nodes * llcs * cores
    return Machine(
        tuple(
            Cpu(id=thread * total + core, core=core, llc=core // cores, node=core // (cores * llcs))
            for thread in range(smt)
            for core in range(total)
        )
    )


SMT = machine(cores=4, smt=2)  # cores (0,4) (1,5) (2,6) (3,7)
CACHES = machine(llcs=3, cores=4)  # 0-3, 4-7, 8-11
NODES = machine(nodes=2, llcs=2, cores=2)  # node 0: 0-1, 2-3; node 1: 4-5, 6-7


@pytest.mark.parametrize(
    ("shape", "critical", "high", "normal", "expected"),
    [
        (machine(), 0, 0, 0, ("", "", "")),
        (machine(), 1, 1, 1, ("3", "2", "1")),
        (machine(), 3, 0, 2, ("1-3", "", "0")),  # Normal may reach into the reserve
        (machine(), 3, 1, 1, ("1-3", "", "0")),  # High is cut to nothing
        (SMT, 3, 1, 3, ("2-3,6-7", "1", "0,4-5")),  # the example of the module's docstring
        (SMT, 1, 3, 0, ("3,7", "1-2,6", "")),  # whole cores round up; High takes part of a core
        (CACHES, 2, 2, 2, ("10-11", "8-9", "6-7")),
        (CACHES, 3, 4, 0, ("9-11", "4-7", "")),  # High goes where it fits whole, not beside Critical
        (CACHES, 5, 0, 0, ("7-11", "", "")),  # one whole cache, and one cpu of the next
        (NODES, 3, 0, 0, ("5-7", "", "")),  # no cache fits, but one node does
        (NODES, 4, 2, 0, ("4-7", "2-3", "")),
        (NODES, 5, 0, 0, ("3-7", "", "")),
    ],
)
def test_choice_of_cpus(shape, critical, high, normal, expected):
    sizes = size(shape, {Tier.CRITICAL: critical, Tier.HIGH: high, Tier.NORMAL: normal})
    assert tuple(format_cpu_list(s.cpus) for s in (sizes.critical, sizes.high, sizes.normal)) == expected


@pytest.mark.parametrize(
    ("shape", "wanted", "fenced", "cpus"),
    [
        (machine(cores=4), 3, True, 3),
        (machine(cores=4), 4, False, 3),
        (SMT, 6, True, 6),
        (SMT, 7, False, 6),
        (machine(cores=1), 1, False, 0),
        (machine(cores=1, smt=4), 1, False, 0),
    ],
)
def test_critical_is_fenced_only_when_whole_cores_suffice(shape, wanted, fenced, cpus):
    share = size(shape, {Tier.CRITICAL: wanted}).critical
    assert (share.fenced, len(share.cpus), share.cut) == (fenced, cpus, not fenced)


def test_the_reserve_is_the_whole_core_of_the_lowest_cpu():
    assert size(SMT, {}).reserve == (0, 4)


@pytest.mark.parametrize(
    ("high", "normal", "expected"),
    [
        (4, 0, ("4-7", "")),
        (2, 0, ("6-7", "")),  # the first of what it requests, not what two alone would get
        (4, 3, ("4-7", "1-3")),
        (1, 3, ("7", "1-3")),  # what High gives back moves nobody
        (1, 5, ("7", "0-3,6")),  # nor is it taken before all else is
        (1, 7, ("7", "0-6")),
    ],
)
def test_what_is_given_back_is_taken_last(high, normal, expected):
    demand = {Tier.HIGH: Demand(high, 4, 0), Tier.NORMAL: Demand(normal, 3, 0)} if normal else {}
    demand[Tier.HIGH] = Demand(high, 4, 0)
    requested = {Tier.HIGH: 4} | ({Tier.NORMAL: 3} if normal else {})
    sizes = size(machine(llcs=2, cores=4), requested, demand)
    assert tuple(format_cpu_list(s.cpus) for s in (sizes.high, sizes.normal)) == expected


def test_tiers_that_own_nothing_have_an_empty_share():
    assert size(SMT, {Tier.LOW: 3}).share(Tier.LOW).cpus == ()
