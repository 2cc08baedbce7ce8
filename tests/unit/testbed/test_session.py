from __future__ import annotations

import pytest
from testbed.main import once_more
from testbed.progress import TestbedError
from testbed.session import EmulatorsFault, met_stale_breakpoint

# The end of a console, of two guests.
STALE = """
[  296.298027]  oops_end.cold+0xc/0x1a
[  296.298081]  exc_int3+0x1dd/0x280
[  296.298267]  asm_exc_int3+0x39/0x40
[  296.299155] RIP: 0010:put_prev_task_idle+0x13/0x40
"""
ASKED = """
[  120.000000] NMI: panic on unknown NMI
[  120.000000] Kernel panic - not syncing: NMI: Not continuing
"""


def played(*results):
    """What is to be played: each time the next one of these, raised if it is an error. And how often it was."""
    left = list(results)

    def play() -> int:
        result = left.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    return play, lambda: len(results) - len(left)


def test_a_breakpoint_that_nobody_knows_of() -> None:
    assert met_stale_breakpoint(STALE)
    assert not met_stale_breakpoint(ASKED)


@pytest.mark.parametrize("status", [0, 1])
def test_what_the_emulator_ended_is_played_again_and_its_status_counts(status, capfd) -> None:
    play, times = played(EmulatorsFault("ended"), status)
    assert once_more(play) == status
    assert times() == 2
    assert "begins anew" in capfd.readouterr().err


@pytest.mark.parametrize("results", [(TestbedError("panicked"),), (EmulatorsFault("once"), EmulatorsFault("twice"))])
def test_but_once_only_and_nothing_else_is(results) -> None:
    play, times = played(*results)
    with pytest.raises(TestbedError):
        once_more(play)
    assert times() == len(results)


def test_what_fails_is_not_played_again() -> None:
    play, times = played(1, 0)
    assert once_more(play) == 1
    assert times() == 1
