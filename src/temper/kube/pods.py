"""From the API's pod to `plan.pods.Pod`.

Whatever a pod holds, `from_api` returns: what makes no sense counts as not stated. A pod that could make the agent
stumble would be a way for one tenant to take every other's tier away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from temper.kube import resources as api
from temper.plan.pods import ANNOTATION_PREFIXES, Container, ContainerKind, Pod, QosClass
from temper.plan.units import parse_quantity_millicpu

# pkg/kubelet/types/pod_update.go: the kubelet puts both on the mirrors of its static pods.
CONFIG_HASH = "kubernetes.io/config.hash"
CONFIG_MIRROR = "kubernetes.io/config.mirror"

_INT32 = 1 << 31  # the API's type of a priority

_NO_SPEC, _NO_STATUS, _NO_CONTAINER_STATUS = api.PodSpec(), api.PodStatus(), api.ContainerStatus()
_NO_RESOURCES, _NO_QUANTITIES = api.ResourceRequirements(), api.Quantities()


def from_api(pod: api.Pod) -> Pod:
    """The pod as Temper sees it. Raises nothing."""
    metadata, spec, status = pod.metadata, pod.spec or _NO_SPEC, pod.status or _NO_STATUS
    annotations = metadata.annotations or {}
    is_mirror = CONFIG_MIRROR in annotations
    own, in_force = spec.resources or _NO_RESOURCES, status.resources or _NO_RESOURCES
    overhead = _millicpu(spec.overhead) or 0
    return Pod(
        uid=metadata.uid or "",
        # Of any other pod the annotation says nothing, and could name somebody else's cgroup.
        config_hash=_text(annotations.get(CONFIG_HASH)) if is_mirror else "",
        is_mirror=is_mirror,
        namespace=metadata.namespace or "",
        name=metadata.name or "",
        priority=_priority(spec.priority),
        priority_class=_text(spec.priorityClassName),
        qos_class=_qos_class(status.qosClass),
        phase=_text(status.phase),
        terminating=metadata.deletionTimestamp is not None,
        annotations=_ours(annotations),
        containers=tuple(_containers(spec, status)),
        request_millicpu=_millicpu(own.requests),
        limit_millicpu=_millicpu(own.limits),
        actuated_request_millicpu=_less(_millicpu(in_force.requests), overhead),
        actuated_limit_millicpu=_less(_millicpu(in_force.limits), overhead),
        overhead_millicpu=overhead,
    )


def _ours(annotations: dict[str, api.Leaf]) -> dict[str, str]:
    return {
        name: value
        for name, value in annotations.items()
        if name.startswith(ANNOTATION_PREFIXES) and isinstance(value, str)
    }


def _containers(spec: api.PodSpec, status: api.PodStatus) -> Iterator[Container]:
    """Those that start first come first: the pod's size depends on it."""
    started = _by_name(status.initContainerStatuses)
    for container in spec.initContainers or ():
        kind = ContainerKind.SIDECAR if container.restartPolicy == "Always" else ContainerKind.INIT
        yield _container(container, kind, started)
    running = _by_name(status.containerStatuses)
    for container in spec.containers or ():
        yield _container(container, ContainerKind.APP, running)
    debugging = _by_name(status.ephemeralContainerStatuses)
    for container in spec.ephemeralContainers or ():
        yield _container(container, ContainerKind.EPHEMERAL, debugging)


def _by_name(statuses: Sequence[api.ContainerStatus] | None) -> dict[str, api.ContainerStatus]:
    return {_text(status.name): status for status in statuses or ()}


def _container(container: api.Container, kind: ContainerKind, statuses: dict[str, api.ContainerStatus]) -> Container:
    name = _text(container.name)
    status = statuses.get(name, _NO_CONTAINER_STATUS)
    asked, in_force = container.resources or _NO_RESOURCES, status.resources or _NO_RESOURCES
    return Container(
        name=name,
        id=_text(status.containerID).rpartition("//")[2],
        kind=kind,
        cpu_request_millicpu=_millicpu(asked.requests),
        cpu_limit_millicpu=_millicpu(asked.limits),
        actuated_request_millicpu=_millicpu(in_force.requests),
        actuated_limit_millicpu=_millicpu(in_force.limits),
    )


def _millicpu(quantities: api.Quantities | None) -> int | None:
    value = (quantities or _NO_QUANTITIES).cpu
    if not isinstance(value, str | int | float):  # the API's schema allows numbers beside strings
        return None
    try:
        return parse_quantity_millicpu(str(value))
    except ValueError:
        return None


def _less(millicpu: int | None, overhead: int) -> int | None:
    return None if millicpu is None else max(0, millicpu - overhead)


def _priority(value: api.Leaf) -> int:
    return value if type(value) is int and -_INT32 <= value < _INT32 else 0


def _qos_class(value: api.Leaf) -> QosClass:
    """The API server sets it on every pod; where it is missing, the one that earns a plain pod the normal tier."""
    return QosClass(value) if isinstance(value, str) and value in tuple(QosClass) else QosClass.BURSTABLE


def _text(value: api.Leaf) -> str:
    return value if isinstance(value, str) else ""
