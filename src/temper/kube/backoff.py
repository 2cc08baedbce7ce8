"""How long to stay away from an API server that had trouble."""

from __future__ import annotations

import random

from temper.kube.client import retry_after_s

SPREAD = 0.2


class Backoff:
    """Waits that double from first_s to longest_s, with jitter, and are no shorter than the server asks for.

    A thousand nodes don't ask at once when the server returns: each wait is half to one and a half times its length,
    one that the server asks for up to a fifth longer. More than longest_s no server gets.
    """

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._wait_s = first_s

    def reset(self) -> None:
        """It went well: the next wait is the first again."""
        self._wait_s = self._first_s

    def next_s(self, error: BaseException) -> float:
        """Seconds to wait after this error; the wait after that will be longer."""
        wait_s = self._wait_s * random.uniform(0.5, 1.5)  # noqa: S311 - spreads the load, guards nothing
        least_s = min(self._longest_s, retry_after_s(error)) * random.uniform(1, 1 + SPREAD)  # noqa: S311
        self._wait_s = min(self._longest_s, 2 * self._wait_s)
        return max(wait_s, least_s)
