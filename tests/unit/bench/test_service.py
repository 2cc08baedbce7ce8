import math

import pytest
from bench import service
from bench.guest.memcached import Load
from bench.guest.stage import Look
from bench.request_log import HEADER, MAGIC, RECORD
from bench.scenario import Seen

S = 10**9
LOAD = Load(threads=2, rate=1000.0, period_s=1.0)


def seen(tmp_path, *, arm="stock", count=1000, late_ns=1000, lost=0, memcached=1.8, background=0.0, status=0):
    """One second in which `count` requests were planned, one more before it and one after it."""
    planned = [S - 1, *(S + number * S // count for number in range(count)), 2 * S] if count else []
    body = b"".join(RECORD.pack(t, 2_000_000, late_ns, 0, 0 < n <= lost) for n, t in enumerate(planned))
    (tmp_path / "requests.bin").write_bytes(HEADER.pack(MAGIC, RECORD.size, 0) + body)
    used = {"memcached": memcached * 1e6, "background": background * 1e6}
    data = {
        "window": {"start_ns": S, "end_ns": 2 * S, "cpu_us": used},
        "client": {"status": status, "requests": "requests.bin"},
    }
    look = Look("disabled", "", 0)
    return Seen(arm, "0", look, look, data, tmp_path)


def figures(tmp_path, spinners=0, **rest):
    found = service.figures(seen(tmp_path, **rest), LOAD, own=2, cpus=3, spinners=spinners)
    return {figure.metric: figure for figure in found}


def test_a_good_window(tmp_path):
    found = figures(tmp_path)
    assert {metric: figure.value for metric, figure in found.items()} == {
        "latency_p50": 2000, "latency_p99": 2000, "latency_p999": 2000, "throughput": 1000,
        "service_cpu": 1.8, "background_cpu": 0,
    }  # fmt: skip
    assert {figure.n for figure in found.values()} == {1000}
    assert {figure.doubts for figure in found.values()} == {()}


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ({"count": 800}, "1000.0 offered"),
        ({"late_ns": 1_000_000}, "the client itself"),
        ({"lost": 3}, "3 requests were lost"),
        ({"memcached": 1.0}, "memcached used 33%"),
        ({"memcached": 1.0, "arm": "temper"}, None),
        ({"spinners": 3, "background": 0.1, "memcached": 1.0}, "there was no load"),
        ({"spinners": 3, "background": 1.0, "memcached": 1.0}, None),
        ({"status": 2}, "failed with status 2"),
        ({"status": 1}, None),
    ],
)
def test_a_window_that_proves_nothing_says_why(tmp_path, rest, reason):
    doubts = figures(tmp_path, **rest)["latency_p99"].doubts
    assert (doubts == ()) if reason is None else (len(doubts) == 1 and reason in doubts[0])


def test_a_window_without_a_request_has_no_latency_and_is_doubted(tmp_path):
    found = figures(tmp_path, count=0)["latency_p99"]
    assert math.isnan(found.value)
    assert found.doubts


def test_memcached_is_asked_as_much_for_its_cpus_speed_as_in_the_demo():
    assert service.rate(2, 3) == 2320.0
    assert service.rate(2, 7) == 1160.0
