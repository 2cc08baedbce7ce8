"""Workloads files."""

from __future__ import annotations


def text(*rules):
    """The file's text. Each rule: (tier, cgroup glob) or (tier, cgroup glob, cpus)."""
    lines = ["version = 1"]
    for number, (tier, cgroup, *cpus) in enumerate(rules):
        lines += ["[[workload]]", f'name = "{number}"', f'tier = "{tier}"', f'cgroup = "{cgroup}"']
        lines += [f"cpus = {count}" for count in cpus]
    return "\n".join(lines) + "\n"


def replace(path, new):
    """As most editors and config maps do: another file takes the name."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(new)
    beside.rename(path)
