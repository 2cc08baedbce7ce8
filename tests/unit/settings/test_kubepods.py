from __future__ import annotations

import pytest

from temper.settings.kubepods import CgroupDriver, driver_of, is_kubepods, is_kubepods_path_or_empty, is_of


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kubepods", True),
        ("kubepods.slice", True),
        ("kubelet-kubepods.slice", True),
        ("batch-my_nodes-kubepods.slice", True),
        ("kubepods-burstable.slice", False),
        ("mykubepods.slice", False),
        ("my-kubepods", False),
        ("kubepods.slice.d", False),
    ],
)
def test_kubepods_roots(name, expected):
    assert is_kubepods(name) is expected


@pytest.mark.parametrize("path", ["", "kubepods", "a.slice/a-kubepods.slice", "a/b/c/d/e/f/g/kubepods"])
def test_paths(path):
    assert is_kubepods_path_or_empty(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "..",
        "/kubepods",
        "../kubepods",
        "a/../kubepods",
        "a//kubepods",
        "kubepods/",
        "kubelet.slice",
        "a*/kubepods",
        "a\0/kubepods",
        "a\udcff/kubepods",
        "a\x1b/kubepods",
    ],
)
def test_other_paths(path):
    assert not is_kubepods_path_or_empty(path)


@pytest.mark.parametrize(("kubepods", "driver"), [("a.slice/a-kubepods.slice", "systemd"), ("a/kubepods", "cgroupfs")])
def test_whose_root_it_is(kubepods, driver):
    assert driver_of(kubepods) == driver
    assert [setting for setting in CgroupDriver if is_of(setting, kubepods)] == [CgroupDriver.AUTO, driver]
