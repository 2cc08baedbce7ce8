import pytest

from temper.agent.kill_switch import is_unclear, why_engaged
from temper.plan.pods import SWITCH_ANNOTATIONS

OURS, FORMER = SWITCH_ANNOTATIONS


def test_the_names_are_the_documented_ones():
    assert set(SWITCH_ANNOTATIONS) == {"temper.codes/safe-mode-requested", "infera.io/safe-mode-requested"}


@pytest.mark.parametrize("name", SWITCH_ANNOTATIONS)
def test_either_prefix_engages(name):
    assert why_engaged({name: "true"}) == f"node annotation {name}=true"
    assert not is_unclear({name: "true"})


@pytest.mark.parametrize("annotations", [{}, {OURS: "false"}, {OURS: "false", FORMER: "false"}, {"other": "true"}])
def test_absent_or_false_does_not_engage(annotations):
    assert why_engaged(annotations) is None
    assert not is_unclear(annotations)


def test_both_must_be_gone():
    assert why_engaged({OURS: "false", FORMER: "true"}) == f"node annotation {FORMER}=true"


@pytest.mark.parametrize("value", ["", "TRUE", "1", "no", "off", " false", "false ", "\x1b[2J", "x" * 262_144, 0, {}])
def test_anything_else_engages_and_is_unclear(value):
    reason = why_engaged({OURS: value})
    assert reason is not None
    assert reason.startswith(f"node annotation {OURS}=")
    assert reason.isprintable()
    assert len(reason) < 300
    assert is_unclear({OURS: value})
