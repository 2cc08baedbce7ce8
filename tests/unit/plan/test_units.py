import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.plan.units import (
    counted,
    format_cpu_list,
    format_millicpu,
    parse_cpu_list,
    parse_millicpu,
    parse_quantity_millicpu,
)


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


@pytest.mark.parametrize(
    ("text", "millicpu"),
    [
        *(("2", 2000), ("1500m", 1500), ("+5", 5000), ("1.", 1000), (".5", 500), ("007", 7000)),
        *(("0", 0), ("-0", 0), ("0Ei", 0), ("0e999999999999", 0), ("0.000", 0)),
        *(("100u", 1), ("1n", 1), ("1000001u", 1001), ("1500000000n", 1500)),
        *(("2k", 2_000_000), ("0.001M", 1_000_000), ("1Ki", 1_024_000), ("0.5Ki", 512_000)),
        *(("1e3", 1_000_000), ("1E3", 1_000_000), ("15e-1", 1500), ("1e+2", 100_000), ("1e-999999999999", 1)),
        *(("1M", 1_000_000_000), ("1G", 1_000_000_000), ("1E", 1_000_000_000), ("8Ei", 1_000_000_000)),
        *(("1e999999999999", 1_000_000_000), ("9" * 5000, 1_000_000_000), ("0." + "0" * 5000 + "1", 1)),
        ("1.00000000000000000000000000000000000000000000000001m", 2),
        (f".{7 * 5**63:063d}Ei", 875),  # 7/2^63, all its 63 digits needed
    ],
    ids=lambda value: str(value)[:20],
)
def test_kubernetes_quantities(text, millicpu):
    assert parse_quantity_millicpu(text) == millicpu


@pytest.mark.parametrize(
    "text",
    [
        *("", " 1", "1 ", "m", ".", "+", "1e", "1e1.5", "1mi", "1K", "1i", "1KiB", "1e3k", "1ee3", "--1", "0x2"),
        *("٣", "NaN", "Infinity", "1_000", "1,5", "None", "9" * 50_000 + "x", "\x1b[2J"),
        *("-1", "-1n", "-9e99999999999"),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_refused_kubernetes_quantities(text):
    with pytest.raises(ValueError, match=r"is not a Kubernetes quantity such as 2, 1\.5|is negative"):
        parse_quantity_millicpu(text)


_FACTORS = {"n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1), "k": 1000}
_FACTORS |= {"Ki": 1024, "Ei": 1024**6, "E": 10**18, "e-7": Fraction(1, 10**7), "E4": 10**4, "e+18": 10**18}


@given(st.decimals(0, 10**9, places=None, allow_nan=False), st.sampled_from(sorted(_FACTORS)))
def test_a_kubernetes_quantity_is_rounded_up_and_clamped(number, suffix):
    exact = Fraction(number) * _FACTORS[suffix] * 1000
    assert parse_quantity_millicpu(f"{number:f}{suffix}") == min(math.ceil(exact), 10**9)


@given(st.integers(0, 1_000_000_000).map(lambda millicpu: f"{millicpu}m"))
def test_a_kubernetes_quantity_includes_what_people_write(text):
    assert parse_quantity_millicpu(text) == parse_millicpu(text)


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
