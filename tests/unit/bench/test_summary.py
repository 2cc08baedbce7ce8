import pytest
from bench.demo import records
from bench.demo.records import Event, Records, Span
from bench.demo.summary import checks, invalid, observed, stock_window

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
