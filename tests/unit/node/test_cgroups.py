import os

import pytest

from temper.errors import Refused
from temper.node.cgroups import CgroupDir, Cgroups

DIRS = (
    "demo.slice/memcached-1.scope",
    "demo.slice/memcached-2.scope/payload",
    "demo.slice/web.service",
    "demo.slice/[odd]",
    "system.slice/web.service",
    "system.slice/_memory.service",
    "user.slice/user-1.slice/web.service/sub",
)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    for name in DIRS:
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "demo.slice/memcached-stats").write_text("a file, not a cgroup")
    outside = tmp_path.with_name(f"{tmp_path.name}-outside")
    (outside / "memcached-secret").mkdir(parents=True)
    (tmp_path / "demo.slice/memcached-link").symlink_to(outside)
    return tmp_path


def paths(found):
    return [cgroup.path for cgroup in found]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("demo.slice", ["demo.slice"]),
        ("demo.slice/memcached*", ["demo.slice/memcached-1.scope", "demo.slice/memcached-2.scope"]),
        ("demo.slice/memcached-?.scope", ["demo.slice/memcached-1.scope", "demo.slice/memcached-2.scope"]),
        ("demo.slice/memcached-[!1]*", ["demo.slice/memcached-2.scope"]),
        ("*/web.service", ["demo.slice/web.service", "system.slice/web.service"]),
        ("**/payload", ["demo.slice/memcached-2.scope/payload"]),
        (
            "user.slice/**",
            [*(f"user.slice/user-1.slice{rest}" for rest in ("", "/web.service", "/web.service/sub"))],
        ),
        ("demo.slice/**/web.service", ["demo.slice/web.service"]),
        ("**/**/web.service/sub", ["user.slice/user-1.slice/web.service/sub"]),
        ("**/" * 1200 + "sub", ["user.slice/user-1.slice/web.service/sub"]),
        ("demo.slice/[[]odd]", ["demo.slice/[odd]"]),
        ("demo.slice/[odd", []),
        ("demo.slice/[z-a]", []),
        ("nothing/here", []),
        ("demo.slice/memcached-stats", []),
        ("demo.slice/memcached-link", []),
        ("demo.slice/memcached-link/*", []),
        ("demo.slice/memcached-link/memcached-secret", []),
        ("**/memcached-secret", []),
        ("../*", []),
        ("demo.slice/../*", []),
        ("/demo.slice", []),
        ("", []),
        ("a\0b", []),
    ],
)
def test_globs(root, glob, expected):
    assert paths(Cgroups(root).match(glob)) == expected


def test_two_stars_alone_are_all_but_the_root(root):
    everything = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir() and not path.is_symlink()}
    assert set(paths(Cgroups(root).match("**"))) == {p for p in everything if "memcached-link" not in p}


def test_the_id_is_the_inode(root):
    assert Cgroups(root).match("demo.slice") == (CgroupDir("demo.slice", (root / "demo.slice").stat().st_ino),)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (
            "web.service",
            ["demo.slice/web.service", "system.slice/web.service", "user.slice/user-1.slice/web.service"],
        ),
        ("memory.service", ["system.slice/_memory.service"]),
        ("web*", []),
        ("user-1.slice", ["user.slice/user-1.slice"]),
    ],
)
def test_units(root, unit, expected):
    assert paths(Cgroups(root).match_unit(unit)) == expected


def test_directories_may_vanish_during_a_walk(root, monkeypatch):
    scandir = os.scandir

    def slow_scandir(path):
        if str(path).endswith("user-1.slice"):
            raise FileNotFoundError
        entries = scandir(path)
        if str(path).endswith("system.slice"):
            (root / "system.slice/web.service").rmdir()
        return entries

    monkeypatch.setattr(os, "scandir", slow_scandir)
    assert paths(Cgroups(root).match_unit("web.service")) == ["demo.slice/web.service"]


def test_deep_trees_are_walked(root):
    deep = root
    for _ in range(300):
        deep = deep / "d"
        deep.mkdir()
    assert len(Cgroups(root).match("d/**")) == 299


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (["cpu"], r"is not cgroup v2; Temper needs cgroup v2, not v1"),
        (["unified"], r"a v1 tree beside a v2 one at .*unified; .*unified_cgroup_hierarchy=1"),
        (None, r"there is no cgroup tree at"),
    ],
)
def test_only_v2_is_read(tmp_path, make, message):
    root = tmp_path / "cgroup"
    for name in make or ():
        (root / name).mkdir(parents=True)
        (root / name / "cgroup.controllers").touch()
    with pytest.raises(Refused, match=message):
        Cgroups(root)
