import pytest
from lightkube.core.decoders import decode_list, decode_object
from lightkube.core.generic_client import GenericClient
from lightkube.core.resource import api_info

from temper.kube.resources import Node, ObjectMeta, Pod, PodSpec, PodStatus

BOOKMARK = b"""{"kind": "Pod", "apiVersion": "v1", "spec": {"containers": null}, "status": {},
    "metadata": {"creationTimestamp": null, "resourceVersion": "12746", "annotations": {"k8s.io/initial": "true"}}}"""


def test_a_list_is_decoded_by_lightkube():
    items = b'[{"metadata": {"name": "a", "labels": {"x": "y"}, "generation": 3}}, {"spec": {"nodeName": "n"}}]'
    cont, version, pods = decode_list(b'{"metadata": {"resourceVersion": "7"}, "items": ' + items + b"}", Pod)
    assert (cont, version) == (None, "7")
    assert pods == [Pod(ObjectMeta(name="a", labels={"x": "y"})), Pod(spec=PodSpec())]


def test_a_bookmark_has_the_lists_null():
    pod = decode_object(BOOKMARK, Pod)
    assert (pod.metadata.resourceVersion, pod.spec, pod.status) == ("12746", PodSpec(), PodStatus())


def test_a_node():
    node = decode_object(b'{"metadata": {"name": "n", "annotations": null}, "status": {"images": []}}', Node)
    assert node == Node(ObjectMeta(name="n"))


@pytest.mark.parametrize(
    ("resource", "method", "watch", "path"),
    [
        (Pod, "list", False, "api/v1/pods"),
        (Pod, "list", True, "api/v1/pods"),
        (Node, "list", True, "api/v1/nodes"),
        (Node, "patch", False, "api/v1/nodes/n"),
    ],
)
def test_lightkube_knows_where_they_are(resource, method, watch, path):
    client = GenericClient.__new__(GenericClient)  # its constructor wants a cluster
    client._field_manager, client._dry_run, client.namespace = None, False, "unused"
    namespace = "*" if resource is Pod else None
    request = client.prepare_request(
        method,
        resource,
        obj={} if method == "patch" else None,
        name="n" if method == "patch" else None,
        namespace=namespace,
        watch=watch,
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert (request.url, request.response_type) == (path, resource)


def test_no_verb_is_allowed_that_the_agent_never_uses():
    assert {verb for resource in (Pod, Node) for verb in api_info(resource).verbs} == {
        *("get", "list", "watch", "global_list", "global_watch", "patch")
    }
    assert "patch" not in api_info(Pod).verbs
