"""The command line of `testbed/cluster`."""

from __future__ import annotations

import argparse
import os
import select
import socket
import subprocess
import sys

from testbed import binaries, children, control
from testbed.cluster import VARIABLE, Cluster
from testbed.progress import TestbedError, be_quiet, say
from testbed.session import Stopped, stop_on_signals

FAILED = 125
END_S = 10.0

EPILOG = """\
examples:
  testbed/cluster -- kubectl get --raw /readyz
  testbed/cluster -- bash                              a shell with KUBECONFIG set
  testbed/cluster -- .venv/bin/python -m pytest tests/cluster
  testbed/cluster --build                              only build the programs, so that later runs have them

exit status: the command's; 125 when the test bed failed or an argument is wrong; 128 + N after signal N.
docs/testbed.md says more.
"""


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments, checked."""
    parser = argparse.ArgumentParser(
        prog="testbed/cluster",
        description="Run a command on this machine beside a real Kubernetes API server that lives as long as it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--build", action="store_true", help="build the programs if they are missing")
    parser.add_argument("--quiet", action="store_true", help="say nothing about progress")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="the command and its arguments, after --")
    options = parser.parse_args(argv)
    if not options.command and not options.build:
        parser.error("a COMMAND is wanted, after --")
    return options


def run(command: list[str]) -> int:
    """Start a cluster, run the command beside it, return its exit status."""
    with Cluster.start() as cluster, control.listen(cluster.directory / "control") as listening:
        environment = {
            **os.environ,
            "KUBECONFIG": str(cluster.kubeconfig),
            "PATH": f"{cluster.programs}:{os.environ.get('PATH', os.defpath)}",
            VARIABLE: str(cluster.directory),
        }
        try:
            process = children.start_command(command, environment)
        except OSError as error:
            say(f"{command[0]}: {error.strerror}")
            return 127 if isinstance(error, FileNotFoundError) else 126
        try:
            return follow(process, listening, cluster)
        finally:
            end(process)


def follow(process: subprocess.Popen[bytes], listening: socket.socket, cluster: Cluster) -> int:
    """Do what the command asks of the cluster until it has ended; its exit status as a shell would tell it."""
    ended = os.pidfd_open(process.pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(listening, select.POLLIN)
    try:
        while process.poll() is None:
            if listening.fileno() in dict(poll.poll()):
                control.answer(listening, cluster.components)
    finally:
        os.close(ended)
    status = process.wait()
    return status if status >= 0 else 128 - status


def end(process: subprocess.Popen[bytes]) -> None:
    """End the command, in good order if it can."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            children.stop(process)


def main() -> int:
    """Entry of testbed/cluster."""
    try:
        options = parse(sys.argv[1:])
    except SystemExit as told:
        return FAILED if told.code else 0
    be_quiet(options.quiet)
    stop_on_signals()
    try:
        if options.build:
            binaries.get()
        return run(options.command) if options.command else 0
    except TestbedError as error:
        be_quiet(False)
        say(str(error))
        return FAILED
    except Stopped as stopped:
        return stopped.exit_code
    except OSError as error:
        say(f"{error.strerror or error}: {error.filename or ''}")
        return FAILED
