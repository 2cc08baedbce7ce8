import pytest

from temper.plan.pods import Pod


def pod(**fields):
    return Pod(uid="u", namespace="shop", name="cart-0", **fields)


def test_a_pod_is_named_as_kubectl_names_it():
    assert pod().key == "shop/cart-0"


@pytest.mark.parametrize(
    ("phase", "finished"),
    [("Succeeded", True), ("Failed", True), ("Running", False), ("Pending", False), ("Unknown", False), ("", False)],
)
def test_finished(phase, finished):
    assert pod(phase=phase).finished is finished


@pytest.mark.parametrize(
    ("uid", "config_hash", "uids"), [("a", "", {"a"}), ("a", "b", {"a", "b"}), ("a", "a", {"a"}), ("", "", set())]
)
def test_the_uids_a_cgroup_may_be_named_after(uid, config_hash, uids):
    assert Pod(uid=uid, namespace="n", name="n", config_hash=config_hash).cgroup_uids == uids


def test_a_pod_is_frozen():
    with pytest.raises(AttributeError):
        pod().priority = 1
