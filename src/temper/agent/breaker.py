"""The crash-loop breaker: how long to wait before another attach, and when to stop trying.

Pure: time is passed in. A lost engine or an ejection costs a wait that doubles; several in a short while
latch the breaker, and then only a person (safe mode on and off) or a changed cause re-engages.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 30.0
# Five losses in ten minutes are no accident. Ejections (the kernel or our own guard threw the scheduler out)
# weigh more than an engine that was killed: two of them in that time latch.
WINDOW_S = 600.0
MOST_LOSSES = 5
MOST_EJECTIONS = 2


@dataclass(slots=True)
class Breaker:
    """Losses within the window, oldest first."""

    losses: list[tuple[float, bool]] = field(default_factory=list)

    def lost(self, now_s: float, *, ejected: bool) -> float | None:
        """Record one loss. Seconds to wait before the next attach, or None: latched."""
        self.losses = [loss for loss in self.losses if now_s - loss[0] < WINDOW_S]
        self.losses.append((now_s, ejected))
        if len(self.losses) >= MOST_LOSSES or sum(was for _, was in self.losses) >= MOST_EJECTIONS:
            return None
        return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (len(self.losses) - 1))

    def reset(self) -> None:
        """A person re-engaged: start counting anew."""
        self.losses.clear()
