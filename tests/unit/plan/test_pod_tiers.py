import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.plan.pod_tiers import PRESETS, SYSTEM_PRIORITY, Decision, Rules, Thresholds, decide
from temper.plan.pods import Pod, QosClass
from temper.plan.tiers import Tier

RULES = Rules()
OURS, FORMER = "temper.codes/tier", "infera.io/tier"
ALLOWED = "critical, high, normal, low, background"
ORDER = list(Tier)

priorities = st.integers(-(2**31), 2**31 - 1)
values = st.one_of(st.sampled_from([*Tier]).map(str), st.text("aZ é\0\n\x1b\x9b\"'\\…\u202e\U000e0001", max_size=60))
annotations = st.dictionaries(st.sampled_from([OURS, FORMER, "temper.codes/x"]), values)


def pod(priority=0, priority_class="", qos=QosClass.BURSTABLE, **annotations):
    return Pod(
        uid="u",
        namespace="n",
        name="p",
        priority=priority,
        priority_class=priority_class,
        qos_class=qos,
        annotations={{"ours": OURS, "former": FORMER}[key]: value for key, value in annotations.items()},
    )


@st.composite
def pods(draw, priority=priorities):
    return Pod(
        uid="u",
        namespace="n",
        name="p",
        priority=draw(priority),
        priority_class=draw(st.sampled_from(["", "web", "system-node-critical"])),
        qos_class=draw(st.sampled_from(QosClass)),
        annotations=draw(annotations),
    )


@st.composite
def thresholds(draw):
    return Thresholds(*sorted(draw(st.sets(priorities, min_size=4, max_size=4)), reverse=True))


@pytest.mark.parametrize(
    ("priority", "tier", "reason"),
    [
        (1_000_000_000, Tier.CRITICAL, "priority 1000000000 >= 1000000: critical"),
        (1_000_000, Tier.CRITICAL, "priority 1000000 >= 1000000: critical"),
        (999_999, Tier.HIGH, "priority 999999 >= 100000: high"),
        (100_000, Tier.HIGH, "priority 100000 >= 100000: high"),
        (99_999, Tier.NORMAL, "priority 99999 >= 0: normal"),
        (0, Tier.NORMAL, "priority 0 >= 0: normal"),
        (-1, Tier.LOW, "priority -1 >= -100: low"),
        (-100, Tier.LOW, "priority -100 >= -100: low"),
        (-101, Tier.BACKGROUND, "priority -101 < -100: background"),
    ],
)
def test_by_priority(priority, tier, reason):
    assert decide(pod(priority, "some-class"), RULES) == Decision(tier, reason)


@pytest.mark.parametrize(
    ("qos", "tier"),
    [
        (QosClass.GUARANTEED, Tier.NORMAL),
        (QosClass.BURSTABLE, Tier.NORMAL),
        (QosClass.BEST_EFFORT, Tier.BACKGROUND),
    ],
)
def test_a_pod_that_asks_for_no_priority(qos, tier):
    reason = f"priority 0 without a PriorityClass, {qos}: {tier}"
    assert decide(pod(qos=qos), RULES) == Decision(tier, reason)
    assert decide(pod(qos=qos), Rules(PRESETS["koordinator"])).tier is tier


def test_a_class_of_priority_0_is_taken_at_its_word():
    assert decide(pod(0, "zero", QosClass.BEST_EFFORT), RULES).tier is Tier.NORMAL


@pytest.mark.parametrize(
    ("priority", "priority_class", "reason"),
    [
        (2_000_000_000, "system-cluster-critical", "priority 2000000000 >= 2000000000: system layer"),
        (2_000_001_000, "system-node-critical", "priority 2000001000 >= 2000000000: system layer"),
        (2_147_483_647, "", "priority 2147483647 >= 2000000000: system layer"),
        (0, "system-node-critical", "PriorityClass system-node-critical: system layer"),
    ],
)
def test_system_pods_have_no_tier(priority, priority_class, reason):
    assert decide(pod(priority, priority_class), RULES) == Decision(None, reason)


def test_just_below_the_system_is_critical():
    assert decide(pod(SYSTEM_PRIORITY - 1), RULES).tier is Tier.CRITICAL


@pytest.mark.parametrize("allow_raise", [False, True])
@pytest.mark.parametrize("value", ["background", "critical", "urgent"])
def test_system_pods_do_not_heed_their_annotation(value, allow_raise):
    decision = decide(pod(SYSTEM_PRIORITY, ours=value), Rules(allow_raise=allow_raise))
    assert decision == Decision(
        None,
        "priority 2000000000 >= 2000000000: system layer; annotation temper.codes/tier is ignored on a system pod",
        value,
    )


HIGH = "priority 500000 >= 100000: high; annotation "


@pytest.mark.parametrize(
    ("annotations", "allow_raise", "decision"),
    [
        ({"ours": "low"}, False, (Tier.LOW, HIGH + "temper.codes/tier lowers it to low", "low")),
        ({"former": "low"}, True, (Tier.LOW, HIGH + "infera.io/tier lowers it to low", "low")),
        ({"ours": "high"}, False, (Tier.HIGH, HIGH + "temper.codes/tier asks for the same", "high")),
        (
            {"ours": "critical"},
            False,
            (Tier.HIGH, HIGH + "temper.codes/tier asks for critical, but may only lower the tier", "critical"),
        ),
        ({"ours": "critical"}, True, (Tier.CRITICAL, HIGH + "temper.codes/tier raises it to critical", "critical")),
        (
            {"former": "low", "ours": "normal"},
            False,
            (
                Tier.NORMAL,
                HIGH + "temper.codes/tier (which overrules infera.io/tier) lowers it to normal",
                "normal",
            ),
        ),
        (
            {"former": "low", "ours": ""},
            False,
            (
                Tier.HIGH,
                HIGH + f'temper.codes/tier (which overrules infera.io/tier) is ignored: "" is not one of {ALLOWED}',
                "",
            ),
        ),
        (
            {"ours": "Low"},
            False,
            (Tier.HIGH, HIGH + f'temper.codes/tier is ignored: "Low" is not one of {ALLOWED}', "Low"),
        ),
    ],
)
def test_the_annotation(annotations, allow_raise, decision):
    assert decide(pod(500_000, **annotations), Rules(allow_raise=allow_raise)) == decision


@pytest.mark.parametrize(
    ("value", "asked"), [("\x1b[2J\n", "\\x1b[2J\\n"), ("x" * 40, "x" * 40), ("x" * 100_000, "x" * 40 + "…")]
)
def test_a_wrong_annotation_is_shown_safely(value, asked):
    decision = decide(pod(ours=value), RULES)
    assert (decision.tier, decision.asked) == (Tier.NORMAL, asked)
    assert f'"{asked}" is not one of' in decision.reason


@pytest.mark.parametrize(
    ("priority", "tier"),
    [
        (10_000, Tier.CRITICAL),
        *((9_999, Tier.HIGH), (9_000, Tier.HIGH)),
        *((8_000, Tier.NORMAL), (7_999, Tier.NORMAL), (7_000, Tier.NORMAL)),
        *((6_000, Tier.LOW), (5_999, Tier.LOW), (5_000, Tier.LOW)),
        *((4_999, Tier.BACKGROUND), (3_999, Tier.BACKGROUND), (3_000, Tier.BACKGROUND), (0, Tier.BACKGROUND)),
    ],
)
def test_the_bands_of_koordinator(priority, tier):
    assert decide(pod(priority, "koord"), Rules(PRESETS["koordinator"])).tier is tier


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((1, 1, 0, -1), r"high \(1\) is not below critical \(1\); the thresholds descend: critical > high"),
        ((3, 2, 4, -1), r"normal \(4\) is not below high \(2\)"),
        ((3, 2, 1, 2), r"low \(2\) is not below normal \(1\)"),
    ],
)
def test_thresholds_descend(values, message):
    with pytest.raises(ValueError, match=message):
        Thresholds(*values)


@given(pods(), thresholds(), st.booleans())
def test_a_decision_is_one_printable_sentence(pod, thresholds, allow_raise):
    decision = decide(pod, Rules(thresholds, allow_raise))
    assert (decision.reason + decision.asked).isprintable()
    assert len(decision.reason) < 700  # 40 characters may need ten each when escaped
    is_system = pod.priority >= SYSTEM_PRIORITY or pod.priority_class.startswith("system-")
    assert (decision.tier is None) == is_system


@given(pods(), thresholds())
def test_an_annotation_never_raises_a_tier_unless_allowed(pod, thresholds):
    plain = Pod(
        uid="u",
        namespace="n",
        name="p",
        priority=pod.priority,
        priority_class=pod.priority_class,
        qos_class=pod.qos_class,
    )
    without, with_it = decide(plain, Rules(thresholds)), decide(pod, Rules(thresholds))
    if without.tier is None or with_it.tier is None:
        assert without.tier is with_it.tier
    else:
        assert ORDER.index(with_it.tier) >= ORDER.index(without.tier)


@given(priorities, priorities, thresholds())
def test_more_priority_is_never_a_lower_tier(one, other, thresholds):
    low, high = sorted((one, other))
    tiers = [ORDER.index(thresholds.decide(priority)[0]) for priority in (low, high)]
    assert tiers[0] >= tiers[1]
