"""Plays the demo inside the guest and writes down what happened; it judges nothing.

    python3 -m bench.demo.guest.player /share

/share holds scene.json, workloads.toml and bin/ (mcopen, spin, statewatch, turns, idleburn.bpf.o). It gets:
events.jsonl (one object per line, CLOCK_MONOTONIC ns), requests.bin (every request), watch.txt (who was
attached, as observed), and the logs of all programs. Lines of stdout that are JSON are progress.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.demo.scene import PHASES, TITLES, Scene
from bench.guest import agent, stage
from bench.guest.idleburn import IdleBurn
from bench.guest.memcached import Memcached

WORK = Path("/run/demo")
LEAVE_S = 30.0


class Player:
    """The play. Each phase method opens and closes its window; the client sends throughout."""

    def __init__(self, share: Path) -> None:
        self.share = share
        self.bin = share / "bin"
        self.scene = Scene(**json.loads((share / "scene.json").read_text()))
        self.phases = [name for name in PHASES if name in self.scene.phases.split(",")]
        self.service = Memcached(self.scene.load(), self.bin, WORK)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.agent: subprocess.Popen[bytes] | None = None
        WORK.mkdir(exist_ok=True)
        self.events = (WORK / "events.jsonl").open("w")

    # ---- writing down ----

    def event(self, name: str, /, **data: Any) -> int:
        """Write an event down with the time now; returns that time."""
        now = time.monotonic_ns()
        self.events.write(json.dumps({"t_ns": now, "event": name, **data}) + "\n")
        return now

    def tell(self, **data: Any) -> None:
        """One line of progress for whoever watches."""
        print(json.dumps(data), flush=True)

    def usage(self) -> dict[str, int]:
        """Cpu time used so far, by cgroup."""
        return {name: stage.cpu_us(name) for name in ("memcached", "background")}

    def window(self, name: str, seconds: float) -> None:
        """Measure: nothing but waiting, with the cpu time used on both sides."""
        self.event("window_start", phase=name, cpu_us=self.usage())
        time.sleep(seconds)
        self.event("window_end", phase=name, cpu_us=self.usage(), status=self.read_status())

    def settle(self) -> None:
        """Let the change before this become history."""
        time.sleep(self.scene.settle_s)

    # ---- the cast ----

    def set_up(self) -> IdleBurn:
        """Clock, cgroups, observer, memcached, client."""
        scene = self.scene
        stage.become_instrument(scene.cpus)
        stage.no_huge_pages()
        burn = IdleBurn(self.bin / "idleburn.bpf.o")
        stage.make_pods(
            {
                "background": scene.background_weight,
                "memcached": scene.memcached_weight,
                "temper": scene.temper_weight,
            }
        )
        watch = [str(self.bin / "statewatch"), "--out", str(WORK / "watch.txt"), "--period-us", str(scene.watch_us)]
        self.processes["statewatch"] = subprocess.Popen(watch)
        self.processes["memcached"] = self.service.start()
        self.service.wait()
        log = WORK / "mcopen.log"
        self.processes["client"] = self.service.start_client(WORK / "requests.bin", log)
        self.service.wait_client(log)
        return burn

    def start_background(self) -> None:
        """The neighbours, unless they are there."""
        if "background" not in self.processes:
            argv = [str(self.bin / "spin"), str(self.scene.spinners)]
            self.processes["background"] = stage.start(stage.ROOT / "background", argv)
            self.event("background_start", spinners=self.scene.spinners)

    def start_agent(self) -> None:
        """`temper run`, and wait until the kernel and then the agent itself say that it enforces."""
        self.event("agent_start")
        self.agent = agent.start(stage.AGENT, self.share / "workloads.toml", WORK / f"agent-{time.monotonic_ns()}.log")
        agent.wait_attached(self.agent.pid)
        self.event("agent_enforcing", status=self.read_status())

    def read_status(self) -> dict[str, Any]:
        """What the agent publishes; empty when it does not."""
        status = agent.read_status()
        return {key: status.get(key) for key in ("state", "agent_pid", "timings_ns", "stats")} if status else {}

    def ensure_agent(self) -> None:
        """Attached, whichever phase came before. Attaching under load is the failover's to measure."""
        if self.agent is None:
            with stage.frozen(stage.ROOT / "background"):
                self.start_agent()

    # ---- the phases ----

    def stock_idle(self) -> None:
        self.settle()
        self.window("stock_idle", self.scene.measure_s)

    def stock_loaded(self) -> None:
        self.start_background()
        self.settle()
        self.window("stock_loaded", self.scene.loaded_s)

    def attached(self) -> None:
        self.under_temper("attached")

    def failover(self) -> None:
        """Kill the agent under load; be the service manager that starts it again."""
        self.start_background()
        self.ensure_agent()
        time.sleep(self.scene.lead_s)
        killed = self.agent
        assert killed is not None
        self.event("window_start", phase="failover", cpu_us=self.usage())
        self.event("kill", pid=killed.pid)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        stage.wait_for("the node falls back to stock", lambda: stage.sched_ext()[0] != "enabled", LEAVE_S)
        self.event("fell_back")
        time.sleep(self.scene.restart_s)
        self.start_agent()
        self.event("window_end", phase="failover", cpu_us=self.usage())

    def reattached(self) -> None:
        self.under_temper("reattached")

    def under_temper(self, name: str) -> None:
        """A window under load with Temper attached, once the queue from before has drained."""
        self.start_background()
        self.ensure_agent()
        time.sleep(self.scene.drain_s)
        self.window(name, self.scene.measure_s)

    def safe_mode(self) -> None:
        """The local switch, on and off."""
        self.start_background()
        self.ensure_agent()
        self.switch("on")
        stage.wait_for("safe mode", lambda: stage.sched_ext()[0] != "enabled", LEAVE_S)
        self.settle()
        self.window("safe_mode", self.scene.measure_s)
        with stage.frozen(stage.ROOT / "background"):
            self.switch("off")
            stage.wait_for("Temper attaches again", lambda: stage.sched_ext()[0] == "enabled", agent.ATTACH_S)
        self.settle()

    def switch(self, wanted: str) -> None:
        """`temper safe-mode on|off --local`, as a person would type it."""
        self.event(f"safe_mode_{wanted}")
        argv = ["temper", "safe-mode", wanted, "--local", "--json"]
        done = subprocess.run(stage.inside(stage.CGROUPS, argv), check=False, capture_output=True, text=True)
        answer: object = done.stdout.strip()
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            answer = done.stdout + done.stderr
        self.event(f"safe_mode_{wanted}_done", status=done.returncode, answer=answer)

    # ---- the play ----

    def play(self) -> None:
        """All phases in order, then an orderly end."""
        self.tell(stage="set up", phases=len(self.phases))
        burn = self.set_up()
        for number, name in enumerate(self.phases, 1):
            self.tell(phase=name, number=number, of=len(self.phases), title=TITLES[name], guest_s=time.monotonic())
            self.event("phase", phase=name)
            getattr(self, name)()
        self.tell(stage="end", guest_s=time.monotonic())
        self.event("end")
        del burn

    def wind_up(self) -> None:
        """End everything, client first; copy the records out."""
        if self.agent is not None:
            self.event("agent_stop")
            self.event("agent_stopped", status=stage.end(self.agent))
        for name in ("client", "background", "memcached", "statewatch"):
            if name in self.processes:
                self.event("ended", name=name, status=stage.end(self.processes[name]))
        self.events.close()
        for path in sorted(WORK.iterdir()):
            if path.is_file():
                shutil.copyfile(path, self.share / "raw" / path.name)


def main() -> int:
    """Play; on a failure the records so far are kept and the exit status says so."""
    player = Player(Path(sys.argv[1]))
    try:
        player.play()
    except (TimeoutError, OSError, subprocess.SubprocessError) as error:
        player.event("failed", error=str(error))
        player.tell(error=str(error))
        return 1
    finally:
        player.wind_up()
    return 0


if __name__ == "__main__":
    sys.exit(main())
