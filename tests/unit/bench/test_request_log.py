import struct

import pytest
from bench.request_log import HEADER, MAGIC, RECORD, Request, between, latencies, read_requests


def test_requests_are_read_and_a_torn_last_record_is_left_out(tmp_path):
    path = tmp_path / "requests.bin"
    body = RECORD.pack(10, 20, 3, 0, 0) + RECORD.pack(11, 21, 4, 1, 1) + b"torn"
    path.write_bytes(HEADER.pack(MAGIC, RECORD.size, 0) + body)
    assert read_requests(path) == [Request(10, 20, 3, False), Request(11, 21, 4, True)]


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "requests.bin"
    path.write_bytes(struct.pack("<8sII", b"OTHER1\n\0", 24, 0))
    with pytest.raises(ValueError, match="not a record file"):
        read_requests(path)


def test_a_window_has_the_requests_that_were_planned_in_it():
    requests = [Request(t, 1, 0, False) for t in (9, 10, 19, 20)]
    assert [request.scheduled_ns for request in between(requests, 10, 20)] == [10, 19]


def test_latencies_count_a_lost_request_with_what_it_has_waited():
    found = latencies([Request(0, 1_000_000, 1000, False), Request(1, 9_000_000, 2000, True)])
    assert (found["p50_ms"], found["p99_ms"], found["max_ms"]) == (1.0, 9.0, 9.0)
    assert (found["requests"], found["lost"], found["client_lateness_p99_ms"]) == (2, 1, 0.002)
