"""The guest's network: QEMU's words, its answer, and kernels without a driver."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest
from testbed import kernels, main, network
from testbed.monitor import Monitor
from testbed.progress import TestbedError

USERNET = """\
Hub -1 (net):\r
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r
  TCP[HOST_FORWARD]  17       127.0.0.1 38273       10.0.2.15  9100     0     0\r
  TCP[HOST_FORWARD]  18       127.0.0.1 44037       10.0.2.15  9101     0     0\r
  TCP[ESTABLISHED]   19       10.0.2.15 51234        10.0.2.2 20001     0     0\r
"""


def test_free_host_ports_are_asked_for() -> None:
    options = network.arguments([9100, 9101])[1].split(",")
    assert options[2:] == [
        "ipv6=off",
        "hostfwd=tcp:127.0.0.1:0-10.0.2.15:9100",
        "hostfwd=tcp:127.0.0.1:0-10.0.2.15:9101",
    ]


def test_the_monitor_tells_which_ports_they_became() -> None:
    assert network.mapping(USERNET) == {9100: 38273, 9101: 44037}
    assert network.mapping("") == {}


def test_forwards_are_written_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main.tell_forwards({9100: 38273}, tmp_path / "forwards")
    assert json.loads((tmp_path / "forwards").read_text()) == {"9100": 38273}
    assert [path.name for path in tmp_path.iterdir()] == ["forwards"]
    assert "127.0.0.1:38273 leads to the guest's port 9100" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--forward", "9100"], "--forward needs --network"),
        (["--network", "--forwards", "file"], "--forwards needs --forward"),
        (["--network", "--forward", "0"], "1 to 65535"),
        (["--network", "--forward", "http"], "1 to 65535"),
    ],
)
def test_wrong_arguments(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.parse([*arguments, "--", "true"])
    assert told in capsys.readouterr().err


def _kernel(folder: Path, modules: str, config: str) -> kernels.Kernel:
    if modules:
        (folder / "modules.dep").write_text(modules)
    if config:
        (folder / "config").write_text(config)
    return kernels.Kernel("7.1.13", folder / "vmlinuz", folder / "modules.ext4", folder)


@pytest.mark.parametrize(
    ("modules", "config"),
    [("kernel/virtio_net.ko.xz:\n", ""), ("", "# built in\nCONFIG_VIRTIO_NET=y\n")],
)
def test_a_driver_is_a_module_or_built_in(tmp_path: Path, modules: str, config: str) -> None:
    kernels.require(_kernel(tmp_path, modules, config), network.MODULE, network.CONFIG, "--network")


@pytest.mark.parametrize("config", ["", "#\nCONFIG_VIRTIO_NET=m\n"])
def test_a_kernel_without_the_driver_is_refused(tmp_path: Path, config: str) -> None:
    kernel = _kernel(tmp_path, "", config)
    with pytest.raises(TestbedError, match=r"--network needs virtio_net, which kernel 7\.1\.13 has neither"):
        kernels.require(kernel, network.MODULE, network.CONFIG, "--network")


def _qemu(end: socket.socket, answers: list[dict[str, object]]) -> None:
    with end, end.makefile("rw") as lines:
        lines.write('{"QMP": {}}\n')
        lines.flush()
        for answer in answers:
            lines.readline()
            lines.write(json.dumps({"event": "RESUME"}) + "\n" + json.dumps(answer) + "\n")
            lines.flush()


def test_the_monitor_passes_events_over() -> None:
    ours, theirs = socket.socketpair()
    answers: list[dict[str, object]] = [{"return": {}}, {"return": "text\r\n"}, {"error": {"class": "GenericError"}}]
    qemu = threading.Thread(target=_qemu, args=(theirs, answers))
    qemu.start()
    with ours:
        monitor = Monitor(ours)
        assert monitor.human("info usernet") == "text\r\n"
        with pytest.raises(TestbedError, match="GenericError"):
            monitor.human("nonsense")
        qemu.join()
        with pytest.raises((TestbedError, BrokenPipeError)):
            monitor.human("info usernet")
