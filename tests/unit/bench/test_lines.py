import json
from dataclasses import replace

import pytest
from bench import lines
from bench.lines import Line, finite

LINE = Line(
    scenario="ladder", arm="stock", point="2", metric="latency_p99", value=1.5, unit="us", n=10, repeat=1, valid=True,
    reason="", kernel="7.3.4", clock="virtual", cpus=3,
)  # fmt: skip


def test_lines_are_appended_and_read_back(tmp_path):
    path = tmp_path / "record.jsonl"
    bad = replace(LINE, value=None, valid=False, reason="why", settings={"seconds": 1.0})
    lines.append(path, [LINE])
    lines.append(path, [bad])
    assert lines.read(path) == [LINE, bad]
    first = json.loads(path.read_text().splitlines()[0])
    assert list(first)[:12] == [
        "scenario", "arm", "point", "metric", "value", "unit", "n", "repeat", "valid", "reason", "kernel", "clock",
    ]  # fmt: skip


def test_keys_of_a_later_version_are_passed_over(tmp_path):
    path = tmp_path / "record.jsonl"
    lines.append(path, [LINE])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"later": 1}) + "\n")
    assert lines.read(path) == [LINE]


@pytest.mark.parametrize("text", ["nothing", "[1]", '{"scenario": "ladder"}'])
def test_a_line_that_is_none_is_named(tmp_path, text):
    path = tmp_path / "record.jsonl"
    lines.append(path, [LINE])
    with path.open("a") as file:
        file.write(text + "\n")
    with pytest.raises(ValueError, match=r"record\.jsonl:2: not a line"):
        lines.read(path)


def test_what_json_can_not_say_is_no_value():
    assert (finite(2.0), finite(float("nan")), finite(float("inf"))) == (2.0, None, None)
