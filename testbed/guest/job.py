"""The guest's process 1: runs the job and sends its output and exit status to `run`.

Everything goes through one virtio-serial port as frames: a channel (1 byte), a length (4 bytes, little endian),
the payload. One port keeps stdout, stderr and the exit status in the order in which they came.
It imports little: a guest's cpu is slow without KVM.
"""

import contextlib
import os
import select
import signal

HERE = "/run/testbed"
PORT = "/dev/vport0p1"
READY, STDOUT, STDERR, EXIT = range(4)
CHUNK = 32768  # what the port takes in one piece
ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONUNBUFFERED": "1",
    "SHELL": "/bin/bash",
    "TERM": "dumb",
    "USER": "root",
}


def send(port: int, channel: int, payload: bytes) -> None:
    """One frame, whole."""
    frame = bytes([channel]) + len(payload).to_bytes(4, "little") + payload
    while frame:
        frame = frame[os.write(port, frame) :]


def prepare() -> None:
    """What the first program left to do."""
    # Whatever scheduler the job installs, its output still comes: process 1 is not under it. Its children are.
    os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    with open("/sys/fs/cgroup/cgroup.controllers") as file:  # noqa: PTH123 (pathlib is slow to import)
        controllers = file.read().split()
    for controller in controllers:
        with contextlib.suppress(OSError), open("/sys/fs/cgroup/cgroup.subtree_control", "w") as file:  # noqa: PTH123
            file.write(f"+{controller}")
    with open("/proc/sys/kernel/hostname", "w") as file:  # noqa: PTH123
        file.write("guest")
    network = ["-batch", f"{HERE}/network"] if os.path.exists(f"{HERE}/network") else ["link", "set", "lo", "up"]  # noqa: PTH110
    os.spawnv(os.P_WAIT, "/usr/bin/ip", ["ip", *network])  # noqa: S606 (no shell is wanted)


def start(argv: list[bytes], out: int, err: int) -> int:
    """Start the job in a session of its own and return its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.setsid()
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir("/opt/temper")
        os.execvpe(argv[0], argv, ENVIRONMENT)  # noqa: S606 (no shell is wanted)
    except OSError as error:
        os.write(2, argv[0] + f": {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)
    os._exit(126)


def pump(port: int, pid: int, out: int, err: int) -> int:
    """Send output until the job's first process has ended; return its exit status as a shell would."""
    wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    os.write(waker, b"\0")  # it may have ended already
    poll = select.poll()
    channels = {out: STDOUT, err: STDERR}
    for fd in (wake, *channels):
        poll.register(fd, select.POLLIN)
    status = None
    while status is None:
        for fd, _event in poll.poll():
            if fd == wake:
                os.read(wake, 4096)
                status = reap(pid)
            elif not forward(port, fd, channels[fd]):
                poll.unregister(fd)
    for fd, channel in channels.items():
        while forward(port, fd, channel):
            pass
    return status


def reap(pid: int) -> int | None:
    """Collect every ended process; the exit status of the job's if it is among them."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while True:
            ended, code = os.waitpid(-1, os.WNOHANG)
            if ended == 0:
                break
            if ended == pid:
                exited = os.waitstatus_to_exitcode(code)
                status = exited if exited >= 0 else 128 - exited
    return status


def forward(port: int, fd: int, channel: int) -> bool:
    """Send what is there; False when there is nothing, or the pipe has ended."""
    try:
        data = os.read(fd, CHUNK)
    except BlockingIOError:
        return False
    if data:
        send(port, channel, data)
    return bool(data)


def main() -> None:
    """Never returns: `run` ends the guest."""
    prepare()
    with open(f"{HERE}/argv", "rb") as file:  # noqa: PTH123
        argv = file.read().split(b"\0")[:-1]
    port = os.open(PORT, os.O_RDWR | os.O_CLOEXEC)
    send(port, READY, b"")
    os.read(port, 1)
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    pid = start(argv, out_end, err_end)
    for fd in (out_end, err_end):
        os.close(fd)
    for fd in (out, err):
        os.set_blocking(fd, False)
    status = pump(port, pid, out, err)
    if os.path.exists(f"{HERE}/share"):  # noqa: PTH110
        os.sync()
    send(port, EXIT, str(status).encode())
    while True:
        signal.pause()


main()
