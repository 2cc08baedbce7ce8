import pytest

from temper.node import cgroup_paths
from temper.node.cgroup_paths import CgroupPaths


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """tree("a/b") makes a directory and gives its id; tree.listed: every directory that was listed."""
    listed = []
    children = CgroupPaths._children

    def note(self, path):
        listed.append(path)
        return children(self, path)

    monkeypatch.setattr(CgroupPaths, "_children", note)

    def make(path):
        (tmp_path / path).mkdir(parents=True)
        return (tmp_path / path).stat().st_ino

    make.root, make.listed = tmp_path, listed
    return make


def test_paths_are_found_by_id(tree):
    deep, shallow = tree("a/b/c"), tree("d")
    (tree.root / "a/file").touch()
    (tree.root / "link").symlink_to("a")
    assert CgroupPaths(str(tree.root)).find([deep, shallow, 1]) == {deep: "a/b/c", shallow: "d"}


def test_what_is_known_costs_nothing_and_what_is_not_there_one_walk(tree):
    paths, there = CgroupPaths(str(tree.root)), tree("a")
    paths.find([there, 1])
    walked = len(tree.listed)
    assert paths.find([1, there]) == {there: "a"}
    assert len(tree.listed) == walked
    new = tree("b")
    assert paths.find([1, there, new]) == {there: "a", new: "b"}


def test_what_is_no_longer_asked_for_is_forgotten(tree):
    paths, there = CgroupPaths(str(tree.root)), tree("a")
    paths.find([there])
    assert paths.find([]) == {}
    (tree.root / "a").rename(tree.root / "b")
    assert paths.find([there]) == {there: "b"}


def test_a_walk_ends_with_the_last_that_was_wanted_and_has_a_bound(tree, monkeypatch):
    shallow, deep = tree("a"), tree("b/c/d")
    assert CgroupPaths(str(tree.root)).find([shallow]) == {shallow: "a"}
    assert tree.listed == [""]
    monkeypatch.setattr(cgroup_paths, "MAX_LISTED", 2)
    assert CgroupPaths(str(tree.root)).find([deep]) == {}


def test_a_tree_that_is_gone_has_none(tree):
    assert CgroupPaths(str(tree.root / "gone")).find([1]) == {}
