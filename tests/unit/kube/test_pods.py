import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightkube.core.decoders import decode_object

from temper.kube import resources as api
from temper.kube.pods import from_api
from temper.plan.pod_sizes import limit_millicpu, request_millicpu
from temper.plan.pod_tiers import Rules, decide
from temper.plan.pods import Container, ContainerKind, Pod, QosClass

MIRROR = {"kubernetes.io/config.mirror": "d0", "kubernetes.io/config.hash": "d0"}


def read(json):
    return from_api(decode_object(msgspec.json.encode(json), api.Pod))


def cpu(request=None, limit=None):
    amounts = {"requests": request, "limits": limit}
    return {kind: {"cpu": value, "memory": "1Gi"} for kind, value in amounts.items() if value is not None}


def test_a_whole_pod():
    pod = read(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "cart-0",
                "namespace": "shop",
                "uid": "0d3b3a4e-6e4c-4c0e-8f0a-3b1f9f0a9c11",
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {"temper.codes/tier": "low", "infera.io/x": "1", "prometheus.io/scrape": "true"},
            },
            "spec": {
                "nodeName": "n1",
                "priority": 100_000,
                "priorityClassName": "infera-high",
                "initContainers": [
                    {"name": "proxy", "restartPolicy": "Always", "resources": cpu("100m")},
                    {"name": "migrate", "resources": cpu("1", "1"), "restartPolicy": "Never"},
                ],
                "containers": [{"name": "app", "image": "x", "resources": cpu("2", "4")}, {"name": "log"}],
                "ephemeralContainers": [{"name": "debug"}],
                "overhead": {"cpu": "250m"},
                "resources": cpu("3", "5"),
            },
            "status": {
                "phase": "Running",
                "qosClass": "Guaranteed",
                "containerStatuses": [
                    {"name": "app", "containerID": "containerd://a1", "resources": cpu("1500m", "3"), "ready": True},
                    {"name": "log", "containerID": 7},
                ],
                "ephemeralContainerStatuses": [{"name": "debug", "containerID": "cri-o://d1", "resources": {}}],
                "initContainerStatuses": [{"name": "proxy", "resources": cpu("50m")}],
                "resources": cpu("3250m", "4250m"),
            },
        }
    )
    assert pod == Pod(
        uid="0d3b3a4e-6e4c-4c0e-8f0a-3b1f9f0a9c11",
        namespace="shop",
        name="cart-0",
        priority=100_000,
        priority_class="infera-high",
        qos_class=QosClass.GUARANTEED,
        phase="Running",
        terminating=True,
        annotations={"temper.codes/tier": "low", "infera.io/x": "1"},
        containers=(
            Container(
                name="proxy",
                kind=ContainerKind.SIDECAR,
                cpu_request_millicpu=100,
                actuated_request_millicpu=50,
            ),
            Container(name="migrate", kind=ContainerKind.INIT, cpu_request_millicpu=1000, cpu_limit_millicpu=1000),
            Container(
                name="app",
                id="a1",
                cpu_request_millicpu=2000,
                cpu_limit_millicpu=4000,
                actuated_request_millicpu=1500,
                actuated_limit_millicpu=3000,
            ),
            Container(name="log"),
            Container(name="debug", id="d1", kind=ContainerKind.EPHEMERAL),
        ),
        request_millicpu=3000,
        limit_millicpu=5000,
        actuated_request_millicpu=3000,
        actuated_limit_millicpu=4000,
        overhead_millicpu=250,
    )


def test_a_static_pods_mirror_has_the_uid_of_its_cgroup():
    pod = read({"metadata": {"uid": "m", "annotations": MIRROR}})
    assert (pod.is_mirror, pod.config_hash, pod.cgroup_uids) == (True, "d0", {"m", "d0"})
    assert pod.annotations == {}


def test_the_annotation_on_any_other_pod_names_no_cgroup():
    pod = read({"metadata": {"uid": "m", "annotations": {"kubernetes.io/config.hash": "victim"}}})
    assert (pod.is_mirror, pod.cgroup_uids) == (False, {"m"})


@pytest.mark.parametrize("value", [7, None, ["d0"]])
def test_a_hash_that_is_no_text_is_left_out(value):
    assert read({"metadata": {"annotations": MIRROR | {"kubernetes.io/config.hash": value}}}).config_hash == ""


@pytest.mark.parametrize(
    ("quantity", "millicpu"),
    [
        *(("100u", 1), ("1e3", 1_000_000), ("2k", 2_000_000), ("1Ki", 1_024_000), ("1E", 1_000_000_000)),
        *((2, 2000), (0.5, 500), (1e300, 1_000_000_000), ("0", 0)),
        *(("-1", None), (-1, None), ("many", None), ("", None), (True, None), (None, None)),
        *((["1"], None), ({"cpu": "1"}, None)),
    ],
)
def test_quantities(quantity, millicpu):
    pod = read({"spec": {"containers": [{"resources": {"requests": {"cpu": quantity}}}]}})
    assert pod.containers[0].cpu_request_millicpu == millicpu


@pytest.mark.parametrize(
    ("priority", "seen"), [(5, 5), (None, 0), ("5", 0), (True, 0), (1.5, 0), (2**40, 0), (-(2**31), -(2**31))]
)
def test_priorities(priority, seen):
    assert read({"spec": {"priority": priority}}).priority == seen


@pytest.mark.parametrize(
    ("qos", "seen"), [("BestEffort", QosClass.BEST_EFFORT), ("Best", QosClass.BURSTABLE), (None, QosClass.BURSTABLE)]
)
def test_qos_classes(qos, seen):
    assert read({"status": {"qosClass": qos}}).qos_class is seen


def test_a_pod_of_nothing():
    assert read({}) == Pod(uid="", namespace="", name="")
    nothing = {
        "metadata": {"name": None, "namespace": None, "uid": None, "annotations": None, "labels": None},
        "spec": dict.fromkeys(api.PodSpec.__struct_fields__),
        "status": dict.fromkeys(api.PodStatus.__struct_fields__),
    }
    assert read(nothing) == Pod(uid="", namespace="", name="")


texts = st.text("aZ0./é\0\n\x1b\u202e", max_size=8)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), texts, st.just("Always")
)
leaves = st.one_of(scalars, st.lists(scalars, max_size=2), st.dictionaries(texts, scalars, max_size=2))
quantities = st.one_of(leaves, st.text("+-0129.eEinumkKMGTP", max_size=20))


def objects(**fields):
    return st.one_of(st.none(), st.fixed_dictionaries({}, optional=fields))


def lists(item):
    return st.one_of(st.none(), st.lists(item, max_size=3))


requirements = objects(requests=objects(cpu=quantities), limits=objects(cpu=quantities))
containers = lists(
    st.fixed_dictionaries({}, optional={"name": leaves, "resources": requirements, "restartPolicy": leaves})
)
annotated = st.one_of(st.sampled_from(["temper.codes/tier", "infera.io/tier", *MIRROR]), texts)
statuses = lists(st.fixed_dictionaries({}, optional={"name": leaves, "resources": requirements}))
api_pods = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {}, optional={"annotations": st.dictionaries(annotated, leaves), "deletionTimestamp": leaves}
        ),
        "spec": objects(
            containers=containers,
            initContainers=containers,
            ephemeralContainers=containers,
            priority=leaves,
            priorityClassName=leaves,
            resources=requirements,
            overhead=objects(cpu=quantities),
        ),
        "status": objects(
            phase=leaves,
            qosClass=leaves,
            containerStatuses=statuses,
            initContainerStatuses=statuses,
            resources=requirements,
        ),
    }
)


@settings(max_examples=200, deadline=None)
@given(api_pods)
def test_no_pod_makes_the_agent_stumble(json):
    pod = read(json)
    assert decide(pod, Rules()).reason.isprintable()
    assert all(size is None or size >= 0 for size in (request_millicpu(pod), limit_millicpu(pod)))
    assert all(name.startswith(("temper.codes/", "infera.io/")) for name in pod.annotations)
