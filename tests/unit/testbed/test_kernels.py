"""Which kernel a version means, and which packages make it."""

from __future__ import annotations

import pytest
from testbed import kernels
from testbed.progress import TestbedError

NAMES = [
    "linux-base-7.3.4+deb13-cloud-amd64",
    "linux-binary-7.3.4+deb13-cloud-amd64",
    "linux-binary-unsigned-7.3.4+deb13-cloud-amd64",
    "linux-image-7.3.4+deb13-cloud-amd64",
    "linux-image-7.3.4+deb13-cloud-amd64-dbg",
    "linux-modules-7.3.4+deb13-cloud-amd64",
    "linux-modules-7.3.4+deb13-amd64",
    "linux-binary-6.19.14+deb13-cloud-amd64",
    "linux-image-6.19.14+deb13-cloud-amd64",
    "linux-image-6.16.3+deb13-cloud-amd64",
    "linux-modules-6.15.1+deb13-cloud-amd64",
    "linux-image-cloud-amd64",
]


def test_packages_of_each_version() -> None:
    offer = kernels.offered(NAMES)
    assert set(offer) == {"7.3.4", "6.19.14", "6.16.3"}
    assert set(offer["7.3.4"]) == {"base", "binary", "modules"}
    assert set(offer["6.19.14"]) == {"binary"}
    assert offer["6.16.3"] == {"image": "linux-image-6.16.3+deb13-cloud-amd64"}


@pytest.mark.parametrize(
    ("prefix", "version"),
    [("", "7.10.1"), ("7", "7.10.1"), ("7.3", "7.3.4"), ("6.19", "6.19.14"), ("6.19.2", "6.19.2")],
)
def test_newest_by_whole_numbers(prefix: str, version: str) -> None:
    assert kernels.newest(["6.19.2", "6.19.14", "7.3.4", "7.10.1", "7.2.12"], prefix) == version


def test_an_unknown_version_lists_the_known_ones() -> None:
    with pytest.raises(TestbedError, match=r"no kernel 6\.1 .*: 6\.19\.14, 7\.3\.4"):
        kernels.newest(["7.3.4", "6.19.14"], "6.1")


def test_neither_a_version_nor_a_path() -> None:
    with pytest.raises(TestbedError, match="neither a version"):
        kernels.get("latest")
