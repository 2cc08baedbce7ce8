"""The reference page of /metrics: `python -m temper.agent.metrics_reference > docs/metrics.md`."""

from __future__ import annotations

import sys

from temper.agent.metrics import CATALOGUE, Entry
from temper.plan.lint import ABOUT

_HEAD = """\
# Metrics

What `temper agent` answers at `/metrics` (`http.listen`, port 9100). This page is generated from the catalogue in
`src/temper/agent/metrics.py`; a test keeps it so. Names and labels are stable: one that changes is in the changelog.

- Labels are bounded. A pod becomes one where a `cpu.max` is counted only: at most 1024 cgroups, the finite ones that
  the scheduler enforces. All else about pods is in `/observe`, which `temper top` and `temper explain` read.
- The node is not a label either: let the scrape configuration add it.
- Counters of layers, of `cpu.max` and of full tables begin again at 0 with each attach, and are absent while nothing is
  attached. `rate()` copes.
- Histograms are Prometheus' own: `_bucket`, `_sum`, `_count`, in seconds.

| metric | kind | labels | meaning |
|---|---|---|---|
"""

_LINT = """
## Invariants of the placement linter

The values of the label `invariant`. Each is judged by what the kernel did: where threads ran, what they used, what the
scheduler counted. Verdicts are in `/observe`, `temper top` and `temper doctor`, and as `event=lint` in the log.

| invariant | what must hold | when it doesn't |
|---|---|---|
"""


def markdown() -> str:
    """The page."""
    invariants = (f"| `{name}` | {about.holds} | {about.fix} |\n" for name, about in ABOUT.items())
    return _HEAD + "".join(map(_row, CATALOGUE)) + _LINT + "".join(invariants)


def _row(entry: Entry) -> str:
    labels = "; ".join(f"`{name}`: {values}" for name, values in entry.labels.items())
    return f"| `{entry.name}` | {entry.kind} | {labels} | {entry.about} |\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
