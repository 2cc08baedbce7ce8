from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.agent.node_source import PodView
from temper.agent.quotas import MAX_SHOWN, quota_views
from temper.node.cgroups import CgroupDir
from temper.plan.pod_tiers import Decision
from temper.plan.pods import Container, Pod
from temper.plan.tiers import Tier
from temper.wire.messages import QuotaStats

APP, LOG = "a" * 64, "b" * 64
WEB = Pod(
    uid="u",
    namespace="shop",
    name="web",
    containers=(Container(name="app", id=APP), Container(name="log", id=LOG), Container(name="not-yet")),
)
POD = "kubepods.slice/kubepods-podu.slice"


def seen(path, *, cgroups=(POD,)):
    """What is made of one quota whose cgroup is at this path."""
    view = PodView(WEB, Decision(Tier.HIGH, "because"), tuple(CgroupDir(each, 1) for each in cgroups), None, None, [])
    stats = QuotaStats(7, 1, 1, 0, 0, 0, 0)
    facts = SimpleNamespace(
        status=SimpleNamespace(quotas=(stats,)),
        cgroup_paths=SimpleNamespace(find=lambda ids: dict.fromkeys(ids, path)),
        views=[view],
    )
    (found,) = quota_views(facts)
    assert (found.stats, found.path) == (stats, path)
    return found.pod and found.pod.key, found.container, found.is_named


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (POD, ("shop/web", "", True)),
        (f"{POD}/cri-containerd-{APP}.scope", ("shop/web", "app", True)),
        (f"{POD}/crio-{LOG}.scope", ("shop/web", "log", True)),
        (f"{POD}/{LOG}", ("shop/web", "log", True)),
        (f"{POD}/cri-containerd-{'c' * 64}.scope", ("shop/web", "", False)),  # the pause container, or one that ended
        (f"{POD}/cri-containerd-{APP}.scope/system.slice/a.service", ("shop/web", "app", False)),
        (f"{POD}/other", ("shop/web", "", False)),
        ("kubepods.slice", (None, "", False)),
        (f"{POD}x", (None, "", False)),
        (f"system.slice/{APP}", (None, "", False)),
    ],
)
def test_whose_it_is(path, expected):
    assert seen(path) == expected


def test_where_the_drivers_mismatch_the_containers_are_all_there_is():
    strays = [f"system.slice/kubepods-podu.slice:cri-containerd:{each}" for each in (APP, LOG, "c" * 64)]
    assert [seen(each, cgroups=strays) for each in strays] == [
        ("shop/web", "app", True),
        ("shop/web", "log", True),
        ("shop/web", "", False),
    ]


def test_what_is_gone_is_left_out(node):
    assert quota_views(node.facts()) == []


@given(st.lists(st.text(st.characters(exclude_characters="/")), min_size=1).map("/".join))
def test_whatever_it_is_called_it_can_be_shown(path):
    facts = SimpleNamespace(
        status=SimpleNamespace(quotas=(QuotaStats(7, 1, 1, 0, 0, 0, 0),)),
        cgroup_paths=SimpleNamespace(find=lambda ids: dict.fromkeys(ids, path)),
        views=[],
    )
    (found,) = quota_views(facts)
    assert found.shown.isprintable()
    assert len(found.shown) <= MAX_SHOWN
    assert msgspec.json.encode(found.shown)
