"""The API server, etcd, the agent and the engine die or stall, and connections are cut, in random order; after each the
node is as it should be.

TEMPER_CHAOS_ROUNDS sets how often: each act as often as the others, and once unless set. 140 are twenty of each. The
seed is shown, and TEMPER_CHAOS_SEED repeats one.
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from testbed.network import HOST_ADDRESS
from tests.cluster.harness.agent import ACCOUNT, NODE, STATUS, pod_path
from tests.cluster.harness.cuttable import Cuttable

SEED = int(os.environ.get("TEMPER_CHAOS_SEED", random.randrange(1 << 32)))  # noqa: S311
SWITCH = "temper.codes/safe-mode-requested"
SETTLED_S = 120.0
# A round changes the state a few times at most (gone, starting, enforcing), and each change is written once.
PATCHES_PER_ROUND = 4


class Chaos:
    """What may happen, and what must hold afterwards."""

    def __init__(self, node, way, dice):
        self.node = node
        self.way = way
        self.dice = dice
        self.safe_mode = False

    def api_server_killed(self):
        self.node.cluster.api_server.kill()
        time.sleep(self.dice.uniform(0, 2))
        self.node.cluster.api_server.start()
        self.node.cluster.wait_ready()

    def etcd_paused(self):
        self.node.cluster.etcd.pause()
        time.sleep(self.dice.uniform(1, 4))
        self.node.cluster.etcd.resume()
        self.node.cluster.wait_ready()

    def agent_killed(self):
        self.node.guest.ask("signal", pid=self.node.pid, number=int(signal.SIGKILL))
        self.node.guest.await_state("disabled", since=time.monotonic(), timeout_s=SETTLED_S)
        time.sleep(self.dice.uniform(0, 1))
        self.node.start_agent()

    def agent_killed_while_it_starts(self):
        self.agent_killed()
        time.sleep(self.dice.uniform(0, 3))
        self.agent_killed()

    def engine_killed(self):
        pid, at = self.node.status()["engine_pid"], time.monotonic()
        if pid:
            self.node.guest.ask("signal", pid=pid, number=int(signal.SIGKILL))
            self.node.guest.await_state("disabled", since=at, timeout_s=SETTLED_S)

    def switch_moved(self):
        self.safe_mode = not self.safe_mode
        self.node.cluster.run(
            "annotate", "--overwrite", "node", NODE, f"{SWITCH}={'true' if self.safe_mode else 'false'}"
        )

    def connections_cut(self):
        """Also while the switch's event is under way."""
        self.switch_moved()
        for _ in range(self.dice.randint(1, 5)):
            self.way.cut()
            time.sleep(self.dice.uniform(0, 0.5))

    def acts(self):
        """All of these, and how many of each make the rounds that were asked for, in random order."""
        acts = [
            self.api_server_killed,
            self.etcd_paused,
            self.agent_killed,
            self.agent_killed_while_it_starts,
            self.engine_killed,
            self.switch_moved,
            self.connections_cut,
        ]
        rounds = int(os.environ.get("TEMPER_CHAOS_ROUNDS", len(acts)))
        chosen = (acts * -(-rounds // len(acts)))[:rounds]
        self.dice.shuffle(chosen)
        return chosen

    def as_it_should_be(self):
        """The kernel says what the annotations say."""
        wanted = ("disabled", "safe-mode") if self.safe_mode else ("enabled", "enforcing")
        return (self.node.guest.seen[-1][1], self.node.annotations().get(STATUS)) == wanted


def cpu_us(node, path):
    """What a pod's tasks have run."""
    return int(node.guest.ask("read", path=f"/sys/fs/cgroup/{path}/cpu.stat").split()[1])


def patches(node):
    """How many the agent has sent, whatever became of them."""
    return sum(event["verb"] == "patch" for event in node.cluster.asked_by(ACCOUNT))


@pytest.fixture
def way(node):
    """The agent's way to the API server."""
    way = Cuttable(node.cluster.port)
    config = node.guest.share / "agent.kubeconfig"
    node.cluster.kubeconfig_for(ACCOUNT, config, server=f"https://{HOST_ADDRESS}:{way.port}")
    yield way
    node.cluster.kubeconfig_for(ACCOUNT, config)
    way.close()


def test_after_whatever_happens_the_kernel_says_what_the_annotations_say(node, way, measured):
    paths = []
    for name, tier in (("web", "critical"), ("batch", "background")):
        pod = node.add_pod(name, priority_class=f"temper-{tier}", cpu="1" if tier == "critical" else "")
        paths.append(pod_path(pod))
        node.guest.ask("pod", path=paths[-1], spinners=2)
    # A killed engine each round would latch the breaker, as it should; that has its own test.
    node.start_agent("safety.max_losses=1000")
    node.guest.await_state("enabled", timeout_s=SETTLED_S)
    chaos = Chaos(node, way, random.Random(SEED))  # noqa: S311
    most, acts = 0, chaos.acts()
    for number, act in enumerate(acts):
        before_it, what = patches(node), f"seed {SEED}, round {number}, {act.__name__}"
        act()
        node.until(chaos.as_it_should_be, what, SETTLED_S)
        before = [cpu_us(node, path) for path in paths]
        node.until(
            lambda before=before: all(
                now > was for now, was in zip([cpu_us(node, path) for path in paths], before, strict=True)
            ),
            f"{what}: every pod's tasks run",
        )
        most = max(most, patches(node) - before_it)
        assert most <= PATCHES_PER_ROUND, what
    assert "Traceback" not in node.agent_log()
    measured("rounds", len(acts))
    measured("patches sent in all", patches(node))
    measured("most patches in a round", most)


def test_repeated_losses_leave_stock_latched_with_the_reason(node):
    node.stop_agent()
    node.cluster.run("annotate", "--overwrite", "node", NODE, f"{SWITCH}=true")
    node.start_agent("safety.max_losses=2")
    node.await_annotation(STATUS, "safe-mode")  # a person's word: what was lost earlier on this node doesn't count
    at = time.monotonic()
    node.cluster.run("annotate", "node", NODE, f"{SWITCH}-")
    for _ in range(2):
        node.guest.await_state("enabled", since=at)
        at = time.monotonic()
        node.until(lambda: node.status()["engine_pid"], "an engine")
        node.guest.ask("signal", pid=node.status()["engine_pid"], number=int(signal.SIGKILL))
        node.guest.await_state("disabled", since=at)
    node.await_annotation(STATUS, "detached: the engine is gone; latched")
    at = time.monotonic()
    node.cluster.run("annotate", "node", NODE, f"{SWITCH}=true")  # a person re-engages: on, and off
    node.await_annotation(STATUS, "safe-mode")
    node.cluster.run("annotate", "node", NODE, f"{SWITCH}-")
    node.guest.await_state("enabled", since=at)


@pytest.fixture(autouse=True)
def show_seed():
    """With a failure, how to repeat it."""
    print(f"TEMPER_CHAOS_SEED={SEED}")  # noqa: T201
