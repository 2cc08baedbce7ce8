import msgspec
import pytest

from temper.cli.status import _print_layers, _print_no_room, _print_sizes, judge
from temper.node.sched_ext import KernelState
from temper.wire.messages import LayerStats

OURS = KernelState("enabled", "temper", 1)
STOCK = KernelState("disabled", "", 1)


@pytest.mark.parametrize(
    ("said", "alive", "kernel", "switch", "believed"),
    [
        (("enforcing", ""), True, OURS, None, ("enforcing", "")),
        (("enforcing", ""), True, STOCK, None, ("detached", "the kernel says disabled")),
        (("enforcing", ""), False, STOCK, None, ("detached", "the agent is not running")),
        (("enforcing", ""), False, OURS, None, ("detached", "the agent is dead and its scheduler is leaving")),
        (("enforcing", ""), False, STOCK, "03:12", ("safe-mode", "03:12")),
        (("enforcing", ""), True, STOCK, "03:12", ("safe-mode", "03:12")),
        (("safe-mode", "03:12"), True, STOCK, "03:12", ("safe-mode", "03:12")),
        (("detached", "agent stopped"), False, STOCK, None, ("detached", "agent stopped")),
        (("ejected", "stall"), True, STOCK, None, ("ejected", "stall")),
    ],
)
def test_the_kernel_wins_over_what_was_said(said, alive, kernel, switch, believed):
    assert judge(*said, alive=alive, kernel=kernel, switch=switch) == believed


def test_sizes_say_where_they_come_from(capsys):
    size = {"layer": "high", "requested": 8, "owned": 4, "room": 8, "least": 1, "most": 8}
    _print_sizes({"sizes": [size], "used_millicpu": {"high": 2040}})
    _print_sizes({"sizes": [size]})
    _print_sizes({})  # of an older agent
    assert capsys.readouterr().out.splitlines() == [
        "high: 8 requested, 2.0 used: prefers 4",
        "high: 8 requested: prefers 4",
    ]


def test_a_full_table_is_told(capsys):
    _print_no_room({"quotas": 2, "shares": 0})
    _print_no_room({})  # of an older agent
    assert capsys.readouterr().out.splitlines() == [
        "note: 2 times a cgroup found the scheduler's table full: its cpu.max is not enforced"
    ]


def test_the_table_of_layers_has_waits_and_spills(capsys):
    counters = LayerStats(
        run_ns=2_500_000_000,
        wait_ns=1_000_000,
        nr_runs=100,
        nr_spills=3,
        wait_hist=(0, 90, 0, 10, 0),
        max_wait_ns=6_000,
    )
    layers = [{"name": "high", "kind": "grouped", "cpus": [2, 3]}, {"name": "low", "kind": "open", "cpus": []}]
    _print_layers({"layers": layers, "stats": {"high": msgspec.to_builtins(counters)}})
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "layer kind cpus ran s runs mean us p99 us max ms spills preempts rescued" in lines
    assert lines.index("high grouped 2,3 2.5 100 10.0 6 0.0 3 0 0") + 1 == lines.index("low open - - - - - - - - -")
