import pytest

from temper.settings.agent import KEYS, AgentSettings
from temper.settings.keys import flatten
from temper.settings.yaml_file import MAX_BYTES, dump, read


@pytest.fixture
def given(tmp_path):
    """(key -> text, findings without the file's path) of a file with this text."""

    def given(text):
        path = tmp_path / "agent.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        findings = []
        scalars = read(path, KEYS, findings)
        return {each.key: each.text for each in scalars}, [str(each).removeprefix(f"{path}:") for each in findings]

    return given


@pytest.mark.parametrize(
    ("text", "scalars"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("commit:\nlint:\n  # enabled: false\n", {}),
        ("commit:\n  quiet_ms: ~\n  resync_s: null\nhttp: {listen: }", {}),
        ("http: {listen: ''}", {"http.listen": ""}),
        ("cgroups: {kubepods: 'null'}", {"cgroups.kubepods": "null"}),
        ("http:\n  listen: off\ncommit: {quiet_ms: 010}", {"http.listen": "off", "commit.quiet_ms": "010"}),
        ("commit: &c {quiet_ms: &q 1}\nlint: {interval_s: *q}", {"commit.quiet_ms": "1", "lint.interval_s": "1"}),
        ("\ufeffmode: observe\r\n", {"mode": "observe"}),
        ("tiers: {thresholds: {low: -5}}", {"tiers.thresholds.low": "-5"}),
    ],
)
def test_scalars_stay_the_texts_that_were_written(given, text, scalars):
    assert given(text) == (scalars, [])


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("\ncommit:\n  quiet: 1", '3: commit.quiet: unknown key, did you mean "quiet_ms"?; allowed are quiet_ms,'),
        ("quiet_ms: 1", '1: quiet_ms: unknown key, did you mean "commit.quiet_ms"?; allowed are node_name,'),
        ("commit.quiet_ms: 1", "1: commit.quiet_ms: a dot is no key; nest the sections"),
        ("commit: 5", '1: commit: "5" is not a section with keys; allowed are quiet_ms, longest_wait_ms, resync_s'),
        ("- commit", " a sequence is not a section with keys; allowed are node_name, mode,"),
        ("mode: [observe]", "1: mode: a sequence is not one of enforce, observe"),
        ("mode: {a: 1}", "1: mode: a mapping is not one of enforce, observe"),
        ("commit:\n  ? [1]\n  : 2", "2: commit.?: a sequence is not a key"),
        ("mode: observe\nmode: enforce", "2: mode: is already set in line 1"),
        ("{mode: observe, mode: enforce}", "1: mode: is already set in line 1"),
        ("commit: {}\ncommit: {}", "2: commit: is already set in line 1"),
        ("<<: {mode: observe}", "1: <<: unknown key; allowed are"),
        ('"\\e[2J": 1', "1: \\x1b[2J: unknown key; allowed are"),
        ("mode: [", "1:8: is not YAML: while parsing a flow node expected the node content"),
        ("mode: *a", "1:7: is not YAML: found undefined alias 'a'"),
        ("mode: observe\n---\n", "2:1: is not YAML: expected a single document in the stream"),
        ('mode: "\\UFFFFFFFF"', " is not usable YAML: "),
        ("mode: \x01", " is not usable YAML: unacceptable character #x0001: special characters are not allowed"),
        (f"%YAML {'9' * 5000}.1\n--- a", " is not usable YAML: "),
        ("[" * MAX_BYTES, " is not usable YAML: "),
        (b"mode: \xff", "1: byte 0xff is not valid UTF-8"),
        ("#" * (MAX_BYTES + 1), f" is larger than {MAX_BYTES} bytes"),
    ],
)
def test_one_thing_wrong(given, text, finding):
    scalars, findings = given(text)
    assert len(findings) == 1
    assert findings[0].startswith(finding)
    assert scalars in ({}, {"mode": "observe"})


def test_a_missing_file(tmp_path):
    findings = []
    assert read(tmp_path / "none", KEYS, findings) == []
    assert [str(each) for each in findings] == [f"{tmp_path}/none: there is no such file"]


def test_a_dump_reads_back_as_its_texts(given):
    values = flatten(AgentSettings())
    scalars, findings = given(dump(values))
    assert findings == []
    assert {key: KEYS[key].parse(text) for key, text in scalars.items()} == values
