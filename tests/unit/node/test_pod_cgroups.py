import os
import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temper.errors import Refused
from temper.node import pod_cgroups
from temper.node.cgroups import CgroupDir
from temper.node.pod_cgroups import PodCgroups
from temper.node.pod_names import pod_names, qos_parents
from temper.settings.kubepods import CgroupDriver

UID = "8e8a1f0c-54e5-4d4f-9c5b-0d1b4d9a3c17"
U_ = UID.replace("-", "_")
NEIGHBOUR = "11111111-2222-3333-4444-555555555555"
CORPUS = tomllib.loads(Path(__file__).with_name("pod_paths.toml").read_text())["shape"]


def tree(root, *paths):
    """A cgroup tree with these directories below `root`."""
    root.mkdir(exist_ok=True)
    (root / "cgroup.controllers").write_text("cpu memory\n")
    for path in paths:
        (root / path).mkdir(parents=True, exist_ok=True)
    return root


def paths(found):
    return {uid: [cgroup.path for cgroup in dirs] for uid, dirs in found.items()}


def cases():
    """One machine, one pod of it: every shape of the corpus x its QoS parents x its runtimes."""
    for shape in CORPUS:
        uid = shape.get("uid", UID)
        values = {"{U}": uid, "{U_}": uid.replace("-", "_"), "{C}": "c0ffee" * 10 + "0123", "{N}": "deadbeef" * 8}
        for pod in shape["pods"] or [None]:
            for leaf in shape["leaves"] or [None]:
                made = [*shape.get("empty", ()), *([f"{pod}/{leaf}" if leaf else pod] if pod else [])]
                yield pytest.param(
                    {
                        "uid": uid,
                        "made": [filled(path, values) for path in made],
                        "pods": [filled(pod, values)] if pod else [],
                        "stray": [filled(path, values) for path in shape.get("stray", ())],
                        "asked": [filled(asked, values) for asked in shape.get("asked", ["{U}"])],
                        "driver": shape["driver"],
                        "setting": CgroupDriver(shape.get("setting", "auto")),
                    },
                    id=f"{shape['name']}: {pod} {leaf}",
                )


def filled(path, values):
    for name, value in values.items():
        path = path.replace(name, value)
    return path


@pytest.mark.parametrize("case", [*cases()])
def test_real_shapes(tmp_path, case):
    neighbours = [
        *("init.scope", "user.slice/user-1000.slice/session-1.scope"),
        *("system.slice/containerd.service", "system.slice/kubelet.service"),
    ]
    tree(tmp_path, *neighbours, *case["made"], *case["stray"])
    pods = PodCgroups(tmp_path, driver=case["setting"])
    found = paths(pods.find(case["asked"]))
    expected = {uid: [] for uid in case["asked"]} | {case["uid"]: sorted(case["pods"] + case["stray"])}
    assert found == expected
    assert pods.driver == case["driver"]
    assert pods.mismatched == ((case["uid"],) if case["stray"] else ())
    watched = pods.parents()
    assert {(tmp_path / path).parent for path in case["pods"] + case["stray"]} <= set(watched)


def test_the_id_is_the_inode(tmp_path):
    path = f"kubepods.slice/kubepods-pod{U_}.slice"
    tree(tmp_path, path)
    assert PodCgroups(tmp_path).find([UID]) == {UID: (CgroupDir(path, (tmp_path / path).stat().st_ino),)}


@pytest.mark.parametrize(
    "path",
    [
        f"kubepods.slice/kubepods-pod{U_}0.slice",  # another pod, whose uid goes on
        f"kubepods.slice/kubepods-pod{U_}.slice.d",
        f"kubepods.slice/kubepods-burstable-pod{U_}.slice",  # not where the kubelet puts it
        f"kubepods.slice/kubepods-pod{UID}.slice",
        f"kubepods/guaranteed/pod{UID}",
        f"kubepods/pod{NEIGHBOUR}/pod{UID}",
        f"user.slice/pod{UID}",
        f"mykubepods.slice/mykubepods-pod{U_}.slice",
        # a container that plays kubelet
        f"kubepods.slice/kubepods-podx.slice/crio-c.scope/kubepods.slice/kubepods-pod{U_}.slice",
        f"kubepods/podx/c/system.slice/kubepods-pod{U_}.slice:cri-containerd:c",
        # too deep, and a name that nobody prints
        f"a/b/c/d/e/f/kubepods/pod{UID}",
        f"evil\x1b[2J.slice/kubepods/pod{UID}",
    ],
)
def test_what_only_looks_like_the_pod(tmp_path, path):
    tree(tmp_path, "kubepods.slice/kubepods-burstable.slice", "kubepods/burstable", path)
    pods = PodCgroups(tmp_path)
    assert pods.find([UID]) == {UID: ()}
    assert pods.mismatched == ()


@pytest.mark.parametrize(
    "path",
    [
        f"kubepods.slice/kubepods-pod{U_}.slice",
        f"system.slice/kubepods-pod{U_}.slice:cri-containerd:c",
    ],
)
def test_who_was_given_a_subtree_imitates_no_pod(tmp_path, monkeypatch, path):
    theirs = tmp_path / "user.slice/user-1000.slice/user@1000.service"
    tree(tmp_path, f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{U_}.slice", theirs / path)
    lstat = Path.lstat

    def owned(self):
        found = lstat(self)
        return os.stat_result((*found[:4], 1000, *found[5:])) if theirs in (self, *self.parents) else found

    assert len(PodCgroups(tmp_path).find([UID])[UID]) == 2
    monkeypatch.setattr(Path, "lstat", owned)
    assert paths(PodCgroups(tmp_path).find([UID]))[UID] == [
        f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{U_}.slice"
    ]


@pytest.mark.parametrize("uid", ["", "..", "../..", "a/b", "a\0b", f"../pod{NEIGHBOUR}", "\udcff", "x" * 254, "*"])
def test_other_uids_are_never_looked_for(tmp_path, uid):
    tree(tmp_path / "root", f"kubepods/pod{NEIGHBOUR}/a", "kubepods/pod", "kubepods/pod*")
    assert PodCgroups(tmp_path / "root").find([uid, NEIGHBOUR])[uid] == ()


def test_links_are_not_followed(tmp_path):
    root, outside = tree(tmp_path / "root", "kubepods.slice"), tmp_path / "outside"
    for target in ("kubepods-burstable.slice", f"kubepods-pod{U_}.slice"):
        (outside / target / f"kubepods-burstable-pod{U_}.slice").mkdir(parents=True)
        (root / "kubepods.slice" / target).symlink_to(outside / target)
    (root / "kubepods").symlink_to(outside)
    pods = PodCgroups(root)
    assert pods.find([UID]) == {UID: ()}
    assert PodCgroups(root, kubepods="kubepods").parents() == (root,)


def test_dashes_and_underscores_are_folded(tmp_path):
    tree(tmp_path, "kubepods/poda_b", "kubepods/besteffort/podc-d")
    assert paths(PodCgroups(tmp_path).find(["a-b", "a_b", "c-d"])) == {
        "a-b": ["kubepods/poda_b"],
        "a_b": ["kubepods/poda_b"],
        "c-d": ["kubepods/besteffort/podc-d"],
    }


class TestLocation:
    def test_a_setting_overrules_the_search(self, tmp_path):
        tree(tmp_path, f"kubepods/pod{UID}", f"a.slice/a-kubepods.slice/a-kubepods-pod{U_}.slice")
        pods = PodCgroups(tmp_path, kubepods="a.slice/a-kubepods.slice")
        assert paths(pods.find([UID])) == {UID: [f"a.slice/a-kubepods.slice/a-kubepods-pod{U_}.slice"]}
        assert pods.driver == "systemd"

    def test_a_setting_may_go_where_the_search_does_not(self, tmp_path):
        tree(tmp_path, f"a/b/c/d/e/f/g/kubepods/pod{UID}")
        assert len(PodCgroups(tmp_path, kubepods="a/b/c/d/e/f/g/kubepods").find([UID])[UID]) == 1

    def test_v1_is_refused(self, tmp_path):
        with pytest.raises(Refused, match="cgroup v2"):
            PodCgroups(tmp_path)

    def test_the_kubelet_may_come_later_and_change_its_driver(self, tmp_path):
        pods = PodCgroups(tree(tmp_path))
        assert (pods.find([UID]), pods.driver) == ({UID: ()}, "unknown")
        tree(tmp_path, "kubepods/burstable")
        assert (pods.find([UID]), pods.driver) == ({UID: ()}, "cgroupfs")
        tree(tmp_path, f"kubepods.slice/kubepods-pod{NEIGHBOUR.replace('-', '_')}.slice")
        assert len(pods.find([UID, NEIGHBOUR])[NEIGHBOUR]) == 1
        assert pods.driver == "systemd"  # the old root is still there, without pods

    def test_a_root_made_anew_elsewhere_is_found(self, tmp_path):
        pods = PodCgroups(tree(tmp_path, f"kubepods/pod{UID}"))
        assert len(pods.find([UID])[UID]) == 1
        (tmp_path / "kubepods").rename(tmp_path / "gone")
        tree(tmp_path, f"kubelet/kubepods/pod{UID}")
        assert paths(pods.find([UID])) == {UID: [f"kubelet/kubepods/pod{UID}"]}

    def test_strays_are_found_where_a_runtime_makes_them_anew(self, tmp_path):
        leaf = f"kubepods-pod{U_}.slice:cri-containerd:c"
        pods = PodCgroups(tree(tmp_path, f"kubepods.slice/kubepods-pod{U_}.slice", f"system.slice/a.service/{leaf}"))
        assert len(pods.find([UID])[UID]) == 2
        (tmp_path / "system.slice/a.service").rename(tmp_path / "system.slice/b.service")
        assert f"system.slice/b.service/{leaf}" in paths(pods.find([UID]))[UID]

    @pytest.mark.parametrize(
        ("setting", "driver", "counted"),
        [
            (CgroupDriver.AUTO, "unknown", ["kubepods", "kubepods.slice"]),
            (CgroupDriver.SYSTEMD, "systemd", ["kubepods.slice"]),
            (CgroupDriver.CGROUPFS, "cgroupfs", ["kubepods"]),
        ],
    )
    def test_both_roots_without_pods_tell_no_driver_but_a_setting_does(self, tmp_path, setting, driver, counted):
        pods = PodCgroups(tree(tmp_path, "kubepods", "kubepods.slice"), driver=setting)
        pods.find([UID])
        assert pods.driver == driver
        assert pods.parents() == tuple(tmp_path / path for path in counted)

    def test_a_pod_in_both_roots_has_both_unless_the_driver_is_set(self, tmp_path):
        both = [f"kubepods.slice/kubepods-pod{U_}.slice", f"kubepods/pod{UID}"]
        tree(tmp_path, *both)
        assert paths(PodCgroups(tmp_path).find([UID])) == {UID: both}
        assert paths(PodCgroups(tmp_path, driver=CgroupDriver.CGROUPFS).find([UID])) == {UID: both[1:]}


class TestParents:
    @pytest.mark.parametrize(
        ("made", "setting", "expected"),
        [
            ([], None, [""]),
            (["system.slice/ssh.service", "kubelet"], None, ["", "kubelet", "system.slice"]),
            (["kubepods.slice"], None, ["kubepods.slice"]),
            (
                ["kubepods/burstable", "kubepods/besteffort"],
                None,
                ["kubepods", "kubepods/besteffort", "kubepods/burstable"],
            ),
            (["system.slice", "kubepods/burstable"], "a.slice/a-b.slice/a-b-kubepods.slice", [""]),
            (["a.slice"], "a.slice/a-b.slice/a-b-kubepods.slice", ["", "a.slice"]),
            (["a.slice/a-kubepods.slice"], "a.slice/a-kubepods.slice", ["a.slice/a-kubepods.slice"]),
            (
                ["kubepods.slice", "system.slice/x.service/kubepods-podx.slice:cri-containerd:c"],
                None,
                ["kubepods.slice", "system.slice/x.service"],
            ),
        ],
    )
    def test_where_pods_can_appear(self, tmp_path, made, setting, expected):
        tree(tmp_path, *made)
        assert PodCgroups(tmp_path, kubepods=setting).parents() == tuple(tmp_path / path for path in expected)


class TestCost:
    @pytest.fixture
    def listed(self, monkeypatch):
        """The directories listed so far."""
        seen = []
        scandir = os.scandir

        def recorded(path):
            seen.append(Path(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", recorded)
        return seen

    def test_pods_cost_no_listing_each(self, tmp_path, listed):
        uids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(110)]
        parents = qos_parents("kubepods.slice")
        for number, uid in enumerate(uids):
            (name,) = pod_names(parents[number % 3], uid)
            tree(tmp_path, f"{parents[number % 3]}/{name}/c.scope")
        tree(tmp_path, *(f"system.slice/{number}.service" for number in range(100)))
        pods = PodCgroups(tmp_path)
        mirrors = [f"mirror-{number}" for number in range(10)]  # they never have a directory
        pods.find([*uids, *mirrors])
        listed.clear()
        assert sum(map(len, pods.find([*uids, *mirrors]).values())) == 110
        assert listed == [tmp_path / parent for parent in parents]

    @pytest.mark.parametrize("stem", ["a", "z"])
    def test_the_search_is_bounded_and_shallow_first(self, tmp_path, listed, monkeypatch, stem):
        monkeypatch.setattr(pod_cgroups, "MAX_LISTED", 50)
        wide = (f"m.slice/{number}/below" for number in range(200))
        tree(tmp_path, *wide, f"{stem}.slice/{stem}-kubepods.slice/{stem}-kubepods-pod{U_}.slice")
        assert len(PodCgroups(tmp_path).find([UID])[UID]) == 1
        assert len(listed) <= 50 + 3

    def test_one_find_searches_once(self, tmp_path, listed):
        tree(tmp_path, "kubepods", "system.slice")
        PodCgroups(tmp_path).find([UID])
        assert listed.count(tmp_path / "system.slice") == 1


class TestHostileTrees:
    def test_names_that_are_no_text(self, tmp_path):
        stray = f"kubepods-pod{U_}.slice:x:"
        tree(tmp_path, f"kubepods/pod{UID}", f"system.slice/{stray}y", f"system.slice/{stray}\udcff")
        for parent in (b"", b"kubepods", b"kubepods/burstable"):
            for name in (b"\xff\xfe.slice", b"kubepods-pod\xff.slice:x:y", b"\xff-kubepods.slice", b"n" * 255):
                (tmp_path / os.fsdecode(parent) / os.fsdecode(name) / "kubepods" / f"pod{UID}").mkdir(parents=True)
        pods = PodCgroups(tmp_path)
        found = pods.find([UID])[UID]
        assert "\n".join([*(cgroup.path for cgroup in found), *map(str, pods.parents())]).encode()
        assert {f"kubepods/pod{UID}", f"system.slice/{stray}y"} <= {cgroup.path for cgroup in found}

    def test_directories_may_vanish_during_the_walk(self, tmp_path, monkeypatch):
        kept = f"kubepods.slice/kubepods-pod{NEIGHBOUR.replace('-', '_')}.slice"
        gone = tmp_path / f"kubepods.slice/kubepods-pod{U_}.slice"
        tree(tmp_path, kept, gone, "system.slice/kubepods-podx.slice:cri-containerd:c")
        scandir = os.scandir

        def slow_scandir(path):
            if str(path).endswith("system.slice"):
                raise FileNotFoundError
            entries = scandir(path)
            if str(path).endswith("kubepods.slice") and gone.exists():
                gone.rmdir()
            return entries

        monkeypatch.setattr(os, "scandir", slow_scandir)
        pods = PodCgroups(tmp_path)
        assert paths(pods.find([UID, NEIGHBOUR])) == {UID: [], NEIGHBOUR: [kept]}
        assert pods.parents() == (tmp_path / "kubepods.slice",)

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.lists(st.binary(min_size=1, max_size=255), min_size=1, max_size=6), max_size=8))
    def test_any_names(self, names):
        with tempfile.TemporaryDirectory() as folder:
            root = tree(Path(folder), f"kubepods/pod{UID}")
            for path in names:
                parts = [part.translate(None, b"/\0") for part in path]
                if all(part not in {b"", b".", b".."} for part in parts):
                    root.joinpath(*map(os.fsdecode, parts)).mkdir(parents=True, exist_ok=True)
            pods = PodCgroups(root)
            assert paths(pods.find([UID])) == {UID: [f"kubepods/pod{UID}"]}
            assert all(str(path).encode() for path in pods.parents())


ROOTS = ("kubepods.slice", "k.slice/k-kubepods.slice", "kubepods", "docker/c0ffee/kubepods")
PLACES = st.sampled_from([parent for root in ROOTS for parent in qos_parents(root)])
SMALL_UIDS = st.from_regex(r"[0-9a-f-]{1,40}", fullmatch=True)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(SMALL_UIDS, PLACES, max_size=12), st.sets(SMALL_UIDS, max_size=6))
def test_each_pod_is_where_it_was_put_and_nowhere_else(placed, others):
    with tempfile.TemporaryDirectory() as folder:
        where = {uid: f"{parent}/{sorted(pod_names(parent, uid))[0]}" for uid, parent in placed.items()}
        pods = PodCgroups(tree(Path(folder), *(f"{path}/c0ffee" for path in where.values())))
        found = pods.find(placed.keys() | others)
        assert paths(found) == {uid: [where[uid]] if uid in where else [] for uid in placed.keys() | others}
        assert {Path(folder) / parent for parent in placed.values()} <= {*pods.parents()}
