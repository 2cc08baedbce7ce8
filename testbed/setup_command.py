"""The command line of `testbed/setup`."""

from __future__ import annotations

import argparse

from testbed import host
from testbed.progress import TestbedError, be_quiet, say


def main() -> int:
    """Entry of testbed/setup."""
    parser = argparse.ArgumentParser(
        prog="testbed/setup",
        description="Install the Debian packages that building and testing need (as root; Debian 12 and 13).",
    )
    parser.add_argument("--list", action="store_true", help="print the packages instead")
    parser.add_argument("--quiet", action="store_true", help="say nothing about progress")
    options = parser.parse_args()
    be_quiet(options.quiet)
    if options.list:
        print("\n".join(host.packages(host.codename())))
        return 0
    try:
        host.install()
    except TestbedError as error:
        be_quiet(False)
        say(str(error))
        return 1
    return 0
