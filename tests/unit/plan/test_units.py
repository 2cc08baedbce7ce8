import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.plan.units import counted, format_cpu_list, format_millicpu, parse_cpu_list, parse_millicpu


@pytest.mark.parametrize(
    ("value", "millicpu"),
    [
        (3, 3000),
        (0, 0),
        (1.5, 1500),
        (1.005, 1005),
        (0.0001, 1),
        ("1500m", 1500),
        ("2", 2000),
        ("0.5", 500),
        ("2.", 2000),
        ("0.0001", 1),
        ("0.5m", 1),
        (1_000_000, 1_000_000_000),
    ],
)
def test_quantities(value, millicpu):
    assert parse_millicpu(value) == millicpu


@pytest.mark.parametrize(
    "value",
    [
        *("", "m", "-1", "1,5", "1k", "1e3", " 1", "0x2", "٣", "9" * 5000, "1000001"),
        *(-1, -0.5, 1e308, 16**5000, float("nan"), float("inf"), True, None, [1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_refused_quantities(value):
    with pytest.raises(ValueError, match=r"is not a number of cpus such as 2, 1\.5|is not from 0 to 1000000"):
        parse_millicpu(value)


@pytest.mark.parametrize(("millicpu", "text"), [(1500, "1.5"), (2000, "2"), (1, "0.001"), (0, "0"), (10000, "10")])
def test_format_millicpu(millicpu, text):
    assert format_millicpu(millicpu) == text


@given(st.integers(0, 1_000_000_000))
def test_a_printed_quantity_reads_back(millicpu):
    assert parse_millicpu(format_millicpu(millicpu)) == millicpu
    assert parse_millicpu(f"{millicpu}m") == millicpu


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0-3,8\n", (0, 1, 2, 3, 8)),
        ("", ()),
        (" \n", ()),
        ("5", (5,)),
        ("3,1,1-2", (1, 2, 3)),
        ("0, 2", (0, 2)),
    ],
)
def test_cpu_lists(text, cpus):
    assert parse_cpu_list(text) == cpus


@pytest.mark.parametrize("text", ["a", "1-", "-1", "3-1", "1,,2", "0-99999999", "0-3:2/4"])
def test_refused_cpu_lists(text):
    with pytest.raises(ValueError, match=r"is not a cpu or a range|does not ascend"):
        parse_cpu_list(text)


@given(st.sets(st.integers(0, 600)))
def test_a_printed_cpu_list_reads_back(cpus):
    assert parse_cpu_list(format_cpu_list(cpus)) == tuple(sorted(cpus))


def test_counted():
    assert (counted(1, "cpu"), counted(2, "cpu"), counted(0, "cpu")) == ("1 cpu", "2 cpus", "0 cpus")
