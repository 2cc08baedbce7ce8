"""A Critical memcached under load: how much it is asked, how it is measured, how its figures are judged.

Shared by the scenarios that have one. The precautions are the demo's (docs/demo.md): the client and whoever observes
have a cpu to themselves, latency counts from the planned instant, and every window of one length sees the same load.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

from bench.guest import stage, tasks
from bench.guest.house import House
from bench.guest.memcached import Load, Memcached
from bench.request_log import between, latencies, read_requests
from bench.scenario import Figure, Seen
from bench.validity import BUSY, BUSY_OWN_SHARE, late_client, lost_requests, wrong_busyness, wrong_rate
from bench.workloads import Rule

POD = "memcached"
BACKGROUND = "background"
# With three cpus for the node and one for the instruments, each has a quarter of the clock's rate, and a cpu of
# memcached's own takes this many requests of 100 keys a second at some 80 %.
REQUESTS_A_CPU = 1160.0
CPUS_OF_THAT = 4
# Less than this of a cpu, and there was no load.
LEAST_BACKGROUND = 0.5


def rate(own: int, cpus: int) -> float:
    """Requests a second that keep memcached as busy as in the demo. own: its cpus; cpus: the node's, one is beside."""
    return REQUESTS_A_CPU * own * CPUS_OF_THAT / (cpus + 1)


def rules(own: int) -> list[Rule]:
    """The workloads: memcached is Critical with `own` cpus, the spinners Background."""
    return [
        Rule(POD, "critical", f"pods/{POD}", own),
        Rule(BACKGROUND, "background", f"pods/{BACKGROUND}"),
    ]


def pods(own: int) -> dict[str, int]:
    """Their cpu requests in thousandths: memcached asks for `own` cpus, the spinners are BestEffort."""
    return {POD: own * 1000, BACKGROUND: 0}


# ---- in the guest ----


class Service:
    """The server, and one client after another."""

    def __init__(self, house: House, load: Load) -> None:
        self._house = house
        self._memcached = Memcached(load, house.bin, house.work)
        self._out = house.work / "requests.bin"
        self._log = house.work / "mcopen.log"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """memcached runs inside the block, with every key stored."""
        process = self._memcached.start()
        try:
            self._memcached.wait()
            with self.asked(populate=True):
                pass
            yield
        finally:
            stage.end(process)

    @contextmanager
    def asked(self, *, populate: bool = False) -> Iterator[Popen[bytes]]:
        """The client sends inside the block; to end it earlier, end the process."""
        self._log.unlink(missing_ok=True)
        client = self._memcached.start_client(self._out, self._log, populate=populate)
        try:
            self._wait_client()
            yield client
        finally:
            stage.end(client)

    def _wait_client(self) -> None:
        try:
            self._memcached.wait_client(self._log)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self._log.read_text(errors='replace').strip()}") from None

    def answered(self, client: Popen[bytes], arm: str, point: str) -> dict[str, Any]:
        """End the client, which awaits what is due, and bring home what it wrote. The load shall still be there."""
        return {"status": stage.end(client), "requests": self._house.bring(self._out, arm, point)}


@contextmanager
def window(of: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A measured window: filled at the end with its bounds (CLOCK_MONOTONIC ns) and the cpu time that pods used, us."""
    seen: dict[str, Any] = {}
    before = {name: stage.cpu_us(name) for name in of}
    seen["start_ns"] = time.monotonic_ns()
    yield seen
    seen["end_ns"] = time.monotonic_ns()
    seen["cpu_us"] = {name: stage.cpu_us(name) - before[name] for name in of}


@contextmanager
def spinning(house: House, spinners: int, pod: str = BACKGROUND) -> Iterator[None]:
    """So many threads that never sleep, inside the block."""
    if not spinners:
        yield
        return
    with stage.running(stage.ROOT / pod, [str(house.bin / "spin"), str(spinners)]):
        yield


@contextmanager
def spinners(house: House, threads: int, pod: str) -> Iterator[list[int]]:
    """As `spinning`, and all are there: their thread ids, with that of the one that started them and waits."""
    with spinning(house, threads, pod):
        stage.wait_for(f"{threads} spinners in {pod}", lambda: len(tasks.of_pod(pod)) == threads + 1, 20)
        yield tasks.of_pod(pod)


# ---- on the host ----


def used_cpus(seen: Seen, pod: str) -> float:
    """Cpus that a pod used over the window."""
    measured = seen.data["window"]
    return float(measured["cpu_us"][pod] * 1000 / (measured["end_ns"] - measured["start_ns"]))


def figures(
    seen: Seen, load: Load, *, own: int, cpus: int, spinners: int, beside: Sequence[str] = (BACKGROUND,)
) -> list[Figure]:
    """Latencies, throughput and cpu use over the window, each with the doubts that hold for all of them.

    own: memcached's cpus; cpus: the node's; spinners: in the background. Its busyness is judged on stock and alone.
    beside: the pods that are the load.
    """
    measured, client = seen.data["window"], seen.data["client"]
    seconds = (measured["end_ns"] - measured["start_ns"]) / 1e9
    requests = between(read_requests(Path(seen.raw, client["requests"])), measured["start_ns"], measured["end_ns"])
    found = latencies(requests)
    busy, background = used_cpus(seen, POD), used_cpus(seen, BACKGROUND)
    others = sum(used_cpus(seen, pod) for pod in beside)
    scale = own / cpus / BUSY_OWN_SHARE
    alone = not spinners and seen.arm == "stock"
    doubts = (
        *client_doubts(client["status"]),
        *wrong_rate(round(len(requests) / seconds, 1), load.rate, len(requests)),
        *late_client(found["client_lateness_p99_ms"], found["p99_ms"]),
        *(wrong_busyness(busy / cpus, (BUSY[0] * scale, BUSY[1] * scale)) if alone else ()),
        *lost_requests(found["lost"]),
        *background_doubts(others, spinners),
    )
    answered = len(requests) - found["lost"]
    n = len(requests)
    return [
        *(Figure(f"latency_{p}", round(found[f"{p}_ms"] * 1e3, 1), "us", n, doubts) for p in ("p50", "p99", "p999")),
        Figure("throughput", round(answered / seconds, 1), "requests/s", n, doubts),
        Figure("service_cpu", round(busy, 3), "cpus", n, doubts),
        Figure("background_cpu", round(background, 3), "cpus", n, doubts),
    ]


def client_doubts(status: int) -> list[str]:
    """The client's exit status: 1 says that an answer never came, more that it failed."""
    if status in (0, 1):  # lost requests inside the window are counted there
        return []
    return [f"the client failed with status {status}"]


def background_doubts(used: float, spinners: int) -> list[str]:
    """A background that did not run is no load."""
    if not spinners or used >= LEAST_BACKGROUND:
        return []
    return [f"whoever is beside it used {used:.2f} cpus: there was no load"]
