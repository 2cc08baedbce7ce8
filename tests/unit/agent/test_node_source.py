"""Pods as the API server tells of them, cgroups of a temporary tree, and what becomes of both."""

import msgspec
import pytest

from temper.agent import node_source
from temper.agent.live_settings import LiveSettings
from temper.agent.node_source import NodeSource, describe, layer_of
from temper.kube import resources
from temper.kube.pods import from_api
from temper.node.run_dir import RunDir
from temper.plan.machine import Cpu, Machine
from temper.plan.pod_tiers import SYSTEM_PRIORITY
from temper.plan.pods import SWITCH_ANNOTATIONS
from temper.settings.sources import SET, Sources

MACHINE = Machine(tuple(Cpu(cpu, cpu, 0, 0) for cpu in range(8)))
CRITICAL, HIGH = 1_000_000, 100_000


def api_pod(name, *, priority=0, phase="Running", cpu="1", uid=None, annotations=None):
    containers = [{"name": "app", "resources": {"requests": {"cpu": cpu}}}]
    pod = {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": uid or f"uid-{name}",
            "annotations": annotations,
            "resourceVersion": "1",
        },
        "spec": {"containers": containers, "priority": priority, "priorityClassName": "some"},
        "status": {"phase": phase, "qosClass": "Burstable"},
    }
    return msgspec.convert(pod, resources.Pod)


def mirror(name, config_hash, **more):
    """What anybody may make who may make pods: a claim on a directory."""
    annotations = {"kubernetes.io/config.mirror": "x", "kubernetes.io/config.hash": config_hash}
    return api_pod(name, annotations=annotations, **more)


@pytest.fixture
def tree(tmp_path):
    """A cgroup tree to which pods' directories are added; the id of each is returned."""
    root = tmp_path / "cgroup"
    root.mkdir()
    (root / "cgroup.controllers").touch()

    def add(uid, *, cpuset=None):
        path = root / "kubepods" / f"pod{uid}"
        (path / "app").mkdir(parents=True)
        (root / "kubepods/cpuset.cpus.effective").write_text("0-7\n")
        if cpuset:
            for name in ("cpuset.cpus", "cpuset.cpus.effective"):
                (path / "app" / name).write_text(f"{cpuset}\n")
        return path.stat().st_ino

    add.root = root
    return add


@pytest.fixture
def source(tree, tmp_path, monkeypatch, events):
    """A source whose reflectors are fed by hand. told: what it told the loop; pods(...) and node(...) feed it."""
    monkeypatch.setattr(node_source, "read_machine", lambda: MACHINE)
    file = tmp_path / "agent.yaml"
    file.write_text("node_name: n1\n")
    settings = LiveSettings(Sources(file, {}, ((SET, f"cgroups.root={tree.root}"),)))
    made = NodeSource(settings, None, RunDir(tmp_path / "run"))
    made.told = []
    made.bind(lambda: made.told.append("change"), lambda: made.told.append("switch"))
    made.file, made.settings = file, settings

    def pods(*found):
        made.pods.objects, made.pods.synced = {each.metadata.uid: from_api(each) for each in found}, True
        made.pods._tell()

    def node(annotations, *, there=True, uid="u"):
        made.node.objects, made.node.synced = ({uid: annotations or {}} if there else {}), True
        made.node._tell()

    made.feed_pods, made.feed_node = pods, node
    return made


def members(plan):
    return {member.cgroup_id: member.layer for member in plan.members}


def view(source, name):
    return next(each for each in source.views if each.pod.name == name)


class TestReadiness:
    def test_both_must_have_been_listed(self, source):
        assert source.not_ready() == "waiting for the node object"
        source.node.trouble = "403 nodes is forbidden"
        assert source.not_ready() == "waiting for the node object: 403 nodes is forbidden"
        source.feed_node({})
        assert source.not_ready() == "waiting for the pods"
        source.pods.trouble = "500 no"
        assert source.not_ready() == "waiting for the pods: 500 no"
        source.feed_pods()
        assert source.not_ready() == ""

    def test_a_node_that_is_not_there_is_waited_for(self, source):
        source.feed_node(None, there=False)
        source.feed_pods()
        assert source.not_ready() == "waiting for the node object: there is no node n1"
        source.feed_node(None)
        assert source.not_ready() == ""

    def test_trouble_is_the_nodes_before_the_pods(self, source):
        assert source.trouble() == ""
        source.pods.trouble = "pods"
        assert source.trouble() == "pods"
        source.node.trouble = "node"
        assert source.trouble() == "node"

    def test_what_is_asked_of_the_api_server(self, source):
        assert source.node._fields == "metadata.name=n1"
        assert source.pods._fields == "spec.nodeName=n1"
        assert source.pods._namespace == "*"


class TestSwitch:
    def test_it_follows_the_annotations(self, source):
        source.feed_node({})
        assert source.safe_mode_reason() is None
        source.feed_node({SWITCH_ANNOTATIONS[1]: "true"})
        assert source.safe_mode_reason() == f"node annotation {SWITCH_ANNOTATIONS[1]}=true"
        source.feed_node({SWITCH_ANNOTATIONS[1]: "false"})
        assert source.safe_mode_reason() is None
        assert source.told == ["switch"] * 3

    def test_a_node_that_is_gone_leaves_it_as_it_was(self, source):
        source.feed_node({SWITCH_ANNOTATIONS[0]: "true"})
        source.feed_node(None, there=False)
        assert source.safe_mode_reason() == f"node annotation {SWITCH_ANNOTATIONS[0]}=true"
        source.feed_pods()
        assert source.not_ready() == ""

    def test_a_node_made_anew_does_not_release_it(self, source):
        source.feed_node({SWITCH_ANNOTATIONS[0]: "true"})
        source.feed_node({}, uid="another")
        assert "made anew" in source.safe_mode_reason()
        source.feed_node({"other": "1"}, uid="another")
        assert source.safe_mode_reason().count("made anew") == 1
        source.feed_node({SWITCH_ANNOTATIONS[0]: "false"}, uid="another")
        assert source.safe_mode_reason() is None

    def test_only_a_switch_that_moves_starts_the_stopwatch(self, source):
        source.feed_node({})
        first = source.switch_heard_ns()
        assert first > 0
        source.feed_node({"other": "1"})
        assert source.switch_heard_ns() == first
        source.feed_node({SWITCH_ANNOTATIONS[0]: "true"})
        moved = source.switch_heard_ns()
        assert moved > first
        source.feed_node({SWITCH_ANNOTATIONS[0]: "true", "other": "2"})
        assert source.switch_heard_ns() == moved

    def test_an_unclear_one_is_on_and_logged_once(self, source, events):
        source.feed_node({SWITCH_ANNOTATIONS[0]: "yes"})
        source.feed_node({SWITCH_ANNOTATIONS[0]: "yes", "other": "1"})
        assert "neither true nor false" in source.safe_mode_reason()
        assert [name for name, _ in events] == ["unclear_switch"]


class TestPods:
    def test_a_pod_is_a_workload(self, source, tree):
        cgroup = tree("uid-web")
        source.feed_pods(api_pod("web", priority=CRITICAL, cpu="2"))
        plan = source.make_plan()
        assert members(plan) == {cgroup: "critical"}
        assert len(plan.layer("critical").cpus) == 2
        shown = describe(view(source, "web"))
        assert (shown["pod"], shown["tier"], shown["layer"]) == ("shop/web", "critical", "critical")
        assert (shown["request_millicpu"], shown["held_cpus"]) == (2000, [])
        assert shown["cgroups"] == ["kubepods/poduid-web"]
        assert source.told == ["change"]

    def test_the_drivers_setting_says_which_of_two_roots_counts(self, source, tree, tmp_path):
        tree("uid-web")
        own = tree.root / "kubepods.slice/kubepods-poduid_web.slice"
        own.mkdir(parents=True)
        sets = ((SET, f"cgroups.root={tree.root}"), (SET, "cgroups.driver=systemd"))
        made = NodeSource(LiveSettings(Sources(source.file, {}, sets)), None, RunDir(tmp_path / "run"))
        made.pods.objects = {"uid-web": from_api(api_pod("web"))}
        assert members(made.make_plan()) == {own.stat().st_ino: "normal"}

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_a_finished_pod_counts_for_nothing(self, source, tree, phase):
        tree("uid-done")
        web = tree("uid-web")
        source.feed_pods(api_pod("done", priority=CRITICAL, phase=phase), api_pod("web"))
        assert members(source.make_plan()) == {web: "normal"}
        assert [each.pod.name for each in source.views] == ["web"]

    def test_a_pod_that_is_being_deleted_keeps_its_tier(self, source, tree):
        cgroup = tree("uid-web")
        pod = api_pod("web", priority=HIGH)
        deleted = msgspec.structs.replace(
            pod, metadata=msgspec.structs.replace(pod.metadata, deletionTimestamp="2026-01-01T00:00:00Z")
        )
        source.feed_pods(deleted)
        assert members(source.make_plan()) == {cgroup: "high"}

    def test_system_pods_join_the_system_layer(self, source, tree):
        cgroup = tree("uid-proxy")
        source.feed_pods(api_pod("proxy", priority=SYSTEM_PRIORITY))
        assert members(source.make_plan()) == {cgroup: "system"}
        assert describe(view(source, "proxy"))["tier"] == "system"

    def test_a_real_uid_beats_a_mirrors_claim_on_it(self, source, tree):
        cgroup = tree("uid-victim")
        source.feed_pods(
            mirror("attacker", "uid-victim"), api_pod("victim", priority=CRITICAL), mirror("zzz", "uid-victim")
        )
        assert members(source.make_plan()) == {cgroup: "critical"}
        assert view(source, "attacker").cgroups == view(source, "zzz").cgroups == ()

    def test_of_two_mirrors_none_has_it(self, source, tree):
        tree("hash")
        source.feed_pods(mirror("b", "hash", priority=HIGH), mirror("a", "hash"))
        assert members(source.make_plan()) == {}
        assert [len(each.cgroups) for each in source.views] == [0, 0]

    def test_a_static_pod_is_found_by_its_hash(self, source, tree):
        cgroup = tree("hash")
        source.feed_pods(mirror("static", "hash", priority=HIGH))
        assert members(source.make_plan()) == {cgroup: "high"}

    def test_a_pod_without_a_cgroup_is_noted(self, source, tree):
        source.feed_pods(api_pod("late", priority=CRITICAL))
        plan = source.make_plan()
        assert (plan.members, [finding.place for finding in plan.findings]) == ((), ["pod shop/late"])

    def test_thresholds_that_changed_count_at_once(self, source, tree):
        cgroup = tree("uid-web")
        source.feed_pods(api_pod("web", priority=HIGH))
        source.file.write_text("node_name: n1\ntiers:\n  thresholds:\n    critical: 100000\n    high: 50000\n")
        source.settings.reload()
        assert members(source.make_plan()) == {cgroup: "critical"}

    def test_a_quota_and_a_ceiling_that_changed_count_at_once(self, source, tree):
        tree("uid-web")
        source.feed_pods(api_pod("web", priority=HIGH))
        before = source.make_plan()
        assert source.make_plan() == before
        source.file.write_text("node_name: n1\ntiers:\n  quota: {high: strict}\n  ceiling: {high: 500m}\n")
        source.settings.reload()
        high = source.make_plan().layer("high")
        assert (before.layer("high").smooth_periods, before.layer("high").ceiling_millicpu) == (10, 0)
        assert (high.smooth_periods, high.ceiling_millicpu) == (0, 500)


class TestHeldCpus:
    def test_a_critical_pod_that_holds_cpus_goes_with_high_and_asks_for_none(self, source, tree):
        pinned, web = tree("uid-pinned", cpuset="2-3"), tree("uid-web")
        source.feed_pods(api_pod("pinned", priority=CRITICAL, cpu="2"), api_pod("web", priority=CRITICAL, cpu="6"))
        plan = source.make_plan()
        assert members(plan) == {pinned: "high", web: "critical"}
        assert layer_of(view(source, "pinned")) == "high"
        shown = describe(view(source, "pinned"))
        assert (shown["tier"], shown["held_cpus"], shown["request_millicpu"]) == ("critical", [2, 3], 2000)
        owned = {cpu for layer in plan.layers for cpu in layer.cpus}
        assert not owned & {2, 3}
        assert len(plan.layer("high").cpus) <= 1  # a tier in use has at least one

    @pytest.mark.parametrize(
        ("priority", "layer"), [(HIGH, "high"), (0, "normal"), (-100, "low"), (SYSTEM_PRIORITY, "system")]
    )
    def test_any_other_keeps_its_layer_and_asks_for_none(self, source, tree, priority, layer):
        pinned = tree("uid-pinned", cpuset="2-3")
        source.feed_pods(api_pod("pinned", priority=priority, cpu="4"))
        plan = source.make_plan()
        assert members(plan) == {pinned: layer}
        assert len(plan.layer(layer).cpus) <= 1

    def test_a_machine_whose_cpus_are_all_held_is_left_as_it_is(self, source, tree):
        tree("uid-a", cpuset="0-3")
        tree("uid-b", cpuset="4-7")
        web = tree("uid-web")
        source.feed_pods(api_pod("a"), api_pod("b"), api_pod("web", priority=CRITICAL, cpu="2"))
        plan = source.make_plan()
        assert members(plan)[web] == "critical"
        assert len(plan.layer("critical").cpus) == 2

    def test_a_finished_pod_holds_nothing(self, source, tree):
        tree("uid-done", cpuset="0-5")
        tree("uid-web")
        source.feed_pods(api_pod("done", phase="Succeeded"), api_pod("web", priority=CRITICAL, cpu="6"))
        assert len(source.make_plan().layer("critical").cpus) == 6
