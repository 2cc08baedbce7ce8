"""The kernel's BTF, read from a compressed kernel image."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import subprocess

from testbed.progress import TestbedError

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def release(image: bytes) -> str:
    """The release (`uname -r`) that a bzImage says it is (Documentation/arch/x86/boot.rst, kernel_version)."""
    if image[0x202:0x206] != b"HdrS":
        raise TestbedError("this file is no x86 kernel image (bzImage): its header magic is missing")
    start = struct.unpack_from("<H", image, 0x20E)[0] + 0x200
    return image[start : image.index(b"\0", start)].decode().split()[0]


def vmlinux(image: bytes) -> bytes:
    """The ELF file inside a bzImage. The payload's last four bytes are its length, not compressed data."""
    release(image)
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = image[start : start + length - 4]
    if payload.startswith(ZSTD_MAGIC):
        try:
            return subprocess.run(["zstd", "-dcq"], input=payload, stdout=subprocess.PIPE, check=True).stdout
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            raise TestbedError(f"could not decompress the kernel with zstd: {error}") from error
    if payload.startswith(b"\x1f\x8b"):
        return gzip.decompress(payload)
    if payload.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        return lzma.decompress(payload)
    if payload.startswith(b"BZh"):
        return bz2.decompress(payload)
    raise TestbedError(
        f"the kernel's compression (magic {payload[:4].hex()}) is unknown: zstd, gzip, xz, lzma and bzip2 are read"
    )


def section(elf: bytes, name: str) -> bytes:
    """The contents of one section of a 64-bit little-endian ELF file."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise TestbedError("not a 64-bit little-endian ELF file")
    table = struct.unpack_from("<Q", elf, 0x28)[0]
    entry_size, count, names_index = struct.unpack_from("<HHH", elf, 0x3A)

    def header(index: int) -> tuple[int, int, int]:
        name_at = struct.unpack_from("<I", elf, table + index * entry_size)[0]
        offset, size = struct.unpack_from("<QQ", elf, table + index * entry_size + 0x18)
        return name_at, offset, size

    names = header(names_index)[1]
    for index in range(count):
        name_at, offset, size = header(index)
        start = names + name_at
        if elf[start : elf.index(b"\0", start)].decode() == name:
            return elf[offset : offset + size]
    raise TestbedError(f"the file has no section {name}")


def kernel_btf(image: bytes) -> bytes:
    """The raw BTF (what /sys/kernel/btf/vmlinux shows) of a bzImage."""
    return section(vmlinux(image), ".BTF")
