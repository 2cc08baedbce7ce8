"""The command line of `testbed/run`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from testbed import host, image, initramfs, kernels, machine, network, product
from testbed.progress import TestbedError, be_quiet, say
from testbed.session import EmulatorsFault, Session, Stopped, stop_on_signals

FAILED = 125
HERE = Path(__file__).resolve().parent

EPILOG = """\
examples:
  testbed/run -- uname -r                              the newest kernel that Debian's backports offer
  testbed/run --kernel 6.19 -- temper doctor           the newest 6.19
  testbed/run --share out -- sh -c 'temper status --json >/share/status.json'
  testbed/run --topology 2,2,2 -- lscpu -e             8 cpus: 2 sockets of 2 cores of 2 threads
  testbed/run --clock virtual -- python3 -m pytest tests/kernel
  testbed/run --network --forward 9100 -- python3 -m http.server 9100
  testbed/run --kernel ./linux/arch/x86/boot/bzImage -- dmesg

exit status: the command's; 124 when --timeout ended it; 125 when the test bed failed or
an argument is wrong; 128 + N after signal N.
SIGQUIT (Ctrl-\\) ends a guest that hangs, as --timeout does: both tell where each of its cpus was.
The command runs as root in /opt/temper, where src, tests and bench are; what it writes there is forgotten.
docs/testbed.md says more.
"""


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments, checked."""
    parser = argparse.ArgumentParser(
        prog="testbed/run",
        description="Run a command as root in a guest that has a sched_ext kernel and the product installed.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--kernel", default="", metavar="VERSION|PATH", help="a version or its beginning, or a kernel of yours")
    add("--cpus", type=int, metavar="N", help="how many cpus (default: 2)")
    add("--topology", type=_topology, metavar="SOCKETS,CORES,THREADS", help="how the cpus are arranged")
    add("--memory", type=_memory, default="2G", metavar="M", help="512M, 4G ... (default: 2G)")
    add("--clock", choices=[clock.value for clock in machine.Clock], default="wall",
        help="wall: the host's time. virtual: time goes by instructions, so the host's load does not show")  # fmt: skip
    add("--share", type=Path, metavar="HOSTDIR", help="a folder here, writable at /share; made if missing")
    add("--timeout", type=float, default=600.0, metavar="S", help="seconds of wall time (default: 600; 0: no end)")
    add("--append", default="", metavar="WORDS", help="more words for the kernel's command line")
    add("--console", type=Path, metavar="FILE", help="keep the kernel's console output in this file")
    add("--network", action="store_true", help=f"a network: this machine's loopback is {network.HOST_ADDRESS} there")
    add("--forward", type=_port, action="append", default=[], metavar="PORT",
        help="lead a free port of this machine's loopback to this one of the guest; may be repeated")  # fmt: skip
    add("--forwards", type=Path, metavar="FILE", help='write {"guest port": host port, ...} before the guest boots')
    add("--quiet", action="store_true", help="say nothing about progress")
    add("command", nargs="+", metavar="COMMAND", help="the command and its arguments, after --")
    options = parser.parse_args(argv)
    if options.topology and options.cpus and options.topology.cpus != options.cpus:
        parser.error(f"--cpus {options.cpus} and --topology ({options.topology.cpus} cpus) do not agree")
    if options.cpus is not None and options.cpus < 1:
        parser.error("--cpus must be 1 or more")
    if options.share and options.share.exists() and not options.share.is_dir():
        parser.error(f"--share {options.share}: not a folder")
    if options.forward and not options.network:
        parser.error("--forward needs --network")
    if options.forwards and not options.forward:
        parser.error("--forwards needs --forward")
    options.topology = options.topology or machine.Topology(1, options.cpus or 2, 1)
    return options


def _topology(text: str) -> machine.Topology:
    try:
        sockets, cores, threads = (int(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: three numbers such as 2,2,2 are wanted") from None
    if min(sockets, cores, threads) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: each number must be 1 or more")
    return machine.Topology(sockets, cores, threads)


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: a port from 1 to 65535 is wanted")
    return int(text)


def _memory(text: str) -> int:
    units = {"M": 1, "G": 1024}
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].upper() in units else (text, "M")
    if not number.isdigit() or int(number) * units[unit] < 256:
        raise argparse.ArgumentTypeError(f"{text!r}: 256M or more is wanted")
    return int(number) * units[unit]


def run(options: argparse.Namespace) -> int:
    """Prepare what is missing, run the command, return its exit status."""
    host.ensure()
    root = image.get()
    kernel = kernels.get(options.kernel)
    disks = [root.disk, kernel.disk, product.packages_disk(root), product.product_disk(root)]
    shape = _shape(options)
    kvm = shape.clock is machine.Clock.WALL and machine.kvm_works(kernel.image, root.busybox)
    wanted: tuple[str, ...] = kernels.GUEST_MODULES
    if options.network:
        kernels.require(kernel, network.MODULE, network.CONFIG, "--network")
        wanted += (network.MODULE,)
    modules = initramfs.with_dependencies(kernel.modules, wanted)
    initrd = initramfs.build((HERE / "guest/init").read_bytes(), root.busybox, modules, _job(options))
    shared = options.share.resolve() if options.share else None
    if shared:
        shared.mkdir(parents=True, exist_ok=True)

    def play() -> int:
        session = Session(shape, options.timeout, lambda ports: tell_forwards(ports, options.forwards))
        try:
            return session.run(image=kernel.image, kvm=kvm, disks=disks, initrd=initrd, shared=shared)
        finally:
            if options.console:
                options.console.write_bytes(os.pread(session.console, 1 << 26, 0))

    return play() if kvm or options.network else once_more(play)


def once_more(play: Callable[[], int]) -> int:
    """Its exit status. If the emulator ended it, all of it is played again, once."""
    try:
        return play()
    except EmulatorsFault as fault:
        say(f"{fault}\nThat was the emulator (docs/testbed.md); the command begins anew")
        return play()


def _shape(options: argparse.Namespace) -> machine.Shape:
    return machine.Shape(
        options.topology,
        options.memory,
        machine.Clock(options.clock),
        options.append,
        options.network,
        tuple(dict.fromkeys(options.forward)),
    )


def _job(options: argparse.Namespace) -> dict[str, bytes]:
    """What the guest's first programs find in /job."""
    job = {
        "job.py": (HERE / "guest/job.py").read_bytes(),
        "argv": b"".join(os.fsencode(word) + b"\0" for word in options.command),
    }
    if options.share:
        job["share"] = b""
    if options.network:
        job["network"] = network.SETUP.encode()
    return job


def tell_forwards(ports: dict[int, int], file: Path | None) -> None:
    """Say which port leads where, and write it whole or not at all."""
    for guest, host_port in ports.items():
        say(f"127.0.0.1:{host_port} leads to the guest's port {guest}")
    if file:
        new = file.with_name(f".{file.name}.new")
        new.write_text(json.dumps(ports) + "\n")
        new.replace(file)


def main() -> int:
    """Entry of testbed/run."""
    try:
        options = parse(sys.argv[1:])
    except SystemExit as told:  # --help, or an argument that argparse has refused: the command's own 2 differs
        return FAILED if told.code else 0
    be_quiet(options.quiet)
    stop_on_signals()
    try:
        return run(options)
    except TestbedError as error:
        be_quiet(False)
        say(str(error))
        return FAILED
    except Stopped as stopped:
        return stopped.exit_code
    except BrokenPipeError:  # whoever read the output has gone
        return 141
    except OSError as error:
        say(f"{error.strerror or error}: {error.filename or ''}")
        return FAILED
