"""The scheduler object: opened, loaded, given generations, attached, read. One instance, one link, never pinned."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from temper.engine import libbpf, preflight
from temper.engine.counters import make_buffer, read_no_room, read_quotas, sum_counters
from temper.engine.generations import LayerIds, write_config
from temper.engine.knobs import MAX_CPUS, cache_of_cpus, ring_of_siblings
from temper.engine.libbpf import ffi
from temper.errors import CommitRejected, Refused
from temper.node.topology import highest_possible_cpu, read_machine
from temper.plan.layers import Plan
from temper.wire.messages import Committed, Ended, LayerStats, NoRoom, QuotaStats

NR_SLOTS = libbpf.constant("TEMPER_NR_SLOTS")
MAX_CGROUPS = libbpf.constant("TEMPER_MAX_CGROUPS")
MAX_QUOTAS = libbpf.constant("TEMPER_MAX_QUOTAS")

# Flags of sched_ext_ops (the kernel's enum scx_ops_flags; a released flag never changes its value). Only those
# that the running kernel knows may be set; each with what it buys.
#   ENQ_LAST: a task that may not stay on its cpu goes back through enqueue instead of being kept there.
#   SCX_OPS_ENQ_MIGRATION_DISABLED: tasks that can't move just now keep their tier instead of running first.
#   SCX_OPS_HAS_CGROUP_WEIGHT: until 7.0 the kernel warns of a scheduler that is given cpu.weight and lacks this.
# Not ENQ_EXITING: the kernel then runs exiting tasks at once, and none is ever left waiting in a queue of ours.
ENQ_LAST = 1 << 1  # in every kernel with sched_ext
OPTIONAL_FLAGS = {"SCX_OPS_ENQ_MIGRATION_DISABLED": 1 << 4, "SCX_OPS_HAS_CGROUP_WEIGHT": 1 << 16}
# Operations that older kernels don't call: cpu.max since 6.17, cpu.idle since 6.19. There every beat looks at them.
OPTIONAL_MEMBERS = frozenset({"cgroup_set_bandwidth", "cgroup_set_idle"})

# What a load may fail of now and not a moment later: no memory, a signal, a lock that somebody has.
PASSING = {errno.ENOMEM, errno.EAGAIN, errno.EINTR, errno.EBUSY}

REJECTIONS = {
    "TEMPER_COMMIT_SLOT_BUSY": "slot {} is in force",
    "TEMPER_COMMIT_GENERATION": "generation in slot {} is not newer than the one in force",
    "TEMPER_COMMIT_LAYER": "layer id {} has an unknown kind, a rank out of order or no slice",
    "TEMPER_COMMIT_OWNER": "cpu {} is owned by a layer that owns none",
    "TEMPER_COMMIT_UNSERVED": "layer id {} has no cpu that serves it",
    "TEMPER_COMMIT_MEMORY": "no memory for the masks of layer id {}",
}


class Stopwatch:
    """Nanoseconds of each named step, in the order they were taken."""

    def __init__(self) -> None:
        self.laps: dict[str, int] = {}

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        """Time the block."""
        started = time.monotonic_ns()
        yield
        self.laps[name] = time.monotonic_ns() - started


class Scheduler:
    """Owns the BPF object and its link. Closing it, or dying, puts the kernel back on its stock scheduler."""

    def __init__(self, library: Any, *, hotplug_seq: int, agent_pid: int, engine_pid: int) -> None:
        self._library = library
        self._watch = Stopwatch()
        self._ids = LayerIds()
        self._generation = 0
        self._link: Any = ffi.NULL
        self._slot = NR_SLOTS - 1  # so that the first generation goes to slot 0
        self._members: list[dict[int, int]] = [{} for _ in range(NR_SLOTS)]
        self._hotplug_seq = hotplug_seq
        nr_possible = libbpf.check(library.libbpf_num_possible_cpus(), "libbpf_num_possible_cpus")
        self._counters = make_buffer(nr_possible)  # as many values as a per-cpu map has
        self._nr_cpus = highest_possible_cpu() + 1  # more than that where ids have gaps
        if self._nr_cpus > MAX_CPUS:
            raise Refused(
                f"this machine has cpu ids up to {self._nr_cpus - 1}; {MAX_CPUS - 1} is the most this build knows"
            )
        with self._watch.lap("open"):
            self._object = self._open(agent_pid, engine_pid)
        with self._watch.lap("load"):
            self._load()

    @property
    def timings_ns(self) -> dict[str, int]:
        """Steps taken so far: open, load, attach."""
        return dict(self._watch.laps)

    @property
    def generation(self) -> int:
        """The generation in force; 0 before the first."""
        return self._generation

    def _open(self, agent_pid: int, engine_pid: int) -> Any:
        path = str(libbpf.OBJECT).encode()
        opened = libbpf.check_pointer(self._library.bpf_object__open_file(path, ffi.NULL), "bpf_object__open_file")
        self._object = opened
        self._write_knobs(agent_pid, engine_pid)
        self._write_ops()
        return opened

    def _write_knobs(self, agent_pid: int, engine_pid: int) -> None:
        """The machine as it stands: the kernel refuses the attach if cpus came or went since the hotplug count."""
        machine = read_machine()
        caches = cache_of_cpus(machine)
        knobs = self._shared(".rodata.knobs", "struct temper_knobs")
        knobs.nr_cpus, knobs.nr_llcs = self._nr_cpus, max(caches) + 1
        knobs.llc, knobs.sibling = caches, ring_of_siblings(machine)
        knobs.agent_tgid, knobs.engine_tgid = agent_pid, engine_pid

    def _write_ops(self) -> None:
        """Flags and the hotplug count go into the struct_ops value, at the offsets of the object's own types."""
        own = libbpf.Btf(self._library, self._library.bpf_object__btf(self._object), owned=False)
        offsets = own.members("sched_ext_ops")
        base = ffi.cast("char *", self._initial_value("temper_ops")[0])
        known = preflight.kernel_names(*OPTIONAL_FLAGS, *OPTIONAL_MEMBERS)
        flags = ENQ_LAST | sum(OPTIONAL_FLAGS[name] for name in known & OPTIONAL_FLAGS.keys())
        for member in OPTIONAL_MEMBERS - known:
            ffi.cast("void **", base + offsets[member])[0] = ffi.NULL
        if OPTIONAL_MEMBERS - known:
            result = self._library.bpf_program__set_autoload(self._program("temper_poll_cgroups"), True)
            libbpf.check(result, "autoload")
        ffi.cast("uint64_t *", base + offsets["flags"])[0] = flags
        ffi.cast("uint64_t *", base + offsets["hotplug_seq"])[0] = self._hotplug_seq

    def _load(self) -> None:
        with libbpf.captured_log() as log:
            result = self._library.bpf_object__load(self._object)
        if -result in PASSING:
            raise OSError(-result, f"the kernel did not load the scheduler: {os.strerror(-result)}")
        if result < 0:
            preflight.require(preflight.kernel_type_checks())
            raise Refused(
                f"the kernel refused the scheduler: {'; '.join(log[-3:]) or -result}",
                remedy="`temper doctor` checks this kernel; report it with the output of `dmesg`",
            )
        self._control = self._shared(".data.control", "struct temper_control")
        self._exit = self._shared(".data.exit", "struct temper_exit")
        self._configs = ffi.cast("struct temper_config *", self._initial_value(".data.configs")[0])
        self._expect(".data.configs", NR_SLOTS * ffi.sizeof("struct temper_config"))
        self._quotas = self._shared(".data.quotas", f"struct temper_quota[{MAX_QUOTAS}]")[0]
        self._no_room = self._shared(".data.no_room", "struct temper_no_room")
        self._slots_fd = [self._map_fd(f"cgroups_{slot}") for slot in range(NR_SLOTS)]
        self._stats_fd = self._map_fd("stats")
        self._commit_fd = libbpf.check(self._program_fd("temper_commit"), "temper_commit")
        self._poll_fd = self._program_fd("temper_poll_cgroups")  # below 0 where it is not loaded
        self._consumer = ffi.callback("ring_buffer_sample_fn", lambda *_: 0)
        ring = self._library.ring_buffer__new(self._map_fd("events"), self._consumer, ffi.NULL, ffi.NULL)
        self._ring = libbpf.check_pointer(ring, "ring_buffer__new")

    def _program(self, name: str) -> Any:
        found = self._library.bpf_object__find_program_by_name(self._object, name.encode())
        return libbpf.check_pointer(found, f"program {name}")

    def _program_fd(self, name: str) -> int:
        return int(self._library.bpf_program__fd(self._program(name)))

    def _run_program(self, name: str, fd: int, **context: Any) -> None:
        """Run a syscall program. context: its ctx_in, which is copied back to where it came from, and ctx_size_in."""
        opts = ffi.new("struct bpf_test_run_opts *", {"sz": ffi.sizeof("struct bpf_test_run_opts"), **context})
        libbpf.check(self._library.bpf_prog_test_run_opts(fd, opts), name)

    def _map(self, name: str) -> Any:
        found = self._library.bpf_object__find_map_by_name(self._object, name.encode())
        return libbpf.check_pointer(found, f"map {name}")

    def _map_fd(self, name: str) -> int:
        return libbpf.check(self._library.bpf_map__fd(self._map(name)), f"map {name}")

    def _initial_value(self, name: str) -> tuple[Any, int]:
        """The memory behind a global section's map (mapped by libbpf once loaded) and its size in bytes."""
        size = ffi.new("size_t *")
        return libbpf.check_pointer(self._library.bpf_map__initial_value(self._map(name), size), name), int(size[0])

    def _expect(self, name: str, size: int) -> None:
        actual = self._initial_value(name)[1]
        if actual != size:
            raise Refused(
                f"the object's {name} has {actual} bytes, the header says {size}",
                remedy="rebuild: `make build`",
            )

    def _shared(self, name: str, struct: str) -> Any:
        self._expect(name, ffi.sizeof(struct))
        return ffi.cast(ffi.getctype(struct, "*"), self._initial_value(name)[0])

    def commit(self, plan: Plan) -> Committed:
        """Put a generation in force, whole, or raise CommitRejected and leave the one before it."""
        slot = (self._slot + 1) % NR_SLOTS
        ids = self._ids.extended(plan)
        config = self._configs[slot]
        write_config(config, plan, ids, nr_cpus=self._nr_cpus)
        self._write_members(slot, {member.cgroup_id: ids[member.layer] for member in plan.members})
        config.generation = self._generation + 1  # last: nobody caches by it what is only half written
        outcome = self._run_commit(slot)
        self._slot, self._generation, self._ids = slot, self._generation + 1, ids
        return Committed(self._generation, int(outcome.elapsed_ns), int(outcome.nr_kicked), int(outcome.in_force_ns))

    def _run_commit(self, slot: int) -> Any:
        commit = ffi.new("struct temper_commit *", {"slot": slot})
        size = ffi.sizeof("struct temper_commit")
        self._run_program("temper_commit", self._commit_fd, ctx_in=commit, ctx_size_in=size)
        if commit.error != libbpf.constant("TEMPER_COMMIT_OK"):
            for name, text in REJECTIONS.items():
                if libbpf.constant(name) == commit.error:
                    raise CommitRejected(f"commit refused: {text.format(commit.culprit)}")
            raise CommitRejected(f"commit refused: error {commit.error}")
        return commit

    def _write_members(self, slot: int, members: dict[int, int]) -> None:
        """Make an idle slot's cgroup map equal to `members`, touching only what differs."""
        if len(members) > MAX_CGROUPS:
            raise CommitRejected(f"{len(members)} cgroups are mapped; {MAX_CGROUPS} is the most one generation holds")
        before, fd = self._members[slot], self._slots_fd[slot]
        key, value = ffi.new("uint64_t *"), ffi.new("uint32_t *")
        for gone in before.keys() - members.keys():
            key[0] = gone
            libbpf.check(self._library.bpf_map_delete_elem(fd, key), "cgroup map")
        for cgroup_id, layer in members.items():
            if before.get(cgroup_id) != layer:
                key[0], value[0] = cgroup_id, layer
                libbpf.check(self._library.bpf_map_update_elem(fd, key, value, 0), "cgroup map")
        self._members[slot] = members

    def attach(self, *, deadman_ns: int) -> None:
        """Switch the kernel over. The first generation must be in force already.

        deadman_ns: without a beat for this long the scheduler leaves by itself.
        """
        self._control.deadman_ns = deadman_ns
        with self._watch.lap("attach"), libbpf.captured_log() as log:
            link = self._library.bpf_map__attach_struct_ops(self._map("temper_ops"))
        if link == ffi.NULL:
            number = ffi.errno
            preflight.require(iter([preflight.check_isolation()]))
            said = "; ".join(part for part in (self._ended_text(), *log[-2:]) if part)
            raise OSError(number, f"the kernel did not attach the scheduler: {said or os.strerror(number)}")
        self._link = link
        self._poll_cgroups()

    def beat(self) -> None:
        """Tell the scheduler that the agent lives. CLOCK_MONOTONIC, the clock it compares with."""
        self._control.beat_ns = time.monotonic_ns()
        self._poll_cgroups()

    def _poll_cgroups(self) -> None:
        """Have the scheduler read what this kernel doesn't tell it of: see OPTIONAL_MEMBERS."""
        if self._poll_fd >= 0:
            self._run_program("temper_poll_cgroups", self._poll_fd)

    def event_fd(self) -> int:
        """Readable when the scheduler has left."""
        return int(self._library.ring_buffer__epoll_fd(self._ring))

    def ended(self) -> Ended | None:
        """The exit record, or None while the scheduler is in."""
        self._library.ring_buffer__consume(self._ring)
        if self._exit.kind == 0:
            return None
        reason, message = (
            ffi.string(text).decode(errors="replace") for text in (self._exit.reason, self._exit.message)
        )
        return Ended(int(self._exit.kind), int(self._exit.code), reason, message)

    def _ended_text(self) -> str:
        ended = self.ended()
        return f"{ended.reason}: {ended.message}" if ended else ""

    def stats(self) -> dict[str, LayerStats]:
        """Counters of every layer in force, summed over cpus."""
        key = ffi.new("uint32_t *")
        libbpf.check(self._library.bpf_map_lookup_elem(self._stats_fd, key, self._counters), "stats map")
        return sum_counters(self._counters, self._ids)

    def quotas(self) -> tuple[QuotaStats, ...]:
        """Counters of every cgroup with a finite cpu.max, read where the scheduler keeps them: no system call."""
        return read_quotas(self._quotas)

    def no_room(self) -> NoRoom:
        """How often a table of the scheduler's was full."""
        return read_no_room(self._no_room)

    def detach(self) -> Ended | None:
        """Close the link: the kernel resumes its stock scheduler before this returns."""
        if self._link != ffi.NULL:
            self._library.bpf_link__destroy(self._link)
            self._link = ffi.NULL
        return self.ended()
