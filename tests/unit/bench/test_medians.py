from bench.lines import Line
from bench.medians import Row, tables


def line(arm, point, value, *, metric="p99", repeat=1, reason="", kernel="7.3.4", **rest):
    return Line(
        scenario="ladder", arm=arm, point=point, metric=metric, value=value, unit="us", n=10, repeat=repeat,
        valid=not reason, reason=reason, kernel=kernel, clock="virtual", cpus=3, **rest,
    )  # fmt: skip


def test_medians_are_of_valid_repeats_and_held_against_stock():
    found = [line("stock", "2", value, repeat=number) for number, value in enumerate((10, 30, 20), 1)]
    found += [line("temper", "2", 5, repeat=1), line("temper", "2", 900, repeat=2, reason="late"),
              line("temper", "2", 7, repeat=3)]  # fmt: skip
    (rows,) = tables(found).values()
    assert rows == [
        Row("2", "p99", "us", "stock", 20, 3, 3, 1.0, ()),
        Row("2", "p99", "us", "temper", 6, 2, 3, 0.3, ("late",)),
    ]


def test_without_stock_or_without_a_valid_figure_there_is_no_ratio():
    found = [line("temper", "0", 5), line("stock", "1", None, reason="gone"), line("temper", "1", 5)]
    (rows,) = tables(found).values()
    assert [(row.point, row.arm, row.median, row.ratio) for row in rows] == [
        ("0", "temper", 5, None),
        ("1", "stock", None, None),
        ("1", "temper", 5, None),
    ]


def test_a_stock_of_zero_has_no_ratio():
    (rows,) = tables([line("stock", "0", 0), line("temper", "0", 1)]).values()
    assert [row.ratio for row in rows] == [None, None]


def test_points_stay_together_in_the_order_of_the_record():
    found = [line(arm, point, 1, metric=metric) for arm in ("stock", "temper") for point in ("0", "8", "2")
             for metric in ("p50", "p99")]  # fmt: skip
    (rows,) = tables(found).values()
    assert [(row.point, row.metric) for row in rows if row.arm == "stock"] == [
        ("0", "p50"), ("0", "p99"), ("8", "p50"), ("8", "p99"), ("2", "p50"), ("2", "p99"),
    ]  # fmt: skip


def test_other_conditions_are_other_tables():
    found = [line("stock", "0", 1), line("stock", "0", 2, kernel="6.19.14"), line("stock", "0", 3, settings={"a": 1})]
    assert [(condition.kernel, condition.settings) for condition in tables(found)] == [
        ("7.3.4", "{}"), ("6.19.14", "{}"), ("7.3.4", '{"a": 1}'),
    ]  # fmt: skip
