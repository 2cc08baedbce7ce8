import pytest
from bench import pgbench_log
from bench.request_log import Request

LINES = """\
0 1 12500 0 1763992800 250000 300
3 1 900 0 1763992801 5 12
"""


def test_a_transaction_counts_from_its_planned_instant(tmp_path):
    (tmp_path / "log").write_text(LINES)
    assert pgbench_log.read(tmp_path / "log") == [
        Request(1_763_992_800_237_500_000, 12_500_000, 300_000, False),
        Request(1_763_992_800_999_105_000, 900_000, 12_000, False),
    ]


@pytest.mark.parametrize("line", ["0 1 failed 0 1763992800 250000 300", "0 1 12500 0 1763992800 250000"])
def test_what_is_no_answer_is_refused(tmp_path, line):
    (tmp_path / "log").write_text(line + "\n")
    with pytest.raises(ValueError, match=r"int\(\)|unpack"):
        pgbench_log.read(tmp_path / "log")
