"""Metrics that fit any domain. What is unscored is left out of a mean and counted beside it, never taken as zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from honewise.contracts import Metric, Scored

__all__ = [
    "Mean",
    "accuracy",
    "group_means",
    "mean_of",
    "metric_numbers",
    "pass_at_k",
    "pass_at_ks",
    "reward_means",
    "summary",
]


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over those that have a value."""

    value: float | None
    """None where nothing was scored."""
    scored: int
    of: int

    def __str__(self) -> str:
        if self.value is None:
            return f"- (0 of {self.of} scored)"
        return f"{self.value:.4g}" + ("" if self.scored == self.of else f" ({self.scored} of {self.of} scored)")


def mean_of(values: Iterable[float | bool | None]) -> Mean:
    """The mean of those that are not None."""
    every = list(values)
    present = [float(value) for value in every if value is not None]
    return Mean(math.fsum(present) / len(present) if present else None, len(present), len(every))


def metric_numbers(name: str, metric: Metric, rows: Sequence[Scored]) -> dict[str, float]:
    """The numbers of a domain's metric as every face calls them: ``metric/NAME``, or ``metric/NAME/KEY`` for those
    that the metric does not call by its own name. Raises whatever the metric raises."""
    return {f"metric/{name}" if key == name else f"metric/{name}/{key}": float(v) for key, v in metric(rows).items()}


def accuracy(rows: Sequence[Scored]) -> Mapping[str, float]:
    """``accuracy``: the share of completions that are correct, among those known to be or not to be.

    Beside it ``accuracy_scored`` of ``accuracy_of``. Without any known one there is no ``accuracy``.
    """
    return _named("accuracy", mean_of(row.correct for row in rows))


def reward_means(rows: Sequence[Scored]) -> Mapping[str, float]:
    """``total`` and each reward's mean value (before its weight, closed gates included), each with its counts."""
    names = list(dict.fromkeys(name for row in rows for name in row.rewards))
    numbers = _named("total", mean_of(row.total for row in rows))
    for name in names:
        numbers.update(_named(name, mean_of(row.rewards[name].value for row in rows if name in row.rewards)))
    return numbers


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """The chance that at least one of ``k`` completions is correct, estimated without bias from ``samples`` of which
    ``correct`` are: 1 - C(samples - correct, k) / C(samples, k) (Chen et al. 2021, arXiv:2107.03374, equation 1).

    Raises ``ValueError`` unless 1 <= k <= samples and 0 <= correct <= samples.
    """
    if not 1 <= k <= samples or not 0 <= correct <= samples:
        raise ValueError(f"pass@{k} of {samples} samples, {correct} correct: needs 1 <= k <= samples >= correct >= 0")
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)


def pass_at_ks(*ks: int) -> Metric:
    """A metric that gives ``pass@k`` for each ``k``: the mean over tasks with at least ``k`` scored completions.

    Beside each ``pass@k_scored`` of ``pass@k_of`` tasks.
    """

    def metric(rows: Sequence[Scored]) -> Mapping[str, float]:
        known = _by_task(rows, lambda row: row.correct)
        numbers: dict[str, float] = {}
        for k in ks:
            chances = [pass_at_k(len(each), sum(map(bool, each)), k) if len(each) >= k else None for each in known]
            numbers.update(_named(f"pass@{k}", mean_of(chances)))
        return numbers

    return metric


def group_means(
    rows: Sequence[Scored], key: Callable[[Scored], object], value: Callable[[Scored], float | bool | None]
) -> dict[str, Mean]:
    """Means by group, such as by difficulty: ``key`` names the group of a row, as text; groups in sorted order."""
    groups: dict[str, list[float | bool | None]] = {}
    for row in rows:
        groups.setdefault(str(key(row)), []).append(value(row))
    return {name: mean_of(groups[name]) for name in sorted(groups)}


def summary(rows: Sequence[Scored]) -> dict[str, Mean]:
    """Accuracy, total and every reward, for a table."""
    names = dict.fromkeys(name for row in rows for name in row.rewards)
    means = {"correct": mean_of(row.correct for row in rows), "total": mean_of(row.total for row in rows)}
    for name in names:
        means[f"reward {name}"] = mean_of(row.rewards[name].value for row in rows if name in row.rewards)
    return means


def _by_task(rows: Sequence[Scored], value: Callable[[Scored], bool | None]) -> list[list[bool]]:
    tasks: dict[str, list[bool]] = {}
    for row in rows:
        known = tasks.setdefault(row.task.id, [])
        each = value(row)
        if each is not None:
            known.append(each)
    return list(tasks.values())


def _named(name: str, mean: Mean) -> dict[str, float]:
    numbers = {f"{name}_scored": float(mean.scored), f"{name}_of": float(mean.of)}
    return numbers if mean.value is None else {name: mean.value, **numbers}
