"""A scheduler attached by this process itself: neither agent nor engine stand between a test and the kernel side."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager

from tests.kernel.harness import kernel

from temper.engine import libbpf
from temper.engine.libbpf import ffi
from temper.engine.scheduler import Scheduler
from temper.node import sched_ext
from temper.node.topology import read_machine
from temper.plan.planner import make_plan

DEADMAN_NS = 600 * 10**9


class Named(Scheduler):
    """One that the kernel knows by another name."""

    def __init__(self, name, **options):
        self._name = name
        super().__init__(libbpf.open_library(), **options)

    def _write_ops(self):
        super()._write_ops()
        types = libbpf.Btf(self._library, self._library.bpf_object__btf(self._object), owned=False)
        place = ffi.cast("char *", self._initial_value("temper_ops")[0]) + types.members("sched_ext_ops")["name"]
        ffi.memmove(place, self._name.encode() + b"\0", len(self._name) + 1)


def attach(name="temper"):
    """Load it, put a plan without workloads in force, attach."""
    # Its maps and programs, some sixty descriptors, stay open until this process ends.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    me, seq = os.getpid(), sched_ext.read_hotplug_seq()
    scheduler = Named(name, hotplug_seq=seq, agent_pid=me, engine_pid=me)
    scheduler.commit(make_plan(read_machine(), []))
    scheduler.attach(deadman_ns=DEADMAN_NS)
    return scheduler


@contextmanager
def attached(name="temper"):
    """It, for the block; stock afterwards."""
    scheduler = attach(name)
    yield scheduler
    scheduler.detach()
    kernel.until_stock()
