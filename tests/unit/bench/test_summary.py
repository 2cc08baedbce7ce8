import struct

import pytest
from bench.demo import records
from bench.demo.records import HEADER, MAGIC, RECORD, Event, Records, Request, Span
from bench.demo.scene import Scene, changed
from bench.demo.summary import checks, invalid, observed, percentile, stock_window


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([5], 0.99, 5),
        (list(range(1, 101)), 0.50, 50),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 1001)), 0.999, 999),
        (list(range(1, 1001)), 0.99, 990),
        ([1, 2], 0.99, 2),
    ],
)
def test_percentile_is_the_nearest_rank(values, share, expected):
    assert percentile(values, share) == expected


def test_requests_are_read_and_a_torn_last_record_is_left_out(tmp_path):
    path = tmp_path / "requests.bin"
    body = RECORD.pack(10, 20, 3, 0, 0) + RECORD.pack(11, 21, 4, 1, 1) + b"torn"
    path.write_bytes(HEADER.pack(MAGIC, RECORD.size, 0) + body)
    assert records.read_requests(path) == [Request(10, 20, 3, False), Request(11, 21, 4, True)]


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "requests.bin"
    path.write_bytes(struct.pack("<8sII", b"OTHER1\n\0", 24, 0))
    with pytest.raises(ValueError, match="not a record file"):
        records.read_requests(path)


WATCHED = [
    "100 state disabled - 0",
    "200 state enabled temper 1",
    "250 gap 40",
    "300 state disabled - 1",
    "400 state enabled temper 2",
    "500 end 9 40",
]


def test_spans_are_contiguous():
    spans, gap_ns = records.read_spans(WATCHED)
    assert [(span.start_ns, span.end_ns, span.ours) for span in spans] == [
        (100, 200, False),
        (200, 300, True),
        (300, 400, False),
        (400, 500, True),
    ]
    assert gap_ns == 40


def test_the_stock_window_is_the_kernels_word():
    spans, gap_ns = records.read_spans(WATCHED)
    run = Records([], [Event(290, "kill", {})], spans, gap_ns)
    assert stock_window(run) == (300, 400)


def test_a_window_with_two_schedulers_names_both():
    spans = [Span(0, 1, "enabled", "temper"), Span(1, 2, "disabled", "")]
    assert observed(spans) == ("enabled,disabled", "temper,stock")


GOOD = {
    "ops": "temper", "rate": 1000.0, "rate_offered": 1000.0, "requests": 4000, "client_lateness_p99_ms": 0.1,
    "p99_ms": 2.0, "memcached_busy": 0.6, "lost": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"ops": "temper,stock"}, "ops was"),
        ({"rate": 900.0}, "offered"),
        ({"client_lateness_p99_ms": 1.0}, "late"),
        ({"lost": 1}, "lost"),
    ],
)
def test_a_window_that_proves_nothing_says_why(change, reason):
    reasons = invalid("attached", GOOD | change)
    assert (reason is None and not reasons) or (len(reasons) == 1 and reason in reasons[0])


def test_an_idle_memcached_makes_no_demo():
    assert "memcached used 40%" in invalid("stock_idle", GOOD | {"ops": "stock", "memcached_busy": 0.4})[0]


def phases(**p99):
    figures = {name: {"p99_ms": value, "valid": True} for name, value in p99.items()}
    figures["failover"]["time_to_reattach_ms"] = 9000.0
    return figures


@pytest.mark.parametrize(
    ("figures", "failing"),
    [
        (phases(stock_idle=1, stock_loaded=4, attached=1.2, failover=4), set()),
        (phases(stock_idle=1, stock_loaded=4, attached=1.4, failover=4), {"attached p99 over stock idle"}),
        (phases(stock_idle=1, stock_loaded=2, attached=1.2, failover=2), {"stock loaded p99 over stock idle"}),
        (phases(stock_idle=1, stock_loaded=4, attached=1.2, failover=5), {"failover p99 over stock loaded"}),
    ],
)
def test_claims(figures, failing):
    assert {check["claim"] for check in checks(figures) if not check["holds"]} == failing


def test_a_scene_is_changed_by_name_only():
    assert changed(Scene(), ["spinners=8"]).spinners == 8
    with pytest.raises(ValueError, match="no setting"):
        changed(Scene(), ["spinner=8"])
