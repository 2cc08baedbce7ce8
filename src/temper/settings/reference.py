"""The reference page of the agent's settings: `temper config docs`, kept as docs/configuration.md."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from operator import attrgetter

from temper.settings.agent import KEYS, AgentSettings
from temper.settings.keys import Key, as_text
from temper.settings.sources import variable

EXAMPLE = """\
mode: observe
tiers:
  preset: koordinator
  thresholds:
    critical: 9500   # the rest is the preset's
commit:
  quiet_ms: 20
"""

_HEAD = f"""\
# Configuration

The settings of `temper agent`. This page is the output of `temper config docs`; a test keeps it so.

Later sources win:

1. the defaults below;
2. a YAML file, named by `--config` or by the variable `TEMPER_CONFIG`: a ConfigMap's, in a cluster;
3. the environment: `{variable("commit.quiet_ms")}` is `commit.quiet_ms`. `NODE_NAME` is `node_name`, below
   `{variable("node_name")}`;
4. flags: `--set commit.quiet_ms=20`, `--node-name`, `--mode`.

```yaml
{EXAMPLE}```

- `temper config check` runs the code that the agent runs: every finding of every source, with its place, what was seen
  and what is allowed. Exit status 0 or 2. Unknown keys and variables are refused; those that the kubelet sets for a
  service (`TEMPER_SERVICE_HOST`) are not ours.
- `temper config show` prints the values in force, and where each comes from.
- A key without a value, or with `null`, is not set. An empty text is written `''`.
- *live*: a running agent adopts a changed value. *restart*: a new process does.
- There are no secrets here: a kubeconfig is named by its path, a token is the service account's.
"""


def markdown() -> str:
    """The page."""
    return "\n".join([_HEAD, *_section("", "## Top level", ""), *_sections()])


def _sections() -> Iterator[str]:
    for section in dict.fromkeys(path.rpartition(".")[0] for path in KEYS):
        if section:
            struct = type(attrgetter(section)(AgentSettings()))
            yield from _section(section, f"## `{section}`", inspect.getdoc(struct) or "")


def _section(section: str, title: str, about: str) -> Iterator[str]:
    keys = [key for path, key in KEYS.items() if path.rpartition(".")[0] == section]
    yield from (title, "")
    if about:
        yield from (about, "")
    yield from ("| key | default | allowed | change | meaning |", "|---|---|---|---|---|")
    yield from (_row(key) for key in keys)
    yield ""


def _row(key: Key) -> str:
    change = "live" if key.live else "restart"
    return f"| `{key.path}` | `{as_text(key.default)}` | {key.allowed} | {change} | {key.about} |"
