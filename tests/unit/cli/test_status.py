import pytest

from temper.cli.status import judge
from temper.node.sched_ext import KernelState

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
