import pytest

from temper.settings.agent import KEYS
from temper.settings.sources import Origin, Sources, Value, read, variable


def got(aliases=None, **sources):
    """(what differs from the defaults, findings)"""
    findings = []
    values = read(Sources(**sources), KEYS, findings, aliases or {})
    changed = {path: value for path, value in values.items() if value.origin != Origin.DEFAULT}
    return changed, [str(each) for each in findings]


def test_without_sources_there_are_the_defaults():
    assert read(Sources(), KEYS, []) == {path: Value(key.default, Origin.DEFAULT, "") for path, key in KEYS.items()}


def test_later_sources_win(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("commit:\n  quiet_ms: 1\n  longest_wait_ms: 101\n  resync_s: 11\n")
    environ = {"TEMPER_COMMIT_QUIET_MS": "2", "TEMPER_COMMIT_LONGEST_WAIT_MS": "102"}
    changed, findings = got(file=file, environ=environ, flags=[("--set", "commit.quiet_ms=3")])
    assert findings == []
    assert changed == {
        "commit.quiet_ms": (3, Origin.FLAG, "--set commit.quiet_ms"),
        "commit.longest_wait_ms": (102, Origin.ENVIRONMENT, "env TEMPER_COMMIT_LONGEST_WAIT_MS"),
        "commit.resync_s": (11, Origin.FILE, f"{file}:4: commit.resync_s"),
    }


def test_a_mistake_that_is_overridden_is_told_all_the_same():
    changed, findings = got(environ={"TEMPER_MODE": "x"}, flags=[("--mode", "observe")])
    assert changed == {}
    assert findings == ['env TEMPER_MODE: "x" is not one of enforce, observe']


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"NODE_NAME": "a"}, "a"),
        ({"NODE_NAME": "a", "TEMPER_NODE_NAME": "b"}, "b"),
        ({"TEMPER_NODE_NAME": "b"}, "b"),
    ],
)
def test_an_alias_stands_below_our_own_variable(environ, name):
    changed, findings = got({"node_name": "NODE_NAME"}, environ=environ)
    assert (changed["node_name"].value, findings) == (name, [])


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("TEMPER_COMIT_QUIET_MS", ', did you mean "TEMPER_COMMIT_QUIET_MS"?'),
        ("TEMPER_NODENAME", ', did you mean "TEMPER_NODE_NAME"?'),
        ("TEMPER_X", ""),
    ],
)
def test_unknown_variables_are_refused(name, finding):
    assert got(environ={name: "1"}) == ({}, [f"env {name}: unknown setting{finding}"])


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "TEMPER", "temper_mode", "TEMPER_CONFIG", "TEMPER_TESTBED_MIRROR"),
        *("TEMPER_SERVICE_HOST", "TEMPER_PORT", "TEMPER_PORT_9100_TCP", "TEMPER_PORT_9100_TCP_ADDR"),
        *("TEMPER_SERVICE_PORT_HTTP_METRICS", "TEMPER_HTTP_PORT", "TEMPER_LOG_SERVICE_PORT"),
    ],
)
def test_variables_of_others_are_left_alone(name):
    assert got(environ={name: "tcp://10.0.0.1:9100"}) == ({}, [])


def test_no_settings_variable_looks_like_another():
    names = [variable(path) for path in KEYS]
    assert len(set(names)) == len(names)
    environ = dict.fromkeys((f"{name}X" for name in names), "1")
    assert len(got(environ=environ)[1]) == len(names)


@pytest.mark.parametrize(
    ("flags", "finding"),
    [
        ([("--set", "commit.quiet_ms")], "--set commit.quiet_ms: has no value; write --set section.key=value"),
        ([("--set", "")], "--set : has no value; write --set section.key=value"),
        ([("--set", "commit=1")], "--set commit: is a section; set one of its keys: quiet_ms,"),
        ([("--set", "commit.quiet=1")], '--set commit.quiet: unknown key, did you mean "quiet_ms"?; allowed are'),
        ([("--set", "commit.quiet_ms=x")], '--set commit.quiet_ms: "x" is not a whole number from 0 to 1000'),
        ([("--mode", "x")], '--mode: "x" is not one of enforce, observe'),
        ([("--set", "a\x1b=1")], "--set a\\x1b: unknown key; allowed are"),
        ([("--mode", "observe"), ("--set", "mode=observe")], "--set mode: mode is already set by another flag"),
    ],
)
def test_wrong_flags(flags, finding):
    (found,) = got(flags=flags)[1]
    assert found.startswith(finding)


def test_a_value_may_have_an_equals_sign_and_may_be_empty():
    changed, findings = got(flags=[("--set", "kubernetes.kubeconfig=/a=b"), ("--set", "http.listen=")])
    assert findings == []
    assert [changed[key].value for key in ("kubernetes.kubeconfig", "http.listen")] == ["/a=b", ""]
