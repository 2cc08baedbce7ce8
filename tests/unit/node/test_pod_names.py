import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.node.pod_names import plausible, pod_names, qos_parents, stray_key, stray_names
from temper.settings.kubepods import driver_of, is_kubepods

UIDS = st.from_regex(r"[0-9a-zA-Z_-]{1,253}", fullmatch=True)


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        ("5b2b1a5e-6a0e-4f3b-8f0a-6d8f2d3c9b11", True),
        ("36b6d6be73b1065af369b3985edafa09", True),
        ("a" * 253, True),
        ("a" * 254, False),
        ("", False),
        ("..", False),
        ("a.b", False),
        ("../../etc", False),
        ("a/b", False),
        ("a\0b", False),
        ("a\n", False),
        ("é", False),
        ("\N{ARABIC-INDIC DIGIT ONE}", False),
        ("\udcff", False),
        ("*", False),
        ("a:b", False),
    ],
)
def test_plausible_uids(uid, expected):
    assert plausible(uid) is expected


@pytest.mark.parametrize(
    ("kubepods", "driver", "names"),
    [
        (
            "kubepods.slice",
            "systemd",
            {
                "kubepods.slice": {"kubepods-poda_b.slice"},
                "kubepods.slice/kubepods-burstable.slice": {"kubepods-burstable-poda_b.slice"},
                "kubepods.slice/kubepods-besteffort.slice": {"kubepods-besteffort-poda_b.slice"},
            },
        ),
        (
            "k.slice/k-kubepods.slice",
            "systemd",
            {
                "k.slice/k-kubepods.slice": {"k-kubepods-poda_b.slice"},
                "k.slice/k-kubepods.slice/k-kubepods-burstable.slice": {"k-kubepods-burstable-poda_b.slice"},
                "k.slice/k-kubepods.slice/k-kubepods-besteffort.slice": {"k-kubepods-besteffort-poda_b.slice"},
            },
        ),
        (
            "kubelet/kubepods",
            "cgroupfs",
            {
                "kubelet/kubepods": {"poda-b", "poda_b"},
                "kubelet/kubepods/burstable": {"poda-b", "poda_b"},
                "kubelet/kubepods/besteffort": {"poda-b", "poda_b"},
            },
        ),
    ],
)
def test_names_of_a_pod(kubepods, driver, names):
    assert driver_of(kubepods) == driver
    assert {parent: pod_names(parent, "a-b") for parent in qos_parents(kubepods)} == names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kubepods-besteffort-poda_b.slice:cri-containerd:c0ffee", "kubepods-besteffort-poda_b.slice"),
        ("kubepods-burstable-poda_b.slice", "kubepods-burstable-poda_b.slice"),
        ("kubelet-kubepods-poda_b.slice:cri-containerd:c0ffee", "kubepods-poda_b.slice"),
        ("kubepods-kubepods-poda_b.slice:cri-containerd:c0ffee", "kubepods-poda_b.slice"),  # --cgroup-root=/kubepods
        ("mykubepods-poda_b.slice:cri-containerd:c0ffee", None),
        ("kubepods-poda_b.scope", None),
        ("kubepods-burstable.slice", None),
        ("kubepods.slice", None),
        ("kubepods", None),
        ("docker.service", None),
        (":kubepods-poda_b.slice", None),
        ("", None),
    ],
)
def test_strays(name, expected):
    assert stray_key(name) == expected


@given(UIDS)
def test_a_name_is_one_component_and_fits_no_other_place(uid):
    roots = ("kubepods.slice", "kubelet.slice/kubelet-kubepods.slice", "kubepods", "docker/c0ffee/kubepods")
    parents = [parent for root in roots for parent in qos_parents(root)]
    for name in (name for parent in parents for name in pod_names(parent, uid)):
        assert not {"/", "\0", ":"}.intersection(name)
        assert not is_kubepods(name)
    systemd = [pod_names(parent, uid) for parent in parents if driver_of(parent) == "systemd"]
    assert len(frozenset().union(*systemd)) == len(systemd)


@given(UIDS, UIDS, st.sampled_from(["", "kubelet-", "a-my_root-"]), st.sampled_from(["", ":cri-containerd:c0ffee"]))
def test_a_stray_is_one_pods(uid, other, prefix, rest):
    same = uid.replace("-", "_") == other.replace("-", "_")
    for name in stray_names(uid):
        assert (stray_key(f"{prefix}{name}{rest}") in stray_names(other)) is same


@given(st.text())
def test_no_uid_leaves_its_directory(uid):
    if plausible(uid):
        assert uid.isascii()
        assert not {"/", "\0", "."}.intersection(uid)
