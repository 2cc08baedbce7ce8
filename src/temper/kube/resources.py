"""The API's objects, trimmed to the fields that Temper reads.

msgspec skips what a struct doesn't name, so a pod costs a fraction of what lightkube's complete models cost. The names
are the API's. `_api_info` tells lightkube's generic client the path of a class and the verbs it may use: those that
the agent's role grants, and no others.

One odd object must not make a whole list undecodable. So objects and lists may be null (a bookmark's pod has
`containers: null`), a leaf that a person writes is taken as it comes, and `kube.pods` makes sense of it.
"""

from __future__ import annotations

from typing import Any

import msgspec
from lightkube.core.resource import ApiInfo, GlobalResource, NamespacedResourceG, ResourceDef

# A value of whatever JSON type.
Leaf = Any


class ObjectMeta(msgspec.Struct, frozen=True):
    """Who an object is. deletionTimestamp: set (to whatever) once it is being deleted."""

    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resourceVersion: str | None = None
    deletionTimestamp: Leaf = None
    annotations: dict[str, Leaf] | None = None
    labels: dict[str, Leaf] | None = None


class Quantities(msgspec.Struct, frozen=True):
    """A resource list, of which only cpu matters."""

    cpu: Leaf = None


class ResourceRequirements(msgspec.Struct, frozen=True):
    """What is requested, and what it is limited to."""

    requests: Quantities | None = None
    limits: Quantities | None = None


class Container(msgspec.Struct, frozen=True):
    """A container of any kind. restartPolicy: `Always` makes an init container a sidecar."""

    name: Leaf = None
    resources: ResourceRequirements | None = None
    restartPolicy: Leaf = None


class ContainerStatus(msgspec.Struct, frozen=True):
    """containerID: `containerd://<id>`. resources: those in force, as the container runtime reports them."""

    name: Leaf = None
    containerID: Leaf = None
    resources: ResourceRequirements | None = None


class PodSpec(msgspec.Struct, frozen=True):
    """resources: those of the pod as a whole."""

    containers: list[Container] | None = None
    initContainers: list[Container] | None = None
    ephemeralContainers: list[Container] | None = None
    priority: Leaf = None
    priorityClassName: Leaf = None
    resources: ResourceRequirements | None = None
    overhead: Quantities | None = None


class PodStatus(msgspec.Struct, frozen=True):
    """resources: those of the pod as a whole in force, with its overhead."""

    phase: Leaf = None
    qosClass: Leaf = None
    containerStatuses: list[ContainerStatus] | None = None
    initContainerStatuses: list[ContainerStatus] | None = None
    ephemeralContainerStatuses: list[ContainerStatus] | None = None
    resources: ResourceRequirements | None = None


class Pod(NamespacedResourceG, msgspec.Struct, frozen=True):
    """A pod; listed and watched across all namespaces, by a field selector on its node."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: PodSpec | None = None
    status: PodStatus | None = None

    _api_info = ApiInfo(
        resource=ResourceDef("", "v1", "Pod"),
        plural="pods",
        verbs=["get", "global_list", "global_watch", "list", "watch"],
    )


class Node(GlobalResource, msgspec.Struct, frozen=True):
    """A node: nothing but its annotations and labels matter."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)

    _api_info = ApiInfo(
        resource=ResourceDef("", "v1", "Node"),
        plural="nodes",
        verbs=["get", "list", "patch", "watch"],
    )
