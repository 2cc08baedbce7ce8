"""`temper` and `python -m temper`. What takes longest starts first; everything else is imported after."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from temper.agent.spawn import Spawned


def main() -> int:
    """Run the command in sys.argv; returns the exit status."""
    if sys.argv[1:2] == ["engine"]:
        # msgspec takes three names from here if it can, which costs a quarter of the engine's start, and from the
        # standard library otherwise.
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]
        from temper.engine.main import main as engine

        return engine(sys.argv[2:])
    spawned = early_engine(sys.argv[1:])
    from temper.cli.main import main as cli

    return cli(sys.argv[1:], spawned)


def early_engine(arguments: list[str]) -> Spawned | None:
    """The engine for a command that will attach: it loads the scheduler while this process imports and plans.

    Nothing is attached by it. If the command then fails, its engine ends with it.
    """
    if arguments[:1] != ["run"] or {"-h", "--help"} & set(arguments):
        return None
    from temper.agent.spawn import ready_to_spawn, spawn_engine

    if not ready_to_spawn():
        return None
    spawned = spawn_engine()
    with contextlib.suppress(OSError):  # it has ended already: the supervisor starts another
        spawned.start()
    return spawned


if __name__ == "__main__":
    sys.exit(main())
