"""Two sides of a run that are compared, and one number on both of them.

A side is made of groups: the completions of one prompt. Intervals are over groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from honewise.contracts import Scored
from honewise.metrics import bootstrap_change

__all__ = [
    "CAP",
    "Change",
    "Found",
    "Group",
    "Rollout",
    "RunSettings",
    "Sides",
    "change_of",
    "components",
    "deciding",
    "rows_of",
]

T = TypeVar("T")
CAP = "(cap)"
"""What a cap on wrong completions takes, as one more component of the total."""


class Rollout(Protocol):
    """A stored completion, as far as audits look at it."""

    @property
    def task_id(self) -> str: ...
    @property
    def scored(self) -> Scored: ...


Group = Sequence[Rollout]
"""Completions of one prompt."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How runs are audited. All thresholds are for signs; numbers do not depend on them."""

    window: float = 0.2
    """Share of a stage's steps that are its beginning, and its end."""
    min_groups: int = 8
    """A sign needs so many groups on each side."""
    takeover: float = 0.8
    """A component takes over from this share of the signal, or of the gain, on."""
    collapse: float = 0.3
    """Spread or diversity has collapsed below this share of what it was."""
    length_ratio: float = 1.5
    """Length has drifted from so many times as long, or as short, on."""
    gap: float = 0.1
    """Of shares of correct completions: what a generalisation gap must have grown by."""
    most: int = 5_000
    """Completions of training that are read on each side."""
    rounds: int = 1000
    """Of the bootstrap."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Sides:
    """Two sets of groups to compare."""

    what: str
    kind: str
    """``training`` or ``evaluation``."""
    before: Sequence[Group]
    after: Sequence[Group]
    paired: bool = False
    """``before[i]`` and ``after[i]`` answer the same task."""
    before_name: str = "before"
    after_name: str = "after"
    verifier: str | None = None
    """The reward that says what is correct, where its name is known."""


@dataclass(frozen=True, slots=True)
class Change:
    """One number on both sides."""

    before: float
    after: float
    change: float
    low: float | None = None
    high: float | None = None
    groups: int = 0
    """Of the smaller side."""

    @property
    def rose(self) -> bool:
        return self.low is not None and self.low > 0

    @property
    def fell(self) -> bool:
        return self.high is not None and self.high < 0

    @property
    def ratio(self) -> float:
        return self.after / self.before if self.before else math.inf

    def as_json(self) -> dict[str, Any]:
        return {
            "before": self.before,
            "after": self.after,
            "change": self.change,
            "low": self.low,
            "high": self.high,
            "groups": self.groups,
        }


@dataclass(slots=True)
class Found:
    """Numbers, and why others could not be had."""

    numbers: dict[str, Change] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def components(sides: Sides) -> list[str]:
    """Rewards with a weight, in the order of the rubric, and the cap where it took anything."""
    names: dict[str, None] = {}
    capped = False
    for row in rows_of(sides):
        names.update(dict.fromkeys(name for name, cell in row.rewards.items() if cell.weight))
        capped = capped or row.cut != 0
    return [*names, *([CAP] if capped else [])]


def deciding(sides: Sides) -> set[str]:
    """Rewards that say what is correct: the one that is known to, else those that said so themselves and were never of
    another opinion than the rubric, where it called some completions right and others wrong."""
    if sides.verifier is not None:
        return {sides.verifier}
    rows = [row for row in rows_of(sides) if row.correct is not None]
    if len({row.correct for row in rows}) < 2:
        return set()
    said = {name for row in rows for name, cell in row.rewards.items() if cell.correct is not None}
    return {
        name
        for name in said
        if all(name in row.rewards and row.rewards[name].correct in (None, row.correct) for row in rows)
    }


def change_of(
    sides: Sides,
    item: Callable[[Group], T | None],
    statistic: Callable[[Sequence[T]], float | None],
    settings: RunSettings,
) -> Change | None:
    """A statistic over what ``item`` gives of each group; groups without it are left out, on both sides if paired."""
    before, after = [item(group) for group in sides.before], [item(group) for group in sides.after]
    if sides.paired:
        both = [(one, other) for one, other in zip(before, after, strict=True) if one is not None and other is not None]
        ours, theirs = [one for one, _ in both], [other for _, other in both]
    else:
        ours, theirs = [one for one in before if one is not None], [one for one in after if one is not None]
    if not ours or not theirs:
        return None
    first, last = statistic(ours), statistic(theirs)
    if first is None or last is None:
        return None
    found = bootstrap_change(ours, theirs, statistic, paired=sides.paired, seed=settings.seed, rounds=settings.rounds)
    return Change(first, last, last - first, found.low, found.high, found.count)


def rows_of(sides: Sides) -> list[Scored]:
    return [row.scored for side in (sides.before, sides.after) for group in side for row in group]
