import http.server
import threading

import pytest

from temper.agent.observe import (
    VERSION,
    ApiReport,
    Counts,
    Document,
    Kernel,
    LayerView,
    LintReport,
    MachineShape,
    PodReport,
    ProcessCost,
    QuotaReport,
    ThreadView,
    VerdictView,
    encode,
)
from temper.node.cgroup_cpu import CpuUse, Pressure
from temper.plan.layers import Size
from temper.wire.messages import LayerStats


def layer(name, kind, **more):
    fields = {
        "rank": 0,
        "protected": False,
        "preempts": False,
        "exclusive": False,
        "slice_us": 5000,
        "cpus": [],
        "nr_pods": 1,
    }
    return LayerView(name=name, kind=kind, **(fields | {"may_use": "0-1"} | more))


def pod(key, tier, **more):
    fields = {
        "uid": "u",
        "reason": "priority 0",
        "layer": tier,
        "cpus": [],
        "may_use": "0-1",
        "held_cpus": [],
        "cgroups": [],
    }
    return PodReport(pod=key, tier=tier, **({"request_millicpu": None, "limit_millicpu": None} | fields | more))


def quota(cgroup, pod, container, **more):
    fields = {"quota_millicpu": 500, "period_usec": 100_000, "smooth_periods": 10, "nr_periods": 600}
    return QuotaReport(cgroup=cgroup, pod=pod, container=container, **(fields | more))


def document_of(**more):
    """A node that enforces two pods, with one verdict."""
    fields = {
        "version": VERSION,
        "temper": "0.0",
        "bpf_sha256": "",
        "time_s": 1e9,
        "node": "n1",
        "mode": "enforce",
        "state": "enforcing",
        "reason": "",
        "generation": 3,
        "notes": [],
        "agent_pid": 1,
        "engine_pid": 2,
        "memory_locked": True,
        "kernel": Kernel("enabled", "temper", 1),
        "counts": Counts(0, 0, 0, 0),
        "start_ns": {},
        "last_commit_ns": {},
        "last_stand_down_ns": {},
        "machine": MachineShape(4, 4, 1, 1, "0-1"),
        "pressure": {"cpu": Pressure(some_avg10=12.5)},
        "layers": [
            layer(
                "critical",
                "confined",
                protected=True,
                exclusive=True,
                cpus=[2, 3],
                may_use="2-3",
                total=LayerStats(nr_runs=9, nr_spills=3, nr_guest_runs=4, max_wait_ns=7_000_000),
                size=Size("critical", 2, 2, 3, 2, 2),
                smooth_periods=10,
                ceiling_millicpu=2500,
                used_cpus=1.25,
                mean_wait_us=12.0,
                p99_wait_us=64.0,
                runs_per_s=300.0,
            ),
            layer("background", "open"),
        ],
        "pods": [
            pod("shop/batch", "background", used_millicpu=100),
            pod(
                "shop/web",
                "critical",
                reason="priority 1000000 >= 1000000: critical",
                cpus=[2, 3],
                may_use="2-3",
                cgroups=["kubepods/podu"],
                request_millicpu=2000,
                used_millicpu=1500,
                cpu=CpuUse(5, 9, 2, 3_000_000, 2500),
                pressure={"cpu": Pressure(some_avg10=1.5)},
            ),
            pod("other/web", "background"),
        ],
        "threads": [ThreadView("shop/web", 77, "memcached", 3, 0.9, 7, 0)],
        "lint": LintReport(
            True, 10, 1e9, 0.1, 0, [VerdictView("smt_collision", "shop/web", "shared a core", "Ask for more.", 1e9)]
        ),
        "overhead": {"agent": ProcessCost(1.0, 50_000_000)},
        "api": ApiReport(1, 1, 0, {}),
        "quotas": [
            quota("kubepods/podu/app", "shop/web", "app", nr_throttled=30, throttled_usec=1_500_000),
            quota("kubepods/podu", "shop/web", "", nr_throttled=10, throttled_usec=500_000),
            quota("system.slice/a.service", "", "", nr_throttled=0, throttled_usec=0),
        ],
    }
    return Document(**(fields | more))


@pytest.fixture
def document():
    """Makes documents."""
    return document_of


@pytest.fixture
def agent():
    """An agent's HTTP: .url; .answer is (status, body) or a document, .asked the headers that came."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append((self.path, dict(self.headers)))
            status, body = server.answer if isinstance(server.answer, tuple) else (200, encode(server.answer))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answer, server.asked = document_of(), []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
