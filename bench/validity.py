"""When a measured window proves nothing. Each rule returns its reasons, in words: none when it has nothing to say."""

from __future__ import annotations

# The load generator is no bottleneck, and sends what was planned.
RATE_TOLERANCE = 0.03
LATENESS_SHARE = 0.25  # the client's own p99 delay, of the latency's p99
# memcached's cpu time with nothing else running, of all cpus of the node, where two of three are its own.
BUSY = (0.50, 0.70)
BUSY_OWN_SHARE = 2 / 3


def wrong_scheduler(seen: str, wanted: str) -> list[str]:
    """Who decided over the window: "stock", or the attached scheduler's name; several are joined by a comma."""
    return [] if seen == wanted else [f"ops was {seen}, not {wanted}, throughout"]


def wrong_rate(rate: float, offered: float, requests: int) -> list[str]:
    """Requests a second, as sent and as planned. Poisson arrivals scatter by the square root of their number."""
    tolerance = max(RATE_TOLERANCE, 3 / max(1, requests) ** 0.5)
    if abs(rate / offered - 1) <= tolerance:
        return []
    return [f"{rate} requests a second were sent, {offered} offered"]


def late_client(lateness_p99_ms: float, latency_p99_ms: float) -> list[str]:
    """The client's own delay is a part of what it measures."""
    if lateness_p99_ms <= LATENESS_SHARE * latency_p99_ms:
        return []
    return [f"the client itself was {lateness_p99_ms} ms late"]


def wrong_busyness(share: float, bounds: tuple[float, float] = BUSY) -> list[str]:
    """An idle service waits for nothing, and an overloaded one for itself. share, bounds: of the node's cpus."""
    least, most = bounds
    if least <= share <= most:
        return []
    return [f"memcached used {share:.0%} of the cpus, not {least:.0%} to {most:.0%}"]


def lost_requests(count: int) -> list[str]:
    """Every request is answered."""
    return [f"{count} requests were lost"] if count else []
