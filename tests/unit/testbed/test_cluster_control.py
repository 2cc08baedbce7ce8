"""Starting and stopping the cluster's servers, from their parent and from a command beside it."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest
from testbed import cluster_command, control
from testbed.component import Server
from testbed.progress import TestbedError


class Recorder:
    """A component that notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def start(self) -> None:
        self.done.append("start")

    def stop(self) -> None:
        self.done.append("stop")

    def kill(self) -> None:
        self.done.append("kill")

    def pause(self) -> None:
        raise TestbedError("etcd is not running:\nits log")

    def resume(self) -> None:
        self.done.append("resume")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("etcd kill\n", "ok"),
        ("etcd pause\n", "etcd is not running: its log"),
        ("etcd close\n", "'etcd close': one of etcd and one of start, stop, kill, pause, resume are wanted"),
        ("\n", "'': one of etcd and one of start, stop, kill, pause, resume are wanted"),
    ],
)
def test_what_a_line_does(line: str, answer: str) -> None:
    assert control.perform(line, {"etcd": Recorder()}) == answer


def test_a_command_reaches_the_component(tmp_path: Path) -> None:
    etcd, remote = Recorder(), control.Remote(tmp_path / "control", "etcd")
    with control.listen(tmp_path / "control") as listening:
        for action in ("kill", "start"):
            asking = threading.Thread(target=getattr(remote, action))
            asking.start()
            control.answer(listening, {"etcd": etcd})
            asking.join()
    assert etcd.done == ["kill", "start"]


def _state(server: Server) -> str:
    assert server.process
    return Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_servers_life(tmp_path: Path) -> None:
    server = Server([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
    with pytest.raises(TestbedError, match="is not running"):
        server.pause()
    server.kill()
    server.start()
    with pytest.raises(TestbedError, match="is running already"):
        server.start()
    for _ in range(2):
        server.pause()
        assert _state(server) == "T"
        server.resume()
    server.pause()
    server.kill()
    server.start()
    server.check()
    server.stop()
    with pytest.raises(TestbedError, match="has ended with status -15"):
        server.check()


def test_the_end_of_a_log_tells_why(tmp_path: Path) -> None:
    server = Server([sys.executable, "-c", "print('no such flag')"], tmp_path / "log")
    server.start()
    assert server.process
    server.process.wait()
    with pytest.raises(TestbedError, match="status 0:\n    no such flag"):
        server.check()


def test_a_command_that_takes_its_time_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cluster_command, "END_S", 0.1)
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    server = Server([sys.executable, "-c", program], tmp_path / "log")
    server.start()
    assert server.process
    while not server.log.read_text():
        time.sleep(0.01)
    cluster_command.end(server.process)
    assert server.process.returncode == -9


def test_a_command_or_a_build_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cluster_command.parse([])
    assert "a COMMAND is wanted" in capsys.readouterr().err
    assert cluster_command.parse(["--build"]).command == []
    assert cluster_command.parse(["--", "kubectl", "--help"]).command == ["kubectl", "--help"]
