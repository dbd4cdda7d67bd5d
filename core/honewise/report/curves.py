"""Curves over steps: means per step from the stored completions, and the geometry of a small chart."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from honewise.runs.rows import StoredRollout
from honewise.runs.store import Store
from honewise.runs.summary import is_of_domain

__all__ = ["Chart", "Series", "chart", "stage_series"]

WIDTH, HEIGHT = 300.0, 120.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 8.0, 10.0, 20.0

_FIRST = (
    "loss",
    "margin",
    "accuracy",
    "safe_accuracy",
    "rewards/margins",
    "rewards/accuracies",
    "pairs",
    "mean_token_accuracy",
    "kl",
    "entropy",
    "grad_norm",
    "reward_std",
    "judge/cost",
    "judge/calls",
    "judge/disagreement",
)
"""Metrics of trainers shown at once; the rest is folded away."""
_KNOWN = {
    "total": "what a completion is worth, mean",
    "accuracy": "share of completions that are correct",
    "tokens": "generated tokens, mean",
    "unscored": "share of completions without a total",
    "kl": "KL divergence from the reference policy",
    "entropy": "entropy of the policy's tokens",
    "loss": "loss",
    "mean_token_accuracy": "share of demonstrated tokens that the model would have chosen",
    "grad_norm": "norm of the gradient",
    "reward_std": "spread of rewards within groups",
    "margin": "how far apart the model scores chosen and rejected completions, mean",
    "safe_accuracy": "share of completions whose sign is right: safe below 0",
    "rewards/margins": "implicit reward of the chosen less that of the rejected completion, mean",
    "rewards/accuracies": "share of pairs whose chosen completion has the higher implicit reward",
    "pairs": "pairs made in a round",
    "judge/calls": "questions that the judge answered, cached ones not counted",
    "judge/cost": "what they cost, by the recipe's prices",
    "judge/disagreement": "how far the verdicts of two judges on the same question lie apart, mean",
}

_BY_DOMAIN = {"total": _KNOWN["total"], "correct": _KNOWN["accuracy"], "tokens": _KNOWN["tokens"]}


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity over steps; ``points`` are (step, value), finite, steps ascending."""

    name: str
    points: tuple[tuple[int, float], ...]
    explanation: str = ""
    kind: str = "metric"
    """``total``, ``reward`` or ``metric``."""
    folded: bool = False

    @property
    def first(self) -> float:
        return self.points[0][1]

    @property
    def last(self) -> float:
        return self.points[-1][1]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn series, in the coordinates of a ``WIDTH`` x ``HEIGHT`` picture."""

    raw: str
    """SVG path of the points."""
    smooth: str
    """SVG path of their running mean."""
    grid: tuple[tuple[float, str], ...]
    """(y, label) of the horizontal lines."""
    steps: tuple[tuple[float, int], ...]
    """(x, step) of the labels below."""
    points: str
    """JSON ``[[x, y, step, value], ...]`` for the pointer."""


def stage_series(store: Store, stage: str, rollouts: Sequence[StoredRollout]) -> list[Series]:
    """What can be drawn of a stage: numbers of its completions first, then those of its trainer."""
    made = [series for series in _of_rollouts(rollouts) if series.points]
    taken = {series.name for series in made} | ({"correct"} if made else set())
    logged: dict[str, list[tuple[int, float]]] = {}
    for step, numbers in store.metrics(stage).items():
        for name, value in numbers.items():
            if math.isfinite(value):
                logged.setdefault(name, []).append((step, value))
    ours = [name for name in sorted(logged) if _of_domain(name)]
    order = [*(name for name in _FIRST if name in logged), *ours, *sorted(set(logged) - {*_FIRST, *ours})]
    made += [
        Series(name, tuple(logged[name]), _explained(name), folded=not (name in _FIRST or _of_domain(name)))
        for name in order
        if name not in taken
    ]
    return [series for series in made if len(series.points) > 1]


def _of_domain(name: str) -> bool:
    """Whether a number of one of several domains is shown at once."""
    return is_of_domain(name) and name.rpartition("/")[2] in _BY_DOMAIN


def _explained(name: str) -> str:
    if not _of_domain(name):
        return _KNOWN.get(name, "")
    _, domain, key = name.split("/")
    return f"{domain}: {_BY_DOMAIN[key]}"


def _of_rollouts(rollouts: Sequence[StoredRollout]) -> Iterator[Series]:
    steps: dict[int, list[StoredRollout]] = {}
    for row in rollouts:
        if row.step is not None:
            steps.setdefault(row.step, []).append(row)
    if not steps:
        return
    ordered = sorted(steps.items())

    def series(name: str, values: Mapping[int, list[float]], kind: str, explanation: str = "") -> Series:
        points = tuple((step, math.fsum(each) / len(each)) for step, each in values.items() if each)
        return Series(name, points, explanation or _KNOWN.get(name, ""), kind)

    totals = {step: [r.scored.total for r in rows if r.scored.total is not None] for step, rows in ordered}
    yield series("total", totals, "total")
    correct = {step: [float(r.scored.correct) for r in rows if r.scored.correct is not None] for step, rows in ordered}
    yield series("accuracy", correct, "total")
    for name in dict.fromkeys(name for row in rollouts for name in row.scored.rewards):
        values = {
            step: [
                cell.value for r in rows if (cell := r.scored.rewards.get(name)) is not None and cell.value is not None
            ]
            for step, rows in ordered
        }
        yield series(name, values, "reward", f"reward {name}, mean over the completions that it scored")
    yield series(
        "tokens", {step: [float(r.scored.completion.tokens) for r in rows] for step, rows in ordered}, "metric"
    )
    unscored = {step: [float(r.scored.total is None) for r in rows] for step, rows in ordered}
    if any(any(each) for each in unscored.values()):
        yield series("unscored", unscored, "metric")


def chart(series: Series) -> Chart:
    """The geometry of one series of at least two points."""
    steps = [step for step, _ in series.points]
    values = [value for _, value in series.points]
    low, high, ticks = _scale(min(values), max(values))
    span = max(steps[-1] - steps[0], 1)

    def place(step: float, value: float) -> tuple[float, float]:
        x = LEFT + (step - steps[0]) / span * (WIDTH - LEFT - RIGHT)
        y = TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return round(x, 1), round(y, 1)

    thin = max(1, len(steps) // 600)
    placed = [(*place(step, value), step, value) for step, value in series.points][::thin]
    smooth = [place(step, value) for step, value in zip(steps, _running_mean(values), strict=True)][::thin]
    middle = steps[len(steps) // 2]
    return Chart(
        raw=_path([(x, y) for x, y, _, _ in placed]),
        smooth=_path(smooth),
        grid=tuple((place(steps[0], tick)[1], _short(tick)) for tick in ticks),
        steps=tuple((place(step, low)[0], step) for step in dict.fromkeys((steps[0], middle, steps[-1]))),
        points=json.dumps([[x, y, step, float(f"{value:.5g}")] for x, y, step, value in placed]),
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _running_mean(values: Sequence[float]) -> list[float]:
    """Centred, over about a tenth of the steps; narrower at the ends, so that it starts and ends on the data."""
    reach = len(values) // 20
    means = []
    for index in range(len(values)):
        near = min(reach, index, len(values) - 1 - index)
        window = values[index - near : index + near + 1]
        means.append(math.fsum(window) / len(window))
    return means


def _scale(low: float, high: float) -> tuple[float, float, list[float]]:
    """Round bounds around the values, with two to five round ticks."""
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-300):
        low, high = min(low, 0.0), max(high, 0.0) or 1.0
    size = 10 ** math.floor(math.log10((high - low) / 2))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10, 20) if (high - low) / (size * factor) <= 3)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [tick * step for tick in range(first, last + 1)]
    return ticks[0], ticks[-1], ticks


def _short(value: float) -> str:
    if value == 0 or abs(value) < 1e-12:
        return "0"
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e5 else f"{value:.0e}"
