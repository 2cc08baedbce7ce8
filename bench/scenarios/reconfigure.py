"""Reconfiguring under load: what the service, and the tasks of everybody else, notice of it.

The ladder's memcached with the background at twice the node's cpus, and four more pods that spin. A point is a number
of reconfigurations: so many times, 20 a second, the workloads file is replaced by another valid one, in which pods
change tier and size at random (always the same chance) while memcached's own line stays. Point 0 is a window of the
same length, without any. The agent may take several changes together: `commits` says how many it made of them.

What a reconfiguration took is the agent's own word (`last_commit_ns` in its status), of each commit that was seen;
whether it was ever detached is the kernel's (`enable_seq`). At the end each thread that wants a cpu has to get one
within `final_s`: otherwise it is a stalled task.

Not valid, beside what holds for the ladder: the agent was in another state or restarted, a change was refused, no
commit was made, one in twenty was not seen, or the threads that should be there at the end were not.

A figure of this guest is not one of a node: an agent's pass takes some twenty times as long as on a real cpu, so that
it makes one commit of several changes here.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from bench import commits, service, workloads
from bench.commits import PARTS, Commits
from bench.guest import agent, stage, tasks
from bench.guest.house import House
from bench.guest.memcached import Load
from bench.layers import fence_doubts, of_status
from bench.scenario import TEMPER, Figure, Scenario, Seen, whole
from bench.variations import variations
from bench.workloads import Rule

MOST = 100_000
OWN = 2  # memcached's cpus
SPINNERS_A_CPU = 2
PODS = ("pod-0", "pod-1", "pod-2", "pod-3")
POD_MILLICPU = 1000
BESIDE = (service.BACKGROUND, *PODS)
LOOK_S = 0.005
# Below the client: writing files and copying the status shall not make it late.
WRITER_PRIORITY = stage.CLIENT_PRIORITY - 5
LEAST_SEEN = 0.95


@dataclass(frozen=True, slots=True)
class Settings:
    """per_s: reconfigurations a second. settle_s: before the window, once everything runs.

    after_s: after it, for the last commit. final_s: in which every thread has to run once. seed: of the changes and of
    the client's schedule.
    """

    per_s: float = 20.0
    settle_s: float = 1.0
    after_s: float = 3.0
    final_s: float = 5.0
    seed: int = 1


class Reconfigure(Scenario[Settings]):
    """Latencies with and without reconfigurations, and what those took."""

    name = "reconfigure"
    settings_type = Settings
    about = "random valid reconfigurations under load: latency, time to be in force, lost tasks"
    points_are = f"reconfigurations: 0 to {MOST}; 0 is a window as long as the longest other one"
    default_points = ("0", "1000")
    arms = (TEMPER,)
    default_cpus = 5
    least_cpus = OWN + 1
    programs: ClassVar[tuple[str, ...]] = ("mcopen", "spin")

    def check_point(self, point: str) -> None:
        whole(point, MOST)

    def main(self, point: str) -> tuple[str, str]:
        return "latency_p99", "us"

    def seconds(self, point: str) -> float:
        """How long a point's window is."""
        longest = max((int(each) for each in self.order.points), default=0) or int(self.default_points[-1])
        return (int(point) or longest) / self.settings.per_s

    def load(self, point: str) -> Load:
        """memcached's, whose schedule repeats with the window's length."""
        rate = service.rate(OWN, self.order.cpus)
        return Load(threads=OWN, rate=rate, period_s=self.seconds(point), seed=self.settings.seed)

    def texts(self) -> Iterator[list[Rule]]:
        """The workloads files, one after another; the first is the one that the agent is started with."""
        for rules in variations(service.rules(OWN), PODS, self.settings.seed):
            yield list(rules)

    def rules(self) -> list[Rule]:
        return next(self.texts())

    def pods(self) -> dict[str, int]:
        return service.pods(OWN) | dict.fromkeys(PODS, POD_MILLICPU)

    # ---- in the guest ----

    def play(self, house: House, arm: str, point: str) -> dict[str, Any]:
        files = [workloads.text(rules) for rules in itertools.islice(self.texts(), int(point) + 1)]
        replace_file(house, files[0])
        looks = Looks(agent.STATUS)
        with ExitStack() as stack:
            asked = service.Service(house, self.load(point))
            stack.enter_context(asked.serving())
            client = stack.enter_context(asked.asked())
            stack.enter_context(service.spinning(house, SPINNERS_A_CPU * self.order.cpus))
            for pod in PODS:
                stack.enter_context(service.spinning(house, 1, pod))
            time.sleep(self.settings.settle_s)
            with service.window((service.POD, *BESIDE)) as measured, at_priority(WRITER_PRIORITY):
                looks.look()
                self._reconfigure(house, files[1:], self.seconds(point), looks)
            looks.look_until(time.monotonic() + self.settings.after_s)
            progress = self._progress()
            answered = asked.answered(client, arm, point)
        looks.write(house.work / "statuses.jsonl")
        statuses = house.bring(house.work / "statuses.jsonl", arm, point)
        status = of_status(agent.read_status())
        return {"window": measured, "client": answered, "statuses": statuses, "progress": progress, "status": status}

    def _reconfigure(self, house: House, files: list[str], seconds: float, looks: Looks) -> None:
        """Each file at its instant, looking at the status in between."""
        began = time.monotonic()
        for number, text in enumerate(files):
            looks.look_until(began + number / self.settings.per_s)
            replace_file(house, text)
        looks.look_until(began + seconds)

    def _progress(self) -> dict[str, int]:
        """Of each thread that wants a cpu: nanoseconds of it that it got in `final_s`."""
        wanting = tasks.runnable([tid for pod in BESIDE for tid in tasks.of_pod(pod)])
        before = tasks.ran_ns(wanting)
        time.sleep(self.settings.final_s)
        after = tasks.ran_ns(wanting)
        return {str(tid): after.get(tid, 0) - ran for tid, ran in before.items()}

    # ---- on the host ----

    def judge(self, seen: Seen) -> list[Figure]:
        found = commits.read(Path(seen.raw, seen.data["statuses"]))
        spinners = SPINNERS_A_CPU * self.order.cpus
        doubts = (
            *agent_doubts(found),
            *fence_doubts(seen, "critical"),
            *progress_doubts(seen.data["progress"], spinners + len(PODS)),
        )
        load = self.load(seen.point)
        figures = service.figures(seen, load, own=OWN, cpus=self.order.cpus, spinners=spinners, beside=BESIDE)
        stalled = sum(ran <= 0 for ran in seen.data["progress"].values())
        figures.append(Figure("stalled_tasks", stalled, "tasks", len(seen.data["progress"])))
        figures.append(Figure("detachments", seen.after.seq - seen.before.seq, "times", 1))
        if int(seen.point):
            figures += commit_figures(found, int(seen.point))
        return [replace(figure, doubts=(*figure.doubts, *doubts)) for figure in figures]


class Looks:
    """Copies of the agent's status, each time that it is a new one. Nothing is parsed while the load is measured."""

    def __init__(self, status: Path) -> None:
        self._status = status
        self._known = (0, 0)
        self._kept: list[tuple[int, bytes]] = []

    def look(self) -> None:
        """Keep it if it is new. It is replaced as a whole, so its inode tells."""
        with contextlib.suppress(OSError):
            stat = os.stat(self._status)  # noqa: PTH116 - some hundred times a second on a slow cpu
            if (stat.st_ino, stat.st_mtime_ns) != self._known:
                self._known = (stat.st_ino, stat.st_mtime_ns)
                self._kept.append((time.monotonic_ns(), self._status.read_bytes()))

    def look_until(self, deadline_s: float) -> None:
        """Look again and again until then (time.monotonic)."""
        while (left_s := deadline_s - time.monotonic()) > 0:
            self.look()
            time.sleep(min(LOOK_S, left_s))

    def write(self, path: Path) -> None:
        """One JSON object a line, for bench/commits.py."""
        with path.open("wb") as file:
            for t_ns, status in self._kept:
                file.write(b'{"t_ns": %d, "status": %s}\n' % (t_ns, status.strip()))


def replace_file(house: House, text: str) -> None:
    """As most editors and config maps do: another file takes the name. It is written where the agent does not look."""
    new = house.work / "workloads.new"
    new.write_text(text)
    new.rename(house.workloads)


@contextmanager
def at_priority(priority: int) -> Iterator[None]:
    """Our own real-time priority inside the block."""
    stage.become_realtime(priority)
    try:
        yield
    finally:
        stage.become_realtime()


def agent_doubts(found: Commits) -> list[str]:
    """One agent, one engine, enforcing all the while, and doing as the file says."""
    return [
        *([f"the agent's state was {', '.join(found.states)}"] if found.states != ("enforcing",) else ()),
        *(["agent or engine were started anew"] if len(found.pids) > 1 else ()),
        *(f"a change was not put in force: {note}" for note in found.refused[:1]),
    ]


def progress_doubts(progress: Mapping[str, int], expected: int) -> list[str]:
    """Every spinner wants a cpu at any time, so each was looked at."""
    if len(progress) == expected:
        return []
    return [f"{len(progress)} threads wanted a cpu at the end, not {expected}"]


def commit_figures(found: Commits, asked: int) -> list[Figure]:
    """What the reconfigurations took."""
    nr_seen = len(found.took_ns["commit"])
    doubts = (
        *(["no commit was made"] if not found.counted else ()),
        *([f"{nr_seen} of {found.counted} commits were seen"] if nr_seen < LEAST_SEEN * found.counted else ()),
    )
    figures = [
        Figure("reconfigurations", asked, "files", asked, doubts),
        Figure("commits", found.counted, "commits", nr_seen, doubts),
    ]
    for part, metric in PARTS.items():
        n = len(found.took_ns[part])
        for name, share in (("p50", 0.50), ("p99", 0.99), ("max", 1.0)):
            figures.append(Figure(f"{metric}_{name}", found.percentile_us(part, share), "us", n, doubts))
    return figures


SCENARIO = Reconfigure
