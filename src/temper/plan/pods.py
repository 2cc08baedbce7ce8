"""The pod as Temper sees it: what decides its tier, its size and which cgroup directory is its own."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

# Ours, the one that counts first; then the one of the product's former name, which clusters still carry.
ANNOTATION_PREFIXES = ("temper.codes/", "infera.io/")

# The node annotations that ask for safe mode.
SWITCH_ANNOTATIONS = tuple(f"{prefix}safe-mode-requested" for prefix in ANNOTATION_PREFIXES)

# The node annotation that says when an agent last wrote any of its own, in the API's own form of UTC.
SAID_AT = f"{ANNOTATION_PREFIXES[0]}agent-said-at"
SAID_AT_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

_FINISHED_PHASES = frozenset({"Succeeded", "Failed"})


class QosClass(StrEnum):
    """Kubernetes' quality-of-service class of a pod; it never changes while the pod lives."""

    GUARANTEED = "Guaranteed"
    BURSTABLE = "Burstable"
    BEST_EFFORT = "BestEffort"


class ContainerKind(StrEnum):
    """When a container runs.

    app: after all init containers, together with the other apps.
    init: once, before the apps.
    sidecar: an init container with `restartPolicy: Always`; from its turn on, for as long as the pod.
    ephemeral: put in for debugging; it can't ask for anything.
    """

    APP = "app"
    INIT = "init"
    SIDECAR = "sidecar"
    EPHEMERAL = "ephemeral"


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """One container, and its cpus in millicpu; None where nothing is stated.

    cpu_*: what the spec asks for. actuated_*: what is in force, where the kubelet reports it; the two differ while an
    in-place resize waits for room, which may be for ever.
    id: the runtime's, with which its cgroup's name ends; empty before it was first created.
    """

    name: str
    id: str = ""
    kind: ContainerKind = ContainerKind.APP
    cpu_request_millicpu: int | None = None
    cpu_limit_millicpu: int | None = None
    actuated_request_millicpu: int | None = None
    actuated_limit_millicpu: int | None = None


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """One pod.

    uid: the API's. The cgroup of a static pod is named after another one, config_hash; there the API's pod is a mirror.
    config_hash: a mirror pod's annotation `kubernetes.io/config.hash`, whatever it holds; empty for every other pod.
    priority: what admission made of the PriorityClass; 0 when absent.
    priority_class: its name, empty when the pod names none and the cluster has no default.
    terminating: deleted, but with containers that may still run: it keeps its tier.
    annotations: only those below ANNOTATION_PREFIXES.
    containers: init containers and sidecars in the order of their start, which counts; then apps and ephemeral ones.
    request_millicpu, limit_millicpu: of the pod as a whole (`spec.resources`), None when not stated there.
    actuated_*: the same, in force, without the overhead.
    overhead_millicpu: what the pod's runtime class adds for itself.
    """

    uid: str
    namespace: str
    name: str
    config_hash: str = ""
    is_mirror: bool = False
    priority: int = 0
    priority_class: str = ""
    qos_class: QosClass = QosClass.BURSTABLE
    phase: str = ""
    terminating: bool = False
    annotations: Mapping[str, str] = {}
    containers: tuple[Container, ...] = ()
    request_millicpu: int | None = None
    limit_millicpu: int | None = None
    actuated_request_millicpu: int | None = None
    actuated_limit_millicpu: int | None = None
    overhead_millicpu: int = 0

    @property
    def key(self) -> str:
        """`namespace/name`, as people and kubectl name it."""
        return f"{self.namespace}/{self.name}"

    @property
    def finished(self) -> bool:
        """Whether all its containers have ended for good: it counts for nothing then."""
        return self.phase in _FINISHED_PHASES

    @property
    def cgroup_uids(self) -> frozenset[str]:
        """The uids that its cgroup directory may be named after."""
        return frozenset({self.uid, self.config_hash} - {""})
