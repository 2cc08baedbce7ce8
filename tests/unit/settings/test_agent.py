import json
from pathlib import Path
from string import ascii_lowercase

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temper.agent.breaker import Breaker
from temper.errors import InvalidInput
from temper.plan.pod_tiers import PRESETS, SYSTEM_PRIORITY, Rules
from temper.plan.tiers import DEFAULT_BANDWIDTHS, Bandwidth, Tier
from temper.settings.agent import KEYS, AgentSettings, Mode, adopt, changes, load
from temper.settings.keys import build, flatten
from temper.settings.kubepods import CgroupDriver, is_kubepods_path_or_empty
from temper.settings.sources import Origin, Sources
from temper.settings.yaml_file import dump


def setting(*texts):
    """Settings with these `section.key=value`s."""
    return load(Sources(flags=[("--set", text) for text in texts])).settings


def findings(**sources):
    with pytest.raises(InvalidInput) as caught:
        load(Sources(**sources))
    return [str(finding) for finding in caught.value.findings]


def test_the_defaults_are_the_structs():
    assert load(Sources()).settings == AgentSettings()
    assert AgentSettings().http.address == ("", 9100)


def test_every_key_says_what_it_is():
    for key in KEYS.values():
        assert key.about.endswith("."), key.path
        assert key.allowed, key.path
        assert key.parse(str(key.default).lower()) == key.default, key.path


def test_the_breakers_limits_are_the_defaults():
    breaker, safety = Breaker(), AgentSettings().safety
    limits = (breaker.most_losses, breaker.most_ejections, breaker.window_s)
    assert limits == (safety.max_losses, safety.max_ejections, safety.window_s)


def test_the_default_preset_is_the_default():
    assert flatten(AgentSettings().tiers.thresholds) == flatten(PRESETS["default"])
    assert AgentSettings().tiers.rules.allow_raise is Rules().allow_raise


def test_a_preset_gives_the_thresholds_that_are_not_set():
    loaded = load(Sources(flags=[("--set", "tiers.preset=koordinator"), ("--set", "tiers.thresholds.high=9500")]))
    thresholds = loaded.settings.tiers.rules.thresholds
    assert (thresholds.critical, thresholds.high, thresholds.normal, thresholds.low) == (10_000, 9_500, 7_000, 5_000)
    assert loaded.values["tiers.thresholds.low"][1:] == (Origin.DEFAULT, "tiers.preset koordinator")


def test_bandwidths_are_the_plans():
    assert AgentSettings().tiers.bandwidths == DEFAULT_BANDWIDTHS
    found = setting(
        *("tiers.quota.high=strict", "tiers.quota.low=smooth", "tiers.smooth_periods=50"),
        *("tiers.ceiling.low=1.5", "tiers.ceiling.background=250m"),
    ).tiers.bandwidths
    assert found == {
        Tier.CRITICAL: Bandwidth(50),
        Tier.HIGH: Bandwidth(),
        Tier.NORMAL: Bandwidth(),
        Tier.LOW: Bandwidth(50, 1500),
        Tier.BACKGROUND: Bandwidth(0, 250),
    }


def test_how_much_a_tier_may_take_is_adopted_by_a_running_agent():
    new = setting("tiers.quota.high=strict", "tiers.smooth_periods=3", "tiers.ceiling.low=2")
    live = ["tiers.quota.high", "tiers.smooth_periods", "tiers.ceiling.low"]
    assert changes(AgentSettings(), new) == (live, [])


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["tiers.thresholds.high=1000000"], "--set tiers.thresholds.high: high (1000000) is not below critical"),
        (["tiers.preset=koordinator", "tiers.thresholds.low=7000"], "--set tiers.thresholds.low: low (7000) is not"),
        ([f"tiers.thresholds.critical={SYSTEM_PRIORITY}"], '"2000000000" is not a whole number from -2147483648 to'),
        (["commit.quiet_ms=200"], "--set commit.quiet_ms: longest_wait_ms is 100, less than quiet_ms, which is 200"),
        (["commit.longest_wait_ms=5"], "--set commit.longest_wait_ms: longest_wait_ms is 5, less than quiet_ms"),
        (["safety.deadman_ms=1999"], '"1999" is not a whole number from 2000 to 120000'),
        (["cgroups.root="], '--set cgroups.root: "" is not an absolute path'),
        (["tiers.quota.low=soft"], '--set tiers.quota.low: "soft" is not one of strict, smooth'),
        (["tiers.quota.system=strict"], "unknown key; allowed are critical, high, normal, low, background"),
        (["tiers.smooth_periods=1"], '"1" is not a whole number from 2 to 100'),
        (["tiers.smooth_periods=101"], '"101" is not a whole number from 2 to 100'),
        (
            ["tiers.ceiling.high=5m"],
            "tiers.ceiling.high: \"5m\" is not a number of cpus from 0.01 such as 2, 1.5 or 1500m, or '' for none",
        ),
        (["cgroups.kubepods=kubelet.slice"], 'cgroups.kubepods: "kubelet.slice" is not a path below cgroups.root'),
        (
            ["cgroups.kubepods=a.slice/a-kubepods.slice", "cgroups.driver=cgroupfs"],
            '"a.slice/a-kubepods.slice" is a root of the driver systemd, and cgroups.driver is cgroupfs',
        ),
        (
            ["cgroups.kubepods=a/kubepods", "cgroups.driver=systemd"],
            '"a/kubepods" is a root of the driver cgroupfs, and cgroups.driver is systemd',
        ),
        (["tiers.preset=other"], '"other" is not one of default, koordinator'),
    ],
)
def test_one_thing_wrong(texts, found):
    (line,) = findings(flags=[("--set", text) for text in texts])
    assert found in line


def test_what_depends_on_a_wrong_value_is_not_blamed():
    flags = [("--set", "tiers.preset=x"), ("--set", "tiers.thresholds.normal=500000")]
    assert len(findings(flags=flags)) == 1
    assert len(findings(flags=[("--set", "commit.quiet_ms=x"), ("--set", "commit.longest_wait_ms=1")])) == 1


def test_every_finding_of_every_source_in_one_pass(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("modus: observe\nlog: {level: loud}\ntiers: {thresholds: {low: 5}}\n")
    found = findings(file=file, environ={"TEMPER_LINT_ENABLED": "2"}, flags=[("--node-name", "A")])
    sections = "node_name, mode, tiers, sizing, commit, safety, kubernetes, cgroups, http, lint, log"
    descend = "the thresholds descend: critical > high > normal > low"
    assert [line.removeprefix(f"{file}:") for line in found] == [
        f'1: modus: unknown key, did you mean "mode"?; allowed are {sections}',
        '2: log.level: "loud" is not one of debug, info, warning',
        'env TEMPER_LINT_ENABLED: "2" is not true or false',
        '--node-name: "A" is not a node\'s name (an RFC 1123 subdomain)',
        f"3: tiers.thresholds.low: low (5) is not below normal (0); {descend}",
    ]


def test_a_shared_file_does_not_name_the_node(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("node_name: other\n")
    assert load(Sources(file, {"NODE_NAME": "this"}), needs_node_name=True).settings.node_name == "this"


def test_the_agent_needs_a_node_name():
    with pytest.raises(InvalidInput, match=r"^node_name: is missing; set NODE_NAME from spec\.nodeName, or pass"):
        load(Sources(), needs_node_name=True)
    with pytest.raises(InvalidInput) as caught:
        load(Sources(environ={"NODE_NAME": "A"}), needs_node_name=True)
    assert len(caught.value.findings) == 1


def test_changes_are_sorted_by_what_they_need():
    new = setting("mode=observe", "commit.quiet_ms=1", "safety.deadman_ms=5000", "tiers.preset=koordinator")
    live, restart = changes(AgentSettings(), new)
    thresholds = [f"tiers.thresholds.{tier}" for tier in ("critical", "high", "normal", "low")]
    assert live == ["tiers.preset", *thresholds, "commit.quiet_ms"]
    assert restart == ["mode", "safety.deadman_ms"]
    assert changes(new, new) == ([], [])


def test_a_running_agent_adopts_the_live_ones_only():
    new = setting("mode=observe", "commit.quiet_ms=1", "log.level=debug")
    adopted = adopt(AgentSettings(), new)
    assert changes(adopted, new) == ([], ["mode"])
    assert (adopted.mode, adopted.commit.quiet_ms) == (Mode.ENFORCE, 1)


def test_the_schema_of_a_chart_can_be_made_of_the_tree():
    schema = msgspec.json.schema(AgentSettings)
    assert schema["$defs"]["Commit"]["additionalProperties"] is False
    assert schema["$defs"]["Safety"]["properties"]["deadman_ms"] | {"description": ""} == {
        **{"type": "integer", "minimum": 2000, "maximum": 120_000, "default": 10_000, "description": ""}
    }
    assert json.dumps(schema)


# Values of every key, together valid.
_TEXT = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=20).filter(str.isprintable)
_CGROUP = st.lists(st.text(f"{ascii_lowercase}-.:\\#'\"", min_size=1).filter(lambda part: part.strip(".")), max_size=3)
_TEXTS = {
    **{
        f"tiers.ceiling.{tier}": st.one_of(st.just(""), st.integers(10, 10**9).map("{}m".format), st.just("1.5"))
        for tier in Tier
    },
    "node_name": st.one_of(st.sampled_from(["", "null", "1e3", "0x1", "yes", "2001-01-01"]), st.text("abc019")),
    "tiers.preset": st.sampled_from(sorted(PRESETS)),
    "kubernetes.kubeconfig": st.one_of(st.just(""), _TEXT.map(lambda text: f"/{text}")),
    "cgroups.root": _TEXT.map(lambda text: f"/{text}"),
    "cgroups.kubepods": st.one_of(
        st.just(""), _CGROUP.map(lambda parts: "/".join([*parts, "kubepods"])).filter(is_kubepods_path_or_empty)
    ),
    "cgroups.driver": st.sampled_from([CgroupDriver.AUTO, CgroupDriver.CGROUPFS]),
    "http.listen": st.sampled_from(["", ":1", "1.2.3.4:5", "[::1]:80"]),
}


def _values(path):
    if path in _TEXTS:
        return _TEXTS[path]
    kind, meta = KEYS[path].type.__origin__, KEYS[path].type.__metadata__[0]
    if kind is int:
        return st.integers(meta.ge, meta.le)
    return st.booleans() if kind is bool else st.sampled_from(list(kind))


@st.composite
def trees(draw):
    values = {path: draw(_values(path)) for path in KEYS}
    values["commit.longest_wait_ms"] = max(values["commit.quiet_ms"], values["commit.longest_wait_ms"])
    thresholds = [path for path in KEYS if path.startswith("tiers.thresholds.")]
    priorities = draw(st.sets(_values(thresholds[0]), min_size=4, max_size=4))
    return build(AgentSettings, values | dict(zip(thresholds, sorted(priorities, reverse=True), strict=True)))


@settings(deadline=None)
@given(trees())
def test_what_is_shown_loads_as_the_same_tree(tmp_path_factory, tree):
    file = tmp_path_factory.getbasetemp() / "shown.yaml"
    file.write_text(dump(flatten(tree)))
    assert load(Sources(file)).settings == tree


_WORDS = st.sampled_from([*KEYS, *(word for path in KEYS for word in path.split(".")), "<<", "~", "!!int", "&a", "*a"])
_BITS = st.one_of(
    _WORDS, st.sampled_from([*"[]{}:,-?|>%@`'\"#&*!\n\t ", ": ", "\n  ", "- ", '"\\U']), st.text(max_size=3)
)


@settings(deadline=None)
@given(st.one_of(st.binary(), st.lists(_BITS).map(lambda bits: "".join(bits).encode("utf-8", "replace"))))
def test_any_file_is_settings_or_invalid_input(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(data)
    _loads_or_is_invalid(file=file)


_NAMES = st.one_of(st.text(), st.builds("TEMPER_{}".format, st.text()), st.just("NODE_NAME"))
_SETS = st.tuples(st.just("--set"), st.one_of(st.text(), st.builds("{}={}".format, _WORDS, st.text())))


@settings(deadline=None)
@given(st.dictionaries(_NAMES, st.text()), st.lists(st.one_of(_SETS, st.tuples(st.just("--mode"), st.text()))))
def test_any_environment_and_flags_are_settings_or_invalid_input(environ, flags):
    _loads_or_is_invalid(environ=environ, flags=flags)


def _loads_or_is_invalid(**sources):
    try:
        load(Sources(**sources))
    except InvalidInput as invalid:
        assert invalid.findings
        assert all(str(finding).isprintable() for finding in invalid.findings)


def test_a_path_that_cannot_be():
    assert findings(file=Path("a\0b")) == ["a\\x00b: can't be read: embedded null byte"]
