import pytest
from bench.validity import late_client, lost_requests, wrong_busyness, wrong_rate, wrong_scheduler


@pytest.mark.parametrize(
    ("reasons", "word"),
    [
        (wrong_scheduler("temper", "temper"), None),
        (wrong_scheduler("temper,stock", "temper"), "throughout"),
        (wrong_rate(1000, 1010, 100_000), None),
        (wrong_rate(1000, 1050, 100_000), "1050 offered"),
        (wrong_rate(1000, 1050, 1000), None),  # so few scatter by so much
        (late_client(0.1, 1.0), None),
        (late_client(0.3, 1.0), "late"),
        (late_client(float("nan"), float("nan")), "late"),
        (wrong_busyness(0.6), None),
        (wrong_busyness(0.4), "memcached used 40%"),
        (wrong_busyness(0.4, (0.3, 0.5)), None),
        (lost_requests(0), None),
        (lost_requests(2), "2 requests were lost"),
    ],
)
def test_each_rule_says_why_or_nothing(reasons, word):
    assert reasons == [] if word is None else (len(reasons) == 1 and word in reasons[0])
