"""The fragment's lines that a configured kernel does not have."""

from __future__ import annotations

from testbed import kernel_build

FRAGMENT = """\
# why
CONFIG_A=y
CONFIG_B="text"
CONFIG_GONE=y
# CONFIG_OFF is not set
# CONFIG_FORCED is not set
# CONFIG_UNHEARD is not set
"""
CONFIG = """\
# Automatically generated file; DO NOT EDIT.
CONFIG_A=y
CONFIG_B="text"
CONFIG_FORCED=y
# CONFIG_OFF is not set
CONFIG_GONE_TOO=y
"""


def test_lines_that_did_not_survive() -> None:
    assert kernel_build.lost_lines(FRAGMENT, CONFIG) == ["CONFIG_GONE=y", "# CONFIG_FORCED is not set"]


def test_the_fragment_has_what_the_test_bed_asks_of_a_kernel() -> None:
    lines = kernel_build.FRAGMENT.read_text().splitlines()
    for name in (
        "BLK_DEV_NVME",
        "EXT4_FS",
        "VIRTIO_PCI",
        "VIRTIO_CONSOLE",
        "VIRTIO_FS",
        "VIRTIO_NET",
        "SCHED_CLASS_EXT",
    ):
        assert f"CONFIG_{name}=y" in lines
