"""Bootstrap intervals: of a number over items, and of the difference of two policies on the same tasks."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["Difference", "Estimate", "bootstrap", "bootstrap_change", "paired_bootstrap"]

T = TypeVar("T")

_MOST_DRAWS = 20_000_000
_FEWEST_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number over items, with its confidence interval."""

    value: float | None
    """None where the items do not determine it."""
    low: float | None
    high: float | None
    count: int
    """Items that it is over."""

    def as_json(self) -> dict[str, Any]:
        return {"value": self.value, "low": self.low, "high": self.high, "count": self.count}


def bootstrap(
    items: Sequence[T],
    statistic: Callable[[Sequence[T]], float | None],
    *,
    seed: int = 0,
    rounds: int = 1000,
    confidence: float = 0.95,
) -> Estimate:
    """``statistic`` of the items, and its percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13).

    ``rounds`` times, as many items as there are are drawn with replacement; fewer times, at least 200, where that
    would be more than 20 million draws. Draws for which the statistic is None are left out; without any, there is no
    interval. The same seed gives the same interval, whatever the state of ``random``.
    """
    count = len(items)
    value = statistic(items) if items else None
    if value is None:
        return Estimate(None, None, None, count)
    draw = random.Random(seed).choices
    rounds = min(rounds, max(_FEWEST_ROUNDS, _MOST_DRAWS // count))
    drawn = (statistic(draw(items, k=count)) for _ in range(rounds))
    found = sorted(each for each in drawn if each is not None)
    if not found:
        return Estimate(value, None, None, count)
    tail = (1 - confidence) / 2
    return Estimate(value, _quantile(found, tail), _quantile(found, 1 - tail), count)


def bootstrap_change(
    before: Sequence[T],
    after: Sequence[T],
    statistic: Callable[[Sequence[T]], float | None],
    *,
    paired: bool = False,
    seed: int = 0,
    rounds: int = 1000,
    confidence: float = 0.95,
) -> Estimate:
    """``statistic(after) - statistic(before)``, and its percentile bootstrap interval.

    Items of both sides are drawn by themselves; ``paired``: ``before[i]`` and ``after[i]`` belong to one task and are
    drawn together. Draws and sides for which the statistic is None are treated as in ``bootstrap``; ``count`` is that
    of the smaller side. Raises ``ValueError`` where paired sides are not equally long.
    """
    if paired and len(before) != len(after):
        raise ValueError(f"{len(before)} and {len(after)} items; paired sides need one of each for every task")
    count = min(len(before), len(after))
    value = _minus(statistic(after), statistic(before)) if count else None
    if value is None:
        return Estimate(None, None, None, count)
    chance = random.Random(seed)
    rounds = min(rounds, max(_FEWEST_ROUNDS, _MOST_DRAWS // (len(before) + len(after))))
    found = []
    for _ in range(rounds):
        if paired:
            places = chance.choices(range(count), k=count)
            ours, theirs = [after[place] for place in places], [before[place] for place in places]
        else:
            ours, theirs = chance.choices(after, k=len(after)), chance.choices(before, k=len(before))
        difference = _minus(statistic(ours), statistic(theirs))
        if difference is not None:
            found.append(difference)
    if not found:
        return Estimate(value, None, None, count)
    found.sort()
    tail = (1 - confidence) / 2
    return Estimate(value, _quantile(found, tail), _quantile(found, 1 - tail), count)


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of ``ours - theirs`` over tasks, with a confidence interval."""

    difference: float
    low: float
    high: float
    tasks: int


def paired_bootstrap(
    ours: Sequence[float], theirs: Sequence[float], *, seed: int = 0, rounds: int = 10_000, confidence: float = 0.95
) -> Difference:
    """The percentile bootstrap interval of a paired difference, tasks being what is drawn (Efron and Tibshirani 1993,
    chapter 13): ``rounds`` times, as many tasks as there are, with replacement.

    ``ours[i]`` and ``theirs[i]`` belong to one task, such as the share of its completions that are correct. The same
    seed gives the same interval, whatever the state of ``random``. Raises ``ValueError`` on unequal lengths, on none,
    and on a number that is not finite.
    """
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"{len(ours)} and {len(theirs)} values; one pair for each task, and at least one, is needed")
    if not 0 < confidence < 1 or rounds < 1:
        raise ValueError(f"confidence {confidence} must lie between 0 and 1, rounds {rounds} must be at least 1")
    differences = [float(one) - float(other) for one, other in zip(ours, theirs, strict=True)]
    if not all(map(math.isfinite, differences)):
        raise ValueError("a value is not finite; leave out tasks that are unscored on either side")
    count = len(differences)
    draw = random.Random(seed).choices
    means = sorted(math.fsum(draw(differences, k=count)) / count for _ in range(rounds))
    tail = (1 - confidence) / 2
    return Difference(
        difference=math.fsum(differences) / count,
        low=_quantile(means, tail),
        high=_quantile(means, 1 - tail),
        tasks=count,
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Linear between the neighbouring order statistics (Hyndman and Fan 1996, definition 7)."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
