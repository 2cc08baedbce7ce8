"""How many cpus a pod asks for and how many it may use: Kubernetes' own rule, so that nobody has to learn another.

    max(sum of apps and sidecars, max over init containers i of (i + sidecars started before i)) + overhead

KEP-753 explains it, and kubernetes' k8s.io/component-helpers/resource/helpers.go (PodRequests, PodLimits) computes it:
an init container runs alone but for the sidecars started before it, and a pod needs room for its widest moment.

Worked example: sidecar s1 (100m), init i (900m), sidecar s2 (200m), apps a (500m) and b (50m), overhead 10m.
Starting: 100 + 900 = 1000. Running: 100 + 200 + 500 + 50 = 850. The pod's size is 1010 millicpu.

Two differences, both because the scheduler keeps room for what a pod may become, while we divide what there is. A
value that the kubelet reports as in force (actuated) replaces the spec's, where the scheduler counts the larger: a
resize to a hundred cpus that waits for ever must not cost a neighbour its fence. And a pod has a limit only where the
kubelet would set one (pkg/kubelet/cm/helpers_linux.go, ResourceConfigForPod): one container without a limit, or with
the limit 0, leaves the whole pod unlimited, unless the pod itself has one.
"""

from __future__ import annotations

from collections.abc import Iterable

from temper.plan.pods import Container, ContainerKind, Pod


def request_millicpu(pod: Pod) -> int | None:
    """Thousandths of a cpu the pod asks for; None when neither it nor a container of it states any."""
    own = _of_pod(pod.actuated_request_millicpu, pod.request_millicpu)
    if own is not None:
        return own + pod.overhead_millicpu
    requests = [
        (container.kind, _in_force(container.actuated_request_millicpu, container.cpu_request_millicpu))
        for container in _counted(pod)
    ]
    if all(millicpu is None for _, millicpu in requests):
        return pod.overhead_millicpu or None
    return _widest((kind, millicpu or 0) for kind, millicpu in requests) + pod.overhead_millicpu


def limit_millicpu(pod: Pod) -> int | None:
    """Thousandths of a cpu the pod may use; None when it has no limit."""
    own = _of_pod(pod.actuated_limit_millicpu, pod.limit_millicpu)
    if own:
        return own + pod.overhead_millicpu
    limits = [
        (container.kind, _in_force(container.actuated_limit_millicpu, container.cpu_limit_millicpu) or 0)
        for container in _counted(pod)
    ]
    if not limits or not all(millicpu for _, millicpu in limits):
        return None
    return _widest(limits) + pod.overhead_millicpu


def _in_force(actuated: int | None, spec: int | None) -> int | None:
    return spec if actuated is None else actuated


def _of_pod(actuated: int | None, spec: int | None) -> int | None:
    """The kubelet reports an amount in force for pods that state none, too: a sum over the containers, not a wish."""
    return None if spec is None else _in_force(actuated, spec)


def _counted(pod: Pod) -> list[Container]:
    return [container for container in pod.containers if container.kind is not ContainerKind.EPHEMERAL]


def _widest(amounts: Iterable[tuple[ContainerKind, int]]) -> int:
    """The most that is held at one time; init containers and sidecars come in the order of their start."""
    sidecars = apps = starting = 0
    for kind, millicpu in amounts:
        if kind is ContainerKind.SIDECAR:
            sidecars += millicpu
        elif kind is ContainerKind.INIT:
            starting = max(starting, sidecars + millicpu)
        else:
            apps += millicpu
    return max(starting, sidecars + apps)
