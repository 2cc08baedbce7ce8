"""What is handed to the guest: the initramfs and the kernel's BTF."""

from __future__ import annotations

import gzip
import struct

import pytest
from testbed import btf, initramfs
from testbed.progress import TestbedError


def _elf(name: str, content: bytes) -> bytes:
    """A 64-bit ELF file with one named section after the empty one, and the section names."""
    names = b"\0" + name.encode() + b"\0.shstrtab\0"
    body = content + names
    table = 64 + len(body)
    header = b"\x7fELF\x02\x01".ljust(0x28, b"\0") + struct.pack("<Q", table)
    header = header.ljust(0x3A, b"\0") + struct.pack("<HHH", 64, 3, 2)

    def section(name_at: int, offset: int, size: int) -> bytes:
        return (struct.pack("<I", name_at).ljust(0x18, b"\0") + struct.pack("<QQ", offset, size)).ljust(64, b"\0")

    names_at = 64 + len(content)
    sections = [section(0, 0, 0), section(1, 64, len(content)), section(2 + len(name), names_at, len(names))]
    return header + body + b"".join(sections)


def _bzimage(payload: bytes) -> bytes:
    image = bytearray(0x400)
    image[0x1F1] = 1
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x20E, 0x100)
    struct.pack_into("<II", image, 0x248, 0, len(payload) + 4)
    image[0x300:0x315] = b"7.3.4-x (builder) #1\0"
    return bytes(image) + payload + bytes(4)


def test_btf_of_a_compressed_kernel() -> None:
    image = _bzimage(gzip.compress(_elf(".BTF", b"types")))
    assert btf.release(image) == "7.3.4-x"
    assert btf.kernel_btf(image) == b"types"


def test_what_is_no_kernel_is_named() -> None:
    with pytest.raises(TestbedError, match="bzImage"):
        btf.kernel_btf(bytes(4096))
    with pytest.raises(TestbedError, match=r"no section \.BTF"):
        btf.kernel_btf(_bzimage(gzip.compress(_elf(".text", b""))))


def test_modules_come_after_what_they_need(tmp_path) -> None:
    (tmp_path / "modules.dep").write_text(
        "kernel/core.ko.xz:\nkernel/nvme-core.ko.xz: kernel/core.ko.xz\n"
        "kernel/nvme.ko.xz: kernel/nvme-core.ko.xz kernel/core.ko.xz\nkernel/virtio_blk.ko: kernel/core.ko.xz\n"
    )
    found = initramfs.with_dependencies(tmp_path, ("nvme", "virtio_blk", "ext4"))
    assert [path.name for path in found] == ["core.ko.xz", "nvme-core.ko.xz", "nvme.ko.xz", "virtio_blk.ko"]


def test_no_modules_at_all(tmp_path) -> None:
    assert initramfs.with_dependencies(tmp_path, ("nvme",)) == []


def test_cpio_entries_are_aligned() -> None:
    archive = initramfs.Archive()
    archive.file("a", b"12345", 0o755)
    data = archive.finish()
    assert data.startswith(b"070701")
    assert data[6 + 8 : 6 + 16] == b"000081ed"
    assert data[112:117] == b"12345"
    assert data[120:126] == b"070701"
