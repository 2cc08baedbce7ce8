"""From records to the summary: figures of each phase, whether it is valid, and whether the claims hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.demo.records import Records, Span
from bench.demo.scene import PHASES, Scene
from bench.percentiles import ms
from bench.request_log import latencies
from bench.validity import late_client, lost_requests, wrong_busyness, wrong_rate, wrong_scheduler
from testbed.machine import ICOUNT_SHIFT

SUMMARY_VERSION = 1
# What the demo claims.
ATTACHED_OVER_IDLE = 1.3
LOADED_OVER_IDLE = 3.0
REATTACH_MS = 10_000.0


def observed(spans: Sequence[Span]) -> tuple[str, str]:
    """State and ops over a window; several are joined by `,` in order of appearance."""
    states = list(dict.fromkeys(span.state for span in spans))
    names = list(dict.fromkeys(span.ops or "stock" for span in spans))
    return ",".join(states), ",".join(names)


def summarize(records: Records, scene: Scene) -> dict[str, Any]:
    """The whole of summary.json."""
    phases = {name: phase(records, scene, name) for name in PHASES}
    phases["failover"] |= failover(records)
    phases["safe_mode"] |= safe_mode(records)
    body: dict[str, Any] = {"version": SUMMARY_VERSION, "clock": "virtual", "scene": scene.as_dict()}
    body |= {"longest_look_gap_ms": ms(records.longest_gap_ns)} | phases
    return body | {"checks": checks(phases)}


def phase(records: Records, scene: Scene, name: str) -> dict[str, Any]:
    """One phase's figures over its window; of the failover, over the part in which nobody was attached."""
    start, end = records.window(name)
    start_ns, end_ns = start.t_ns, end.t_ns
    if name == "failover":
        start_ns, end_ns = stock_window(records)
    seconds = (end_ns - start_ns) / 1e9
    figures = latencies(records.between(start_ns, end_ns))
    state, ops = observed(records.spans_between(start_ns, end_ns))
    used_us = end.data["cpu_us"]["memcached"] - start.data["cpu_us"]["memcached"]
    figures |= {
        "seconds": round(seconds, 3),
        "rate_offered": scene.rate,
        "rate": round(figures["requests"] / seconds, 1),
        "memcached_busy": round(used_us / 1e6 / ((end.t_ns - start.t_ns) / 1e9) / scene.cpus, 3),
        "state": state,
        "ops": ops,
    }
    reasons = invalid(name, figures)
    return figures | {"valid": not reasons, "reason": "; ".join(reasons)}


def invalid(name: str, figures: dict[str, Any]) -> list[str]:
    """Why a window proves nothing; empty when it does."""
    wanted = "temper" if name in ("attached", "reattached") else "stock"
    return [
        *wrong_scheduler(figures["ops"], wanted),
        *wrong_rate(figures["rate"], figures["rate_offered"], figures["requests"]),
        *late_client(figures["client_lateness_p99_ms"], figures["p99_ms"]),
        *(wrong_busyness(figures["memcached_busy"]) if name == "stock_idle" else ()),
        *(lost_requests(figures["lost"]) if name != "failover" else ()),
    ]


def first_span(records: Records, after_ns: int, *, ours: bool) -> Span:
    """The first span from a time on in which our scheduler decides, or is out and the kernel says so."""
    for span in records.spans:
        if span.start_ns >= after_ns and (span.ours if ours else span.state == "disabled"):
            return span
    raise ValueError(f"no change to {'temper' if ours else 'stock'} was seen after {after_ns}")


def stock_window(records: Records) -> tuple[int, int]:
    """From the kernel's `disabled` after the kill until it says `enabled` again."""
    kill_ns = records.event("kill").t_ns
    out_ns = first_span(records, kill_ns, ours=False).start_ns
    return out_ns, first_span(records, out_ns, ours=True).start_ns


def failover(records: Records) -> dict[str, Any]:
    """Times of falling back and of coming back, with what coming back is made of."""
    kill_ns = records.event("kill").t_ns
    out_ns, in_ns = stock_window(records)
    start_ns = records.event("agent_start", after_ns=kill_ns).t_ns
    status = records.event("agent_enforcing", after_ns=kill_ns).data["status"]
    took_ns = in_ns - start_ns
    breakdown = {name: ms(spent) for name, spent in (status.get("timings_ns") or {}).items()}
    return {
        "time_to_stock_ms": ms(out_ns - kill_ns),
        "time_to_reattach_ms": ms(took_ns),
        "time_from_kill_to_reattach_ms": ms(in_ns - kill_ns),
        "reattach_breakdown_ms": breakdown,
        "reattach_machine_instructions": took_ns >> ICOUNT_SHIFT,
    }


def safe_mode(records: Records) -> dict[str, Any]:
    """From the command's start until the kernel's word, both ways."""
    on_ns, off_ns = records.event("safe_mode_on").t_ns, records.event("safe_mode_off").t_ns
    return {
        "time_to_stock_ms": ms(first_span(records, on_ns, ours=False).start_ns - on_ns),
        "time_to_reattach_ms": ms(first_span(records, off_ns, ours=True).start_ns - off_ns),
    }


def checks(phases: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Each claim with its figure and whether it holds."""
    idle, loaded = phases["stock_idle"]["p99_ms"], phases["stock_loaded"]["p99_ms"]
    attached, away = phases["attached"]["p99_ms"], phases["failover"]
    found = [
        ("attached p99 over stock idle", attached / idle, "<=", ATTACHED_OVER_IDLE),
        ("stock loaded p99 over stock idle", loaded / idle, ">=", LOADED_OVER_IDLE),
        ("failover p99 over stock loaded", away["p99_ms"] / loaded, "<=", 1.0),
        ("ms to attach again", away["time_to_reattach_ms"], "<=", REATTACH_MS),
        ("valid phases", float(sum(figures["valid"] for figures in phases.values())), ">=", float(len(phases))),
    ]
    return [
        {
            "claim": claim,
            "value": round(value, 3),
            "bound": f"{sign} {bound:g}",
            "holds": value <= bound if sign == "<=" else value >= bound,
        }
        for claim, value, sign, bound in found
    ]
