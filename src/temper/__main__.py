"""`temper` and `python -m temper`. The engine's own start skips the command line's imports."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command in sys.argv; returns the exit status."""
    if sys.argv[1:2] == ["engine"]:
        from temper.engine.main import main as engine

        return engine(sys.argv[2:])
    from temper.cli.main import main as cli

    return cli(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
