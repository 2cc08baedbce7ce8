"""The command line of `testbed/kernel-btf`."""

from __future__ import annotations

import argparse
from pathlib import Path

from testbed import btf, host, kernels
from testbed.progress import TestbedError, be_quiet, say


def main() -> int:
    """Entry of testbed/kernel-btf."""
    parser = argparse.ArgumentParser(
        prog="testbed/kernel-btf",
        description="Save a kernel's raw BTF (what /sys/kernel/btf/vmlinux would show), without booting it.",
        epilog="example: testbed/kernel-btf 7.2.12 tests/data/7.2.12.btf",
    )
    parser.add_argument("kernel", metavar="VERSION|PATH", help="as for testbed/run --kernel")
    parser.add_argument("file", type=Path, metavar="OUTFILE", help="where to write it")
    parser.add_argument("--quiet", action="store_true", help="say nothing about progress")
    options = parser.parse_args()
    be_quiet(options.quiet)
    try:
        host.ensure()
        kernel = kernels.get(options.kernel)
        data = btf.kernel_btf(kernel.image.read_bytes())
    except TestbedError as error:
        be_quiet(False)
        say(str(error))
        return 1
    options.file.write_bytes(data)
    say(f"{kernel.release}: {len(data)} bytes of BTF in {options.file}")
    return 0
