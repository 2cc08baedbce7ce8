"""What cgroups of spinners are to get by their cpu.weight: ideal shares of cpus, by water-filling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A cgroup with so many spinners, or with children. Its siblings' weights are what its own is held against."""

    name: str
    weight: int
    threads: int = 0
    children: tuple[Group, ...] = ()

    @property
    def demand(self) -> int:
        """Cpus that it can use: one for each thread."""
        return self.threads + sum(child.demand for child in self.children)


def leaves(groups: Sequence[Group], below: Path = ()) -> Iterator[tuple[Path, Group]]:
    """The groups without children, each with the names from the top to it."""
    for group in groups:
        path = (*below, group.name)
        if group.children:
            yield from leaves(group.children, path)
        else:
            yield path, group


def ideal(groups: Sequence[Group], cpus: float, below: Path = ()) -> dict[Path, float]:
    """Of so many cpus, what each leaf is to get. What a group can't use goes to its siblings, by their weights."""
    found: dict[Path, float] = {}
    given = fill(cpus, [group.weight for group in groups], [group.demand for group in groups])
    for group, share in zip(groups, given, strict=True):
        path = (*below, group.name)
        found |= ideal(group.children, share, path) if group.children else {path: share}
    return found


def fill(cpus: float, weights: Sequence[int], most: Sequence[float]) -> list[float]:
    """Each gets cpus by its weight, but never more than its `most`; what is over then is the others'."""
    given = list(most)
    filling = set(range(len(weights)))
    while filling:
        level = cpus / sum(weights[index] for index in filling)
        full = {index for index in filling if most[index] <= level * weights[index]}
        if not full:
            for index in filling:
                given[index] = level * weights[index]
            break
        filling -= full
        cpus -= sum(most[index] for index in full)
    return given
