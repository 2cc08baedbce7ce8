"""The crash-loop breaker: how long to wait before another attach, and when to stop trying.

Pure: time is passed in. A lost engine or an ejection costs a wait that doubles; several in a short while
latch the breaker, and then only a person (safe mode on and off) or a changed cause re-engages.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from temper.settings.defaults import MOST_EJECTIONS, MOST_LOSSES, WINDOW_S

FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 30.0


@dataclass(slots=True)
class Breaker:
    """Losses within the window, oldest first. The limits may change while it counts; the next loss meets them."""

    losses: list[tuple[float, bool]] = field(default_factory=list)
    most_losses: int = MOST_LOSSES
    most_ejections: int = MOST_EJECTIONS
    window_s: float = WINDOW_S

    def lost(self, now_s: float, *, ejected: bool) -> float | None:
        """Record one loss. Seconds to wait before the next attach, or None: latched."""
        self.losses = [loss for loss in self.losses if now_s - loss[0] < self.window_s]
        self.losses.append((now_s, ejected))
        ejections = sum(was for _, was in self.losses)
        if len(self.losses) >= self.most_losses or ejections >= self.most_ejections:
            return None
        return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (len(self.losses) - 1))

    def reset(self) -> None:
        """A person re-engaged: start counting anew."""
        self.losses.clear()
