"""The settings of `temper agent`: one tree, frozen, checked in one pass that reports every finding with its place.

Each field below is the one home of a setting; `docs/configuration.md` is made from it. `live` keys are adopted by a
running agent, `restart` keys by a new process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, NamedTuple

from msgspec import Meta

from temper.errors import Finding, InvalidInput
from temper.plan.pod_tiers import PRESETS, SYSTEM_PRIORITY, Rules, Thresholds
from temper.plan.tiers import (
    LEAST_CEILING_MILLICPU,
    LEAST_SMOOTH_PERIODS,
    MOST_SMOOTH_PERIODS,
    QUOTAS,
    SMOOTH_PERIODS,
    Bandwidth,
    Quota,
    Tier,
    bandwidths,
)
from temper.plan.units import format_millicpu
from temper.settings.defaults import (
    DEADMAN_MS,
    LEAST_DEADMAN_MS,
    LONGEST_WAIT_MS,
    MOST_DEADMAN_MS,
    MOST_EJECTIONS,
    MOST_LOSSES,
    QUIET_MS,
    RESYNC_S,
    WINDOW_S,
)
from temper.settings.keys import Keys, Section, build, flatten, live, restart
from temper.settings.kubepods import CgroupDriver, driver_of, is_kubepods_path_or_empty, is_of
from temper.settings.quoting import quoted
from temper.settings.sources import Origin, Sources, Value, read
from temper.settings.texts import (
    is_ceiling_or_empty,
    is_listen,
    is_node_name,
    is_path,
    is_path_or_empty,
    parse_ceiling_millicpu,
    parse_listen,
)

# The downward API's usual name for the node that a pod runs on.
ALIASES = {"node_name": "NODE_NAME"}

DEFAULT_PRESET = "default"
_PRESET = PRESETS[DEFAULT_PRESET]
_DAY_S = 86_400
# A PriorityClass has 32 bits, and above these a pod belongs to the system layer, whatever the thresholds.
_PRIORITY = {"ge": -(2**31), "le": SYSTEM_PRIORITY - 1}


class Mode(StrEnum):
    """What the agent does with its plan: put it in force, or only publish what it would do."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


class LogLevel(StrEnum):
    """The least important event that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"


def _presets_in_words() -> str:
    descending = (", ".join(str(priority) for priority in flatten(preset).values()) for preset in PRESETS.values())
    return "; ".join(f"{name} {thresholds}" for name, thresholds in zip(PRESETS, descending, strict=True))


def _is_preset(text: str) -> bool:
    return text in PRESETS


class TierThresholds(Thresholds, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The least pod priority of each tier; below `low` is background. A key that is not set is the preset's."""

    critical: Annotated[int, live("Pods of at least this priority are critical.", **_PRIORITY)] = _PRESET.critical
    high: Annotated[int, live("Pods of at least this priority are high.", **_PRIORITY)] = _PRESET.high
    normal: Annotated[int, live("Pods of at least this priority are normal.", **_PRIORITY)] = _PRESET.normal
    low: Annotated[int, live("Pods of at least this priority are low; all others are background.", **_PRIORITY)] = (
        _PRESET.low
    )


class TierQuotas(Section, frozen=True):
    """How the cpu.max (the cpu limit) of a tier's pods holds, each container's and pod's for itself.

    `strict`: the kernel's own rule, each period for itself. `smooth`: what was left of earlier periods may be used in
    a later one, so that a burst is not cut short; over any longer time it gets no more.
    """

    critical: Annotated[Quota, live("Of critical pods.")] = QUOTAS[Tier.CRITICAL]
    high: Annotated[Quota, live("Of high pods.")] = QUOTAS[Tier.HIGH]
    normal: Annotated[Quota, live("Of normal pods.")] = QUOTAS[Tier.NORMAL]
    low: Annotated[Quota, live("Of low pods.")] = QUOTAS[Tier.LOW]
    background: Annotated[Quota, live("Of background pods.")] = QUOTAS[Tier.BACKGROUND]


def _ceiling(about: str) -> Meta:
    least = format_millicpu(LEAST_CEILING_MILLICPU)
    allowed = f"a number of cpus from {least} such as 2, 1.5 or 1500m, or '' for none"
    return live(about, allowed=allowed, is_valid=is_ceiling_or_empty)


class TierCeilings(Section, frozen=True):
    """The most cpu time that all pods of a tier may take together, in cpus; what no pod's own limit says."""

    critical: Annotated[str, _ceiling("Of all critical pods.")] = ""
    high: Annotated[str, _ceiling("Of all high pods.")] = ""
    normal: Annotated[str, _ceiling("Of all normal pods.")] = ""
    low: Annotated[str, _ceiling("Of all low pods.")] = ""
    background: Annotated[str, _ceiling("Of all background pods.")] = ""


class Tiers(Section, frozen=True):
    """How a pod's priority becomes a tier, and how much cpu time a tier may take."""

    preset: Annotated[
        str,
        live(
            f"The thresholds that hold where none is set below: {_presets_in_words()}.",
            allowed=f"one of {', '.join(PRESETS)}",
            is_valid=_is_preset,
        ),
    ] = DEFAULT_PRESET
    thresholds: TierThresholds = TierThresholds()
    allow_raise: Annotated[
        bool,
        live(
            "Whether a pod's annotation temper.codes/tier may raise its tier; it may always lower it. Whoever may "
            "create a pod may annotate it, while a PriorityClass can be kept from people by a quota."
        ),
    ] = False

    quota: TierQuotas = TierQuotas()
    smooth_periods: Annotated[
        int,
        live(
            "How many periods' worth of cpu.max a cgroup of a smooth tier may save up.",
            ge=LEAST_SMOOTH_PERIODS,
            le=MOST_SMOOTH_PERIODS,
        ),
    ] = SMOOTH_PERIODS
    ceiling: TierCeilings = TierCeilings()

    @property
    def rules(self) -> Rules:
        """What decides a pod's tier."""
        return Rules(self.thresholds, self.allow_raise)

    @property
    def bandwidths(self) -> dict[Tier, Bandwidth]:
        """How much cpu time each tier may take."""
        quotas = {tier: getattr(self.quota, tier) for tier in Tier}
        ceilings = {tier: parse_ceiling_millicpu(text) for tier in Tier if (text := getattr(self.ceiling, tier))}
        return bandwidths(quotas, self.smooth_periods, ceilings)


class Sizing(Section, frozen=True):
    """How many cpus a tier owns."""

    follow_demand: Annotated[
        bool,
        live(
            "Whether tiers without a fence own what they use (high never more than it requests, normal what is free), "
            "or what they request."
        ),
    ] = True


class Commit(Section, frozen=True):
    """When changes are put in force."""

    quiet_ms: Annotated[
        int, live("Pods come and go in bursts: commit when nothing has changed for this long.", ge=0, le=1_000)
    ] = QUIET_MS
    longest_wait_ms: Annotated[
        int, live("Commit after this long even if changes go on. Not less than quiet_ms.", ge=1, le=10_000)
    ] = LONGEST_WAIT_MS
    resync_s: Annotated[
        int,
        live("Look at the whole cgroup tree this often: the kernel may drop events of a full queue.", ge=1, le=3_600),
    ] = RESYNC_S


class Safety(Section, frozen=True):
    """When the node goes back to the stock scheduler, and when it stays there."""

    deadman_ms: Annotated[
        int,
        restart(
            "Without a heartbeat of the agent for this long the scheduler leaves by itself.",
            ge=LEAST_DEADMAN_MS,
            le=MOST_DEADMAN_MS,
        ),
    ] = DEADMAN_MS
    max_losses: Annotated[
        int,
        live(
            "After this many lost engines within window_s the node stays on stock until a person re-engages.",
            ge=1,
            le=1_000,
        ),
    ] = MOST_LOSSES
    max_ejections: Annotated[
        int,
        live(
            "The same for ejections: the kernel, or the scheduler's own guard, threw the scheduler out. They weigh "
            "more than an engine that was killed.",
            ge=1,
            le=1_000,
        ),
    ] = MOST_EJECTIONS
    window_s: Annotated[int, live("Losses and ejections are counted over this time.", ge=1, le=_DAY_S)] = WINDOW_S


class Kubernetes(Section, frozen=True):
    """The API server: what is asked of it, what is told to it."""

    kubeconfig: Annotated[
        str,
        restart(
            "A kubeconfig file. Empty: the pod's service account.",
            allowed="an absolute path, or empty",
            is_valid=is_path_or_empty,
        ),
    ] = ""
    annotate: Annotated[bool, live("Write the agent's status to the node's annotations.")] = True
    legacy_annotations: Annotated[
        bool, live("Mirror the status annotations under infera.io/. The kill switch works under both in any case.")
    ] = True
    annotate_interval_s: Annotated[
        int, live("Write counts that changed at most this often. A change of state is written at once.", ge=1, le=3_600)
    ] = 30
    relist_s: Annotated[
        int, live("List all pods of the node anew this often, whatever the watch said.", ge=30, le=_DAY_S)
    ] = 600


class CgroupTree(Section, frozen=True):
    """Where the pods' cgroups are."""

    root: Annotated[str, restart("Where cgroup v2 is mounted.", allowed="an absolute path", is_valid=is_path)] = (
        "/sys/fs/cgroup"
    )
    kubepods: Annotated[
        str,
        restart(
            "The kubelet's cgroup for all pods, such as kubepods.slice. Empty: found out.",
            allowed="a path below cgroups.root without a slash in front, which ends in kubepods, kubepods.slice or "
            "<cgroup root>-kubepods.slice; or empty",
            is_valid=is_kubepods_path_or_empty,
        ),
    ] = ""
    driver: Annotated[
        CgroupDriver,
        restart(
            "The kubelet's cgroupDriver: pods are looked for below its own roots only, such as kubepods.slice for "
            "systemd and kubepods for cgroupfs. auto: below both; after a change of driver both may be there."
        ),
    ] = CgroupDriver.AUTO


class Http(Section, frozen=True):
    """The agent's own endpoints: /metrics, /observe, /healthz."""

    listen: Annotated[
        str,
        restart(
            "Address and port; without an address, all of the node's. Empty: off.",
            allowed="a listening address such as :9100, 127.0.0.1:9100 or [::1]:9100, or '' for none",
            is_valid=is_listen,
        ),
    ] = ":9100"
    observe_token_review: Annotated[
        bool,
        restart(
            "Ask the API server who may read /observe (TokenReview, then SubjectAccessReview: `get` on the "
            "nonResourceURL /observe); it names pods and their threads. /metrics is for everybody in any case, and "
            "names the pods that have a cpu limit."
        ),
    ] = False

    @property
    def address(self) -> tuple[str, int] | None:
        """(address, port) to bind; an empty address means all. None: off."""
        return parse_listen(self.listen)


class Lint(Section, frozen=True):
    """The placement linter: reality held against what each tier was promised."""

    enabled: Annotated[bool, live("Whether placements are checked.")] = True
    interval_s: Annotated[int, live("How often they are checked.", ge=1, le=3_600)] = 10


class Log(Section, frozen=True):
    """The log on standard error."""

    level: Annotated[LogLevel, live("The least important event that is logged.")] = LogLevel.INFO


class AgentSettings(Section, frozen=True):
    """All of `temper agent`."""

    node_name: Annotated[
        str,
        restart(
            "The node that this agent runs on. Leave it out of a file that nodes share: the NODE_NAME variable of the "
            "downward API says it, and wins over a file.",
            allowed="a node's name (an RFC 1123 subdomain)",
            is_valid=is_node_name,
        ),
    ] = ""
    mode: Annotated[
        Mode,
        restart("enforce: attach the scheduler. observe: plan and publish, attach nothing."),
    ] = Mode.ENFORCE
    tiers: Tiers = Tiers()
    sizing: Sizing = Sizing()
    commit: Commit = Commit()
    safety: Safety = Safety()
    kubernetes: Kubernetes = Kubernetes()
    cgroups: CgroupTree = CgroupTree()
    http: Http = Http()
    lint: Lint = Lint()
    log: Log = Log()


KEYS = Keys(AgentSettings)
_THRESHOLDS = tuple(path for path in KEYS if path.startswith("tiers.thresholds."))


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and by key where each value came from."""

    settings: AgentSettings
    values: Mapping[str, Value]


def load(sources: Sources, *, needs_node_name: bool = False) -> Loaded:
    """Read and check everything. InvalidInput with every finding of every source.

    needs_node_name: for the agent itself; a file can be checked on a machine that is no node.
    """
    findings: list[Finding] = []
    values = _with_preset(read(sources, KEYS, findings, ALIASES))
    _check_together(values, findings)
    if needs_node_name and "node_name" in values and not values["node_name"].value:
        findings.append(Finding("node_name", "is missing; set NODE_NAME from spec.nodeName, or pass --node-name"))
    if findings:
        raise InvalidInput(findings)
    return Loaded(build(AgentSettings, {path: each.value for path, each in values.items()}), values)


def _with_preset(values: dict[str, Value]) -> dict[str, Value]:
    """Thresholds that nobody set, taken from the preset."""
    if "tiers.preset" not in values:
        return values
    preset = values["tiers.preset"]
    place = f"tiers.preset {preset.value}" if preset.place else ""
    defaults = {
        f"tiers.thresholds.{tier}": Value(priority, Origin.DEFAULT, place)
        for tier, priority in flatten(PRESETS[preset.value]).items()
    }
    return {path: defaults.get(path, each) if each.origin == Origin.DEFAULT else each for path, each in values.items()}


def _check_together(values: Mapping[str, Value], findings: list[Finding]) -> None:
    """What no key can know alone. A key whose own text was wrong is not in the values."""
    quiet, longest = values.get("commit.quiet_ms"), values.get("commit.longest_wait_ms")
    if quiet and longest and quiet.value > longest.value:
        place = longest.place or quiet.place
        findings.append(
            Finding(place, f"longest_wait_ms is {longest.value}, less than quiet_ms, which is {quiet.value}")
        )
    kubepods, driver = values.get("cgroups.kubepods"), values.get("cgroups.driver")
    if kubepods and driver and kubepods.value and not is_of(driver.value, kubepods.value):
        found = f"{quoted(kubepods.value)} is a root of the driver {driver_of(kubepods.value)}"
        findings.append(Finding(kubepods.place, f"{found}, and cgroups.driver is {driver.value}"))
    thresholds = {path: values[path] for path in _THRESHOLDS if path in values}
    if "tiers.preset" not in values or len(thresholds) < len(_THRESHOLDS):
        return
    try:
        TierThresholds(**{path.rpartition(".")[2]: each.value for path, each in thresholds.items()})
    except ValueError as error:
        place = next((each.place for each in thresholds.values() if each.origin != Origin.DEFAULT), "tiers.thresholds")
        findings.append(Finding(place, str(error)))


class Changes(NamedTuple):
    """Paths of the keys that differ: those that a running agent adopts, and those that wait for a new process."""

    live: list[str]
    restart: list[str]


def changes(old: AgentSettings, new: AgentSettings) -> Changes:
    """What differs between two trees, in the order of the keys."""
    before, after = flatten(old), flatten(new)
    differing = [path for path in KEYS if before[path] != after[path]]
    return Changes([path for path in differing if KEYS[path].live], [path for path in differing if not KEYS[path].live])


def adopt(old: AgentSettings, new: AgentSettings) -> AgentSettings:
    """What a running agent goes on with: the new tree, with the old value of each key that needs a restart."""
    before, after = flatten(old), flatten(new)
    return build(AgentSettings, {path: (after if key.live else before)[path] for path, key in KEYS.items()})
