"""Runs compared on the held-out tasks that they share: what training gained over what could be had without it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

from honewise.contracts import Scored, Task
from honewise.metrics import paired_bootstrap
from honewise.recipes.domains import PartRubricSpec
from honewise.recipes.schema import DpoStage, Recipe, RlStage, SftStage
from honewise.runs.rows import Evaluation, to_json
from honewise.runs.run import Run

from .measure import value_of

__all__ = ["BASELINES", "Comparison", "Gain", "Measurement", "Role", "compare"]

ROUNDS = 4_000
"""Of the bootstrap."""

METRICS = ("correct", "total")

Role = Literal["trained", "base", "sft", "sft on answers", "sft on best of n", "best of n", "control"]

BASELINES: Mapping[Role, str] = {
    "sft on answers": "sft on the critic's own answers",
    "sft on best of n": "sft on the best of n completions",
    "best of n": "the best of n completions, sampled when asked",
}
"""What keeps a gain of reinforcement learning honest."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One way of using one policy, with its means over its tasks."""

    run: str
    name: str
    of: str
    role: Role
    learnt: bool
    """Whether the policy was trained by reinforcement learning; sampled in any way, it is no baseline for that."""
    numbers: Mapping[str, float]
    how: tuple[Any, ...]
    """Temperature, nucleus and length: like is compared with like."""
    values: Mapping[str, Mapping[str, float]]
    """Metric to task to the mean over the task's completions."""

    @property
    def greedy(self) -> bool:
        return bool(self.how[0] == 0)

    @property
    def control(self) -> bool:
        return self.role in ("best of n", "control")


@dataclass(frozen=True, slots=True)
class Gain:
    """``one`` minus ``other`` in one metric, over the tasks that both were measured on."""

    one: str
    other: str
    role: Role
    """Of the other."""
    metric: str
    difference: float
    low: float
    high: float
    tasks: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs beside each other."""

    measurements: Sequence[Measurement]
    gains: Sequence[Gain]
    """Of each trained policy over what is no reinforcement learning, in its own run and the others."""
    between: Sequence[Gain]
    """Of each run's policies over those of the runs before it: of the same name, and the last ones trained."""
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        measured = [
            {"run": m.run, "name": m.name, "of": m.of, "role": m.role, "numbers": dict(m.numbers)}
            for m in self.measurements
        ]
        gains = [asdict(each) for each in self.gains]
        return {
            "measurements": measured,
            "gains": gains,
            "between": [asdict(each) for each in self.between],
            "notes": list(self.notes),
        }


def compare(runs: Sequence[Run]) -> Comparison:
    """Every evaluation of the runs, in their order."""
    names = _names(runs)
    measured = [measurement for run, name in zip(runs, names, strict=True) for measurement in _measurements(run, name)]
    evaluated = {each.run for each in measured}
    rubrics = [_rubrics(run) for run, name in zip(runs, names, strict=True) if name in evaluated]
    same_rubric = all(each == rubrics[0] for each in rubrics)
    gains = [
        gain
        for one in measured
        if one.role == "trained"
        for other in measured
        if not other.learnt and _like(one, other)
        for gain in _gains(one, other, same_rubric or one.run == other.run)
    ]
    return Comparison(
        measured, gains, list(_between(runs, names, measured, same_rubric)), _notes(runs, names, measured, same_rubric)
    )


def _rubrics(run: Run) -> dict[str, PartRubricSpec]:
    return {name: work.rubric for name, work in run.recipe.works.items()}


def _names(runs: Sequence[Run]) -> list[str]:
    """The runs' names; their folders, where two are called the same."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _measurements(run: Run, name: str) -> Iterator[Measurement]:
    for evaluation in run.store.evaluations():
        rows = [row.scored for row in run.store.rollouts(evaluation=evaluation.id)]
        settings = evaluation.settings
        how = (settings.get("temperature"), settings.get("top_p"), settings.get("max_new_tokens"))
        values = {metric: _per_task(rows, metric) for metric in METRICS}
        numbers = {metric: _mean(each) for metric, each in values.items() if each}
        role = _role(run.recipe, evaluation)
        learnt = isinstance(run.recipe.stages.get(evaluation.of), RlStage | DpoStage)
        yield Measurement(name, f"{name}: {evaluation.name}", evaluation.of, role, learnt, numbers, how, values)


def _role(recipe: Recipe, evaluation: Evaluation) -> Role:
    """What a measurement stands for in an argument about reinforcement learning."""
    if evaluation.settings.get("best_of"):
        return "best of n"
    if evaluation.settings.get("control"):
        return "control"
    match recipe.stages.get(evaluation.of):
        case RlStage() | DpoStage():
            return "trained"
        case SftStage(on="answers"):
            return "sft on answers"
        case SftStage(on="best" | "above"):
            return "sft on best of n"
        case SftStage():
            return "sft"
    return "base"


def _per_task(rows: Sequence[Scored], metric: str) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for row in rows:
        value = value_of(row, metric)
        if value is not None:
            found.setdefault(_key(row.task), []).append(value)
    return {task: math.fsum(values) / len(values) for task, values in found.items()}


def _key(task: Task) -> str:
    """Equal for equal problems, however they are worded as prompts."""
    return to_json([task.id, task.inputs, task.reference])


def _like(one: Measurement, other: Measurement) -> bool:
    """Whether two can be compared: sampled alike; a control stands for a way of sampling of its own, and is compared
    with what is sampled."""
    return not one.greedy if other.control else one.how == other.how


def _gains(one: Measurement, other: Measurement, totals: bool) -> Iterator[Gain]:
    for metric in METRICS if totals else METRICS[:1]:
        ours, theirs = one.values[metric], other.values[metric]
        shared = [task for task in ours if task in theirs]
        if shared:
            found = paired_bootstrap([ours[task] for task in shared], [theirs[task] for task in shared], rounds=ROUNDS)
            yield Gain(one.name, other.name, other.role, metric, found.difference, found.low, found.high, len(shared))


def _between(
    runs: Sequence[Run], names: Sequence[str], measured: Sequence[Measurement], same_rubric: bool
) -> Iterator[Gain]:
    last = {name: _last_trained(run) for run, name in zip(runs, names, strict=True)}
    for before, after in combinations(names, 2):
        for one in (m for m in measured if m.run == after):
            for other in (m for m in measured if m.run == before):
                alike = one.name.removeprefix(f"{after}: ") == other.name.removeprefix(f"{before}: ")
                both_last = (one.of, other.of) == (last[after], last[before]) and not (one.control or other.control)
                if one.how == other.how and (alike or both_last):
                    yield from _gains(one, other, same_rubric)


def _last_trained(run: Run) -> str | None:
    trained = [name for name, stage in run.recipe.stages.items() if isinstance(stage, RlStage | DpoStage)]
    return trained[-1] if trained else None


def _notes(runs: Sequence[Run], names: Sequence[str], measured: Sequence[Measurement], same_rubric: bool) -> list[str]:
    """What a reader must know, or would miss."""
    notes = []
    for role, words in BASELINES.items():
        if not any(each.role == role and not each.learnt for each in measured):
            notes.append(f"not measured in any of these runs: {words}")
    if not same_rubric:
        notes.append("the rubrics differ, so totals are compared within a run only")
    tasks = [
        {task for each in measured if each.run == name for metric in METRICS for task in each.values[metric]}
        for name in names
    ]
    shared = set.intersection(*filter(None, tasks)) if any(tasks) else set()
    evaluated = {each.run for each in measured}
    for name, own in zip(names, tasks, strict=True):
        if name not in evaluated:
            notes.append(f"{name}: is not evaluated, so it is left out")
        elif not own:
            notes.append(f"{name}: nothing is measured")
        elif own != shared:
            notes.append(f"{name}: {len(shared)} of its {len(own)} held-out tasks are shared")
    unfinished = [name for run, name in zip(runs, names, strict=True) if not run.finished]
    notes += [f"{name}: is not finished" for name in unfinished]
    return notes


def _mean(values: Mapping[str, float]) -> float:
    return math.fsum(values.values()) / len(values)
